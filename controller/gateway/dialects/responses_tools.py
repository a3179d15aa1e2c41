"""The tools of a Responses request as chat functions, and the names by which their calls find back.

Chat knows functions only. A custom tool, which takes free text, becomes a function with one text; a namespace's tools
get its name in front of theirs. Hosted tools run on OpenAI's machines: nobody here can.
"""

from __future__ import annotations

import orjson

from controller.config.settings import CAPS
from controller.core.records import record
from controller.gateway.json_body import Document
from controller.gateway.wishes import wrong

INPUT = "input"  # the one argument of a custom tool
_JOINT = "__"
_NAME_CHARS = 64  # OpenAI's limit for the name of a function
_CHOICES = frozenset({"auto", "none", "required"})


@record
class ToolName:
    """What a function of the chat request is to the caller."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


def _tool_name(tool: Document, where: str) -> str:
    name = tool.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= CAPS.name_chars:
        most = CAPS.name_chars
        raise wrong(f"{where}.name", f"`{where}.name` must be a string of 1 to {most} characters", got=name)
    return name


def chat_name(name: str, namespace: str | None) -> str:
    """The name of a function in chat."""
    if namespace is None:
        return name
    joint = "" if namespace.endswith(_JOINT) else _JOINT
    return f"{namespace}{joint}{name}"[:_NAME_CHARS]


def _entries(tools: object) -> list[tuple[Document, str | None, str]]:
    """(tool, namespace, where), with namespaces taken apart."""
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise wrong("tools", "`tools` must be a list of objects", got=tools)
    found: list[tuple[Document, str | None, str]] = []
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise wrong(where, f"`{where}` must be an object", got=tool)
        if tool.get("type") != "namespace":
            found.append((tool, None, where))
            continue
        namespace, inner = _tool_name(tool, where), tool.get("tools")
        if not isinstance(inner, list) or not all(isinstance(one, dict) for one in inner):
            raise wrong(f"{where}.tools", f"`{where}.tools` must be a list of objects")
        found.extend((one, namespace, f"{where}.tools[{place}]") for place, one in enumerate(inner))
    return found


def tool_names(tools: object) -> dict[str, ToolName]:
    """Who is meant when the model calls a function by this name."""
    return {
        chat_name(name, namespace): ToolName(name=name, namespace=namespace, is_custom=tool["type"] == "custom")
        for tool, namespace, where in _entries(tools)
        if tool.get("type") in ("function", "custom")
        for name in (_tool_name(tool, where),)
    }


def _function(tool: Document, name: str) -> Document:
    function: Document = {"name": name}
    description = tool.get("description")
    if tool["type"] == "custom":
        grammar = tool.get("format")
        words = [description] if isinstance(description, str) else []
        if isinstance(grammar, dict) and grammar.get("definition"):
            words.append(f"The input must match this {grammar.get('syntax')} grammar:\n{grammar['definition']}")
        description = "\n\n".join(words)
        text = {"type": "object", "properties": {INPUT: {"type": "string"}}, "required": [INPUT]}
        function["parameters"] = {**text, "additionalProperties": False}
    else:
        function["parameters"] = tool.get("parameters") or {"type": "object", "properties": {}}
        if tool.get("strict") is not None:
            function["strict"] = tool["strict"]
    if description:
        function["description"] = description
    return {"type": "function", "function": function}


def translate(asked: Document, chat: Document, dropped: list[str]) -> None:
    """Afterwards the chat request has the tools and the choice among them.

    A hosted tool beside others that the model is free to choose from is left out and named; alone or asked for by
    name it is what the caller wants, and refused.
    """
    functions: list[Document] = []
    hosted: list[tuple[str, str]] = []
    for tool, namespace, where in _entries(asked.get("tools")):
        kind = tool.get("type")
        if kind in ("function", "custom"):
            functions.append(_function(tool, chat_name(_tool_name(tool, where), namespace)))
        elif isinstance(kind, str):
            hosted.append((kind, where))
        else:
            raise wrong(f"{where}.type", f"`{where}.type` must be a string", got=kind)
    choice = asked.get("tool_choice")
    if hosted and (not functions or choice not in (None, "auto", "none")):
        kind, where = hosted[0]
        raise wrong(where, f"the hosted tool {kind} is not available here; functions and custom tools are")
    dropped.extend(dict.fromkeys(f"tools.{kind}" for kind, _ in hosted))
    _choose(choice, functions, chat)
    if functions:
        chat["tools"] = functions
        if asked.get("parallel_tool_calls") is not None:
            chat["parallel_tool_calls"] = asked["parallel_tool_calls"]


def _choose(choice: object, functions: list[Document], chat: Document) -> None:
    if choice is None:
        return
    if isinstance(choice, str) and choice in _CHOICES:
        if functions:
            chat["tool_choice"] = choice
        elif choice == "required":
            raise wrong("tool_choice", "`tool_choice` is 'required', and there are no `tools`")
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and kind in ("function", "custom"):
        chat["tool_choice"] = {"type": "function", "function": {"name": _chosen(choice, functions)}}
    elif isinstance(choice, dict) and kind == "allowed_tools":
        _allow(choice, functions, chat)
    else:
        raise wrong("tool_choice", "`tool_choice` must be auto, none, required, or name functions or custom tools")


def _chosen(choice: Document, functions: list[Document]) -> str:
    namespace = choice.get("namespace")
    name = chat_name(_tool_name(choice, "tool_choice"), namespace if isinstance(namespace, str) else None)
    if all(tool["function"]["name"] != name for tool in functions):
        raise wrong("tool_choice", "`tool_choice` names a tool that is not among `tools`")
    return name


def _allow(choice: Document, functions: list[Document], chat: Document) -> None:
    """Chat has no list of allowed tools: the others are not shown to the model."""
    allowed, mode = choice.get("tools"), choice.get("mode")
    if not isinstance(allowed, list) or not all(isinstance(tool, dict) for tool in allowed):
        raise wrong("tool_choice.tools", "`tool_choice.tools` must be a list of objects")
    if mode not in ("auto", "required"):
        raise wrong("tool_choice.mode", "`tool_choice.mode` must be 'auto' or 'required'")
    names = {_chosen(tool, functions) for tool in allowed}
    functions[:] = [tool for tool in functions if tool["function"]["name"] in names]
    if functions:
        chat["tool_choice"] = mode


def custom_input(arguments: str) -> str:
    """The free text that a custom tool was called with; the arguments as they are when they hold none."""
    try:
        parsed = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return arguments
    text = parsed.get(INPUT) if isinstance(parsed, dict) else None
    return text if isinstance(text, str) else arguments
