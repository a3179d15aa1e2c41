"""How each client is tried once: what runs it, what it is told, and how it says who answered.

The settings file that was written (or would be) is what it is tried on: through the variables in it, or by telling the
client where the file lies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

ASK = "Reply with one word: ready"
OUTPUT_TOKENS = 16
# A first start of the OpenAI SDK, before its bytecode was kept, took 11 s where four wanted each core; LangChain 20 s.
LONGEST_S, LONGEST_IMPORTS_S = 60.0, 90.0


class Runner(Enum):
    """What runs a client: a Python or a Node that has its package, or its own program."""

    PYTHON = "python"
    NODE = "node"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a client printed: headers as far as it shows them, and the text; `error` when it says that it failed."""

    headers: Mapping[str, str]
    text: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RealClient:
    """The client itself. `words` may hold `{model}` and `{file}`, the values of `environ` the file's `{folder}`.

    It has `longest_s` for its own start and the answer, unless the caller says otherwise.
    """

    runner: Runner
    needs: str
    words: tuple[str, ...]
    read: Callable[[str], Said]
    environ: tuple[tuple[str, str], ...] = ()
    unset: tuple[str, ...] = ()
    longest_s: float = LONGEST_S


# Each script prints one JSON line with the headers of the answer and its text.
_PY_OPENAI = """
import json, sys, openai
raw = openai.OpenAI(max_retries=0).chat.completions.with_raw_response.create(
    model=sys.argv[1], messages=[{"role": "user", "content": sys.argv[2]}], max_tokens=int(sys.argv[3]))
print(json.dumps({"headers": dict(raw.headers), "text": raw.parse().choices[0].message.content}))
"""
_JS_OPENAI = """
const { OpenAI } = require("openai");
const [model, ask, max_tokens] = process.argv.slice(1);
new OpenAI({ maxRetries: 0 }).chat.completions
  .create({ model, messages: [{ role: "user", content: ask }], max_tokens: Number(max_tokens) }).withResponse()
  .then(({ data, response }) => console.log(JSON.stringify(
    { headers: Object.fromEntries(response.headers), text: data.choices[0].message.content })));
"""
_PY_ANTHROPIC = """
import json, sys, anthropic
raw = anthropic.Anthropic(max_retries=0).messages.with_raw_response.create(
    model=sys.argv[1], messages=[{"role": "user", "content": sys.argv[2]}], max_tokens=int(sys.argv[3]))
print(json.dumps({"headers": dict(raw.headers), "text": raw.parse().content[0].text}))
"""
# The last two import thousands of modules: 2.2 and 4.2 s of CPU, a tenth less without passes of the garbage collector.
_PY_LANGCHAIN = """
import gc, json, sys
gc.disable()
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(model=sys.argv[1], max_tokens=int(sys.argv[3]), max_retries=0, include_response_headers=True)
answer = llm.invoke(sys.argv[2])
print(json.dumps({"headers": answer.response_metadata.get("headers", {}), "text": answer.content}))
"""
_PY_LLAMAINDEX = """
import gc, json, os, sys
gc.disable()
from llama_index.llms.openai_like import OpenAILike
llm = OpenAILike(model=sys.argv[1], api_base=os.environ["OPENAI_API_BASE"], api_key=os.environ["OPENAI_API_KEY"],
                 is_chat_model=True, max_tokens=int(sys.argv[3]), max_retries=0)
print(json.dumps({"headers": {}, "text": llm.complete(sys.argv[2]).text}))
"""
_CURL_BODY = json.dumps(
    {"model": "{model}", "messages": [{"role": "user", "content": ASK}], "max_tokens": OUTPUT_TOKENS}
)


def _read_line(output: str) -> Said:
    document = json.loads(output.strip().splitlines()[-1])
    return Said(headers=document["headers"], text=document["text"] or "")


def _read_claude(output: str) -> Said:
    document = json.loads(output.strip().splitlines()[-1])
    text = str(document.get("result") or "")
    return Said(headers={}, text=text, error=text if document.get("is_error") else None)


def _read_codex(output: str) -> Said:
    """Events, one a line: the agent's last message, or why the turn failed."""
    text, error = "", "it ended without a message"
    for line in output.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        item = event.get("item") or {}
        if event.get("type") == "item.completed" and item.get("type") == "agent_message":
            text, error = str(item.get("text") or ""), ""
        if event.get("type") in {"turn.failed", "error"}:
            failure = event.get("error") or {}
            error = str(failure.get("message") or event.get("message") or "the turn failed")
    return Said(headers={}, text=text, error=error or None)


def _read_curl(output: str) -> Said:
    head, _, body = output.replace("\r\n", "\n").rpartition("\n\n")
    headers = dict(re.findall(r"^([a-z0-9-]+): (.*)$", head, re.MULTILINE | re.IGNORECASE))
    document = json.loads(body)
    if "error" in document:
        return Said(headers=headers, text="", error=str(document["error"].get("message")))
    return Said(headers=headers, text=document["choices"][0]["message"]["content"] or "")


def _script(runner: Runner, needs: str, code: str, *, longest_s: float = LONGEST_S) -> RealClient:
    return RealClient(
        runner=runner,
        needs=needs,
        words=("-c" if runner is Runner.PYTHON else "-e", code, "{model}", ASK, str(OUTPUT_TOKENS)),
        read=_read_line,
        longest_s=longest_s,
    )


REAL: Mapping[str, RealClient] = {
    "openai-python": _script(Runner.PYTHON, "openai", _PY_OPENAI),
    "openai-js": _script(Runner.NODE, "openai", _JS_OPENAI),
    "anthropic": _script(Runner.PYTHON, "anthropic", _PY_ANTHROPIC),
    "langchain": _script(Runner.PYTHON, "langchain_openai", _PY_LANGCHAIN, longest_s=LONGEST_IMPORTS_S),
    "llamaindex": _script(
        Runner.PYTHON, "llama_index.llms.openai_like", _PY_LLAMAINDEX, longest_s=LONGEST_IMPORTS_S
    ),
    "claude-code": RealClient(
        runner=Runner.PROGRAM,
        needs="claude",
        # one turn, no tools, no project files: a short question and a short prompt around it
        words=("-p", ASK, "--output-format", "json", "--tools", "", "--system-prompt", "Answer briefly.",
               "--strict-mcp-config", "--no-session-persistence"),
        read=_read_claude,
        environ=(("CLAUDE_CONFIG_DIR", "{folder}"), ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")),
        unset=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL"),
    ),
    "codex": RealClient(
        runner=Runner.PROGRAM,
        needs="codex",
        words=("exec", "--json", "--skip-git-repo-check", "--ephemeral", "--sandbox", "read-only", ASK),
        read=_read_codex,
        environ=(("CODEX_HOME", "{folder}"),),
    ),
    "curl": RealClient(
        runner=Runner.PROGRAM,
        needs="curl",
        words=("--silent", "--show-error", "--dump-header", "-", "--config", "{file}", "--data", _CURL_BODY),
        read=_read_curl,
    ),
}  # fmt: skip
