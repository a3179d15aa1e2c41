"""The clients that `spillway connect` knows, as data: where their settings lie and what goes in.

Sources, read 2026-11: the SDKs themselves (`OPENAI_BASE_URL`, `ANTHROPIC_BASE_URL`), Claude Code's settings reference
(`env` of settings.json), Codex's `ModelProviderInfo` (0.169), Open WebUI's environment reference, langchain-openai
(`OPENAI_API_BASE`) and llama-index-llms-openai (`OPENAI_API_BASE`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from controller.cli.connect_formats import edit_env, edit_json_env, edit_toml

KEY_VARIABLE = "SPILLWAY_API_KEY"


class Dialect(Enum):
    """The API that a client speaks."""

    CHAT = "chat"
    MESSAGES = "messages"
    RESPONSES = "responses"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What goes into a settings file. `root_url` is the gateway's own, without `/v1`."""

    root_url: str
    model: str
    key: str

    @property
    def base_url(self) -> str:
        """What OpenAI-shaped clients call the base URL."""
        return f"{self.root_url}/v1"


Variables = Callable[[Setting], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client. `file` is where `--write` writes, `variables` what its environment needs, `edit` changes the file."""

    name: str
    title: str
    file: str
    dialect: Dialect
    variables: Variables
    edit: Callable[[str, Setting], str]
    snippet: Callable[[Setting], str]
    folder_variable: str = ""  # names another folder for the file
    note: str = ""


def _openai_variables(setting: Setting) -> Mapping[str, str]:
    return {"OPENAI_BASE_URL": setting.base_url, "OPENAI_API_KEY": setting.key}


def _openai_base_variables(setting: Setting) -> Mapping[str, str]:
    """The older name too: langchain-openai and llama-index read it first."""
    return {"OPENAI_API_BASE": setting.base_url, **_openai_variables(setting)}


def _anthropic_variables(setting: Setting) -> Mapping[str, str]:
    return {"ANTHROPIC_BASE_URL": setting.root_url, "ANTHROPIC_API_KEY": setting.key}


def _claude_code_variables(setting: Setting) -> Mapping[str, str]:
    """A bearer token; and each of its model names stands for the one that the gateway is asked for."""
    names = ("MODEL", "DEFAULT_OPUS_MODEL", "DEFAULT_SONNET_MODEL", "DEFAULT_HAIKU_MODEL")
    models = {f"ANTHROPIC_{name}": setting.model for name in names}
    return {"ANTHROPIC_BASE_URL": setting.root_url, "ANTHROPIC_AUTH_TOKEN": setting.key, **models}


def _open_webui_variables(setting: Setting) -> Mapping[str, str]:
    return {"ENABLE_OPENAI_API": "True", "OPENAI_API_BASE_URL": setting.base_url, "OPENAI_API_KEY": setting.key}


def _codex_top(setting: Setting) -> Mapping[str, str]:
    return {"model": setting.model, "model_provider": "spillway"}


def _codex_provider(setting: Setting) -> dict[str, str]:
    return {"name": "Spillway", "base_url": setting.base_url, "wire_api": "responses"}


def _codex_edit(text: str, setting: Setting) -> str:
    values = {**_codex_provider(setting), "experimental_bearer_token": setting.key}
    return edit_toml(text, _codex_top(setting), "model_providers.spillway", values)


def _codex_snippet(setting: Setting) -> str:
    values = {**_codex_provider(setting), "env_key": KEY_VARIABLE}
    return edit_toml("", _codex_top(setting), "model_providers.spillway", values)


def _in_env_file(variables: Variables) -> Callable[[str, Setting], str]:
    return lambda text, setting: edit_env(text, variables(setting))


def _curl_file(_text: str, setting: Setting) -> str:
    return (
        f'url = "{setting.base_url}/chat/completions"\n'
        f'header = "Authorization: Bearer {setting.key}"\n'
        'header = "Content-Type: application/json"\n'
    )


def _curl_snippet(setting: Setting) -> str:
    body = f'{{"model": "{setting.model}", "messages": [{{"role": "user", "content": "Say hello."}}]}}'
    return (
        f"curl {setting.base_url}/chat/completions \\\n"
        f'  -H "Authorization: Bearer ${KEY_VARIABLE}" -H "Content-Type: application/json" \\\n'
        f"  -d '{body}'\n"
    )


def _exports(variables: Variables) -> Callable[[Setting], str]:
    return lambda setting: "".join(f'export {name}="{value}"\n' for name, value in variables(setting).items())


def _with_code(variables: Variables, code: str) -> Callable[[Setting], str]:
    shown = _exports(variables)
    return lambda setting: f"{shown(setting)}\n{code.replace('MODEL', setting.model)}\n"


_PY_OPENAI = """from openai import OpenAI

client = OpenAI()  # reads the two variables
answer = client.chat.completions.create(model="MODEL", messages=[{"role": "user", "content": "Say hello."}])"""

_JS_OPENAI = """import OpenAI from "openai";

const client = new OpenAI();  // reads the two variables
const answer = await client.chat.completions.create({ model: "MODEL", messages: [{ role: "user", content: "Hi" }] });"""

_PY_ANTHROPIC = """from anthropic import Anthropic

client = Anthropic()  # reads the two variables
answer = client.messages.create(
    model="MODEL", max_tokens=64, messages=[{"role": "user", "content": "Say hello."}])"""

_PY_LANGCHAIN = """from langchain_openai import ChatOpenAI

answer = ChatOpenAI(model="MODEL").invoke("Say hello.")"""

_PY_LLAMAINDEX = """import os
from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(model="MODEL", api_base=os.environ["OPENAI_API_BASE"], api_key=os.environ["OPENAI_API_KEY"],
                 is_chat_model=True)
answer = llm.complete("Say hello.")"""

_ENV_NOTE = "`.env` is read by python-dotenv, `node --env-file=.env` and `uv run --env-file .env`"


def _sdk(name: str, title: str, variables: Variables, code: str, *, note: str = _ENV_NOTE) -> Client:
    return Client(
        name=name,
        title=title,
        file=".env",
        dialect=Dialect.MESSAGES if variables is _anthropic_variables else Dialect.CHAT,
        variables=variables,
        edit=_in_env_file(variables),
        snippet=_with_code(variables, code),
        note=note,
    )


_CLIENTS = (
    _sdk("openai-python", "OpenAI SDK for Python", _openai_variables, _PY_OPENAI),
    _sdk("openai-js", "OpenAI SDK for JavaScript", _openai_variables, _JS_OPENAI),
    _sdk("anthropic", "Anthropic SDK for Python", _anthropic_variables, _PY_ANTHROPIC),
    Client(
        name="claude-code",
        title="Claude Code",
        file="~/.claude/settings.json",
        folder_variable="CLAUDE_CONFIG_DIR",
        dialect=Dialect.MESSAGES,
        variables=_claude_code_variables,
        edit=lambda text, setting: edit_json_env(text, _claude_code_variables(setting)),
        snippet=_exports(_claude_code_variables),
        note="a key in ANTHROPIC_API_KEY would be sent as well: leave that unset",
    ),
    Client(
        name="codex",
        title="Codex",
        file="~/.codex/config.toml",
        folder_variable="CODEX_HOME",
        dialect=Dialect.RESPONSES,
        variables=lambda setting: {KEY_VARIABLE: setting.key},
        edit=_codex_edit,
        snippet=_codex_snippet,
        note="read once, when Codex starts",
    ),
    Client(
        name="open-webui",
        title="Open WebUI",
        file="open-webui.env",
        dialect=Dialect.CHAT,
        variables=_open_webui_variables,
        edit=_in_env_file(_open_webui_variables),
        snippet=_exports(_open_webui_variables),
        note="`docker run --env-file open-webui.env`; read at its first start only, later its admin page counts; "
        "inside Docker use --url http://host.docker.internal:PORT",
    ),
    _sdk("langchain", "LangChain (langchain-openai)", _openai_base_variables, _PY_LANGCHAIN),
    _sdk(
        "llamaindex",
        "LlamaIndex (llama-index-llms-openai-like)",
        _openai_base_variables,
        _PY_LLAMAINDEX,
        note="`OpenAI` of LlamaIndex knows OpenAI's own model names only, so this is `OpenAILike`",
    ),
    Client(
        name="curl",
        title="curl",
        file="spillway.curl",
        dialect=Dialect.CHAT,
        variables=lambda setting: {KEY_VARIABLE: setting.key},
        edit=_curl_file,
        snippet=_curl_snippet,
        note="curl -K spillway.curl -d '{...}' keeps the key out of the list of processes",
    ),
)
CLIENTS: Mapping[str, Client] = {client.name: client for client in _CLIENTS}
