"""What the gateway's source says to callers: header names and error codes, found in its syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from controller.core.fleet import RoutingMode
from controller.gateway.admission import CONVERSATION, MAX_COST
from controller.gateway.metering import FAILED
from controller.gateway.purchases import BUDGET, UNAVAILABLE

CONTROLLER = Path(__file__).parents[2] / "controller"
GATEWAY = sorted((CONTROLLER / "gateway").glob("*.py"))
DIALECTS = sorted((CONTROLLER / "gateway" / "dialects").glob("*.py"))
SPEAKING = [*GATEWAY, *DIALECTS]
REFUSING = [*SPEAKING, *sorted((CONTROLLER / "routing").glob("*.py"))]  # routing's refusals go out as they are
SKIPS = ("Skip", "Late")
HEADER = re.compile(r"[a-z]+(-[a-z]+)*")


def _nodes(files: list[Path]) -> Iterator[ast.AST]:
    for file in files:
        yield from _nodes_of(file)


@cache
def _nodes_of(file: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(file.read_text())))


def _text(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Constant):
        return None
    value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
    return value if isinstance(value, str) else None


def _header_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Constants that stand where header names stand: first in a pair, asked for in `headers`, or `x-...` anywhere."""
    if isinstance(node, ast.Tuple) and len(node.elts) == 2 and not isinstance(_word(node.elts[1]), str):
        yield node.elts[0]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
        asked = node.func.value
        if (asked.id if isinstance(asked, ast.Name) else getattr(asked, "attr", "")) == "headers":
            yield node.args[0]
    elif (_text(node) or "").startswith(("x-", "anthropic-ratelimit-")):
        yield node


def _word(node: ast.AST) -> object:
    """A constant's value: two texts in a pair are words to choose from, not a header."""
    return node.value if isinstance(node, ast.Constant) else None


def headers() -> set[str]:
    """Every header name in the gateway."""
    found = {_text(name) for node in _nodes(SPEAKING) for name in _header_nodes(node)}
    return {name for name in found if name is not None and HEADER.fullmatch(name)}


def _strings(node: ast.AST) -> set[str]:
    """The texts that an expression may come to; an f-string with its holes in braces."""
    if isinstance(node, ast.JoinedStr):
        return {ast.unparse(node)[2:-1]}
    if isinstance(node, ast.BoolOp | ast.IfExp | ast.Tuple):
        return {text for child in ast.iter_child_nodes(node) for text in _strings(child)}
    text = _text(node)
    return set() if text is None else {text}


def _called(node: ast.AST) -> str:
    """The name of what is called, if it is a call."""
    return getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""


def _first_arguments(*names: str) -> set[str]:
    """What these functions are called with first."""
    calls = (node for node in _nodes(REFUSING) if isinstance(node, ast.Call) and _called(node) in names)
    return {text for call in calls for argument in call.args[:1] for text in _strings(argument)}


def _given(wanted: Callable[[str], bool]) -> set[str]:
    """What is given as `code=` in calls whose name is wanted."""
    calls = (node for node in _nodes(REFUSING) if isinstance(node, ast.Call) and wanted(_called(node)))
    return {text for call in calls for word in call.keywords if word.arg == "code" for text in _strings(word.value)}


def _by_place() -> set[str]:
    """What is given as `code` by position, or by default."""
    functions = [node for node in _nodes(REFUSING) if isinstance(node, ast.FunctionDef)]
    arguments = {function.name: [argument.arg for argument in function.args.args] for function in functions}
    places = {name: names.index("code") for name, names in arguments.items() if "code" in names}
    defaults = [function.args.defaults[-1] for function in functions if function.name in places]
    calls = [node for node in _nodes(REFUSING) if isinstance(node, ast.Call) and _called(node) in places]
    given = [call.args[places[_called(call)]] for call in calls if len(call.args) > places[_called(call)]]
    return {text for node in (*defaults, *given) for text in _strings(node)}


def _assigned() -> set[str]:
    """What is assigned to `code`."""
    pairs = (node for node in _nodes(REFUSING) if isinstance(node, ast.Assign))
    return {text for pair in pairs if ast.unparse(pair.targets[0]) == "(status, code)" for text in _strings(pair.value)}


def codes() -> set[str]:
    """Every error code a caller may get from the gateway itself."""
    own = _first_arguments("begin", "UpstreamTimeout")
    phases = {"connect", "total", *own}  # connections are made by the adapters; the guard begins with "total"
    holes = {
        "{error.phase}_timeout": {f"{phase}_timeout" for phase in phases},
        "unknown_{what}": {f"unknown_{what}" for what in _first_arguments("_unknown")},
    }
    found = _given(lambda name: name not in SKIPS) | _by_place() | _assigned()
    return {code for text in found for code in holes.get(text, {text})}


def spill_reasons() -> set[str]:
    """Every value of x-spillway-spilled: codes of skips, routing modes, `conversation` and `failed`."""
    modes = {mode.value.lower() for mode in RoutingMode} - {"local"}
    return _given(lambda name: name in SKIPS) | modes | {BUDGET, CONVERSATION, MAX_COST, UNAVAILABLE, FAILED}
