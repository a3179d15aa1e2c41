"""The round trip of `spillway connect`: one short question, by the real client where it is installed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from controller.cli.connect_clients import Client, Dialect, Setting
from controller.cli.connect_real import ASK, LONGEST_S, OUTPUT_TOKENS, REAL, RealClient, Runner, Said
from controller.cli.errors import EXIT_FAILED, EXIT_KEY, CliError

if TYPE_CHECKING:
    from controller.adapters.client_trips import Ended

ANTHROPIC_VERSION = "2023-06-01"
KEY_KNOWN_S = 5.0  # running gateways know of a new key within this
GATEWAY_S = 5.0
_ENV_LINE = re.compile(r"^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*?)\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A round trip that succeeded. `by` is the real client, or the HTTP call made in its stead."""

    by: str
    is_real_client: bool
    took_s: float
    text: str
    request_id: str | None
    target: str | None
    model: str | None
    simulated: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """The call that a client of this dialect makes."""

    path: str
    headers: Mapping[str, str]
    body: bytes


def http_call(client: Client, setting: Setting) -> HttpCall:
    """Path, headers and body as the client sends them, as far as they matter to a gateway."""
    bearer = {"authorization": f"Bearer {setting.key}", "content-type": "application/json"}
    turn = [{"role": "user", "content": ASK}]
    if client.dialect is Dialect.CHAT:
        body: dict[str, object] = {"model": setting.model, "messages": turn, "max_tokens": OUTPUT_TOKENS}
        return HttpCall(path="/v1/chat/completions", headers=bearer, body=_json(body))
    if client.dialect is Dialect.RESPONSES:
        body = {"model": setting.model, "input": ASK, "max_output_tokens": OUTPUT_TOKENS, "store": False}
        return HttpCall(path="/v1/responses", headers=bearer, body=_json(body))
    body = {"model": setting.model, "messages": turn, "max_tokens": OUTPUT_TOKENS}
    version = {"anthropic-version": ANTHROPIC_VERSION}
    if client.name == "claude-code":
        return HttpCall(path="/v1/messages?beta=true", headers={**bearer, **version}, body=_json(body))
    headers = {"x-api-key": setting.key, "content-type": "application/json", **version}
    return HttpCall(path="/v1/messages", headers=headers, body=_json(body))


def _json(body: object) -> bytes:
    return json.dumps(body).encode()


def await_gateway(setting: Setting, *, key_is_new: bool) -> None:
    """Afterwards the gateway has answered; a key made just now is waited for, as gateways read keys each second."""
    from controller.adapters.client_trips import get

    deadline_s = time.monotonic() + (KEY_KNOWN_S if key_is_new else 0.0)
    while True:
        reply = get(f"{setting.base_url}/models", {"authorization": f"Bearer {setting.key}"}, GATEWAY_S)
        if isinstance(reply, str):
            raise _nobody(setting, reply)
        if reply.status != 401:
            return
        if time.monotonic() >= deadline_s:
            break
        time.sleep(0.1)
    if key_is_new:
        raise CliError(
            f"the gateway at {setting.root_url} does not know the new key",
            "it runs on another state folder",
            "name its state folder: --state-dir DIR; or give one of its keys: --key-file FILE",
            exit_code=EXIT_KEY,
        )


def _nobody(setting: Setting, why: str) -> CliError:
    return CliError(f"nobody answers at {setting.root_url}", why, "spillway up, or another --url")


def longest_s(client: Client) -> float:
    """How long a round trip of this client may take when nobody says otherwise."""
    real = REAL.get(client.name)
    return LONGEST_S if real is None else real.longest_s


def make_trip(client: Client, setting: Setting, file: Path, timeout_s: float) -> Trip:
    """One round trip on what stands in `file`; CliError with the reason when nothing came back."""
    real = REAL.get(client.name)
    runner = None if real is None else _runner(real)
    if real is None or runner is None:
        return _by_http(client, setting, timeout_s)
    started_s = time.monotonic()
    ended = _run(real, runner, setting, file, timeout_s)
    took_s = time.monotonic() - started_s
    said = _said(real, ended)
    if said.error is not None:
        told = _by_http(client, setting, timeout_s)  # CliError when the gateway itself is the reason
        patience = ", so it may need longer: --timeout-s" if ended.exit_code is None else ""
        fix = f"the gateway answers it by plain HTTP ({told.target}){patience}"
        raise CliError(f"{client.title} got no answer", said.error, fix)
    return _trip(said, by=f"{real.needs} ({runner})", took_s=took_s, real=True)


def _runner(real: RealClient) -> str | None:
    from controller.adapters.client_trips import node_with, program, python_with

    if real.runner is Runner.PROGRAM:
        return program(real.needs)
    return python_with(real.needs) if real.runner is Runner.PYTHON else node_with(real.needs)


def _run(real: RealClient, runner: str, setting: Setting, file: Path, timeout_s: float) -> Ended:
    from controller.adapters.client_trips import run

    words = [word.replace("{model}", setting.model).replace("{file}", str(file)) for word in real.words]
    environ = {name: value.replace("{folder}", str(file.parent)) for name, value in real.environ}
    if real.runner is not Runner.PROGRAM:  # these read their environment, so it is made from the file
        environ |= dict(_ENV_LINE.findall(file.read_text(encoding="utf-8")))
    return run([runner, *words], environ, real.unset, Path.cwd(), timeout_s)


def _said(real: RealClient, ended: Ended) -> Said:
    failed = Said(headers={}, text="", error=ended.words or f"it ended with {ended.exit_code}")
    if ended.exit_code is None:
        return failed
    try:
        said = real.read(ended.output)
    except (ValueError, LookupError, TypeError, AttributeError):  # nothing, or not what this client prints
        return failed
    return said if ended.exit_code == 0 or said.error is not None else failed


def _by_http(client: Client, setting: Setting, timeout_s: float) -> Trip:
    from controller.adapters.client_trips import post

    call = http_call(client, setting)
    started_s = time.monotonic()
    reply = post(f"{setting.root_url}{call.path}", call.headers, call.body, timeout_s)
    took_s = time.monotonic() - started_s
    if isinstance(reply, str):
        raise _nobody(setting, reply)
    if reply.status != 200:
        message = _message(reply.body) or f"status {reply.status}"
        refused = reply.status in {401, 403}
        fix = "spillway keys list, then --key-file or SPILLWAY_API_KEY" if refused else ""
        code = EXIT_KEY if refused else EXIT_FAILED
        raise CliError(f"the gateway refused the round trip of {client.name}", message, fix, exit_code=code)
    said = Said(headers=reply.headers, text=_text(client.dialect, reply.body))
    return _trip(said, by=f"POST {call.path}", took_s=took_s, real=False)


def _message(body: str) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return body[:200]


def _text(dialect: Dialect, body: str) -> str:
    document = json.loads(body)
    if dialect is Dialect.CHAT:
        return str(document["choices"][0]["message"]["content"] or "")
    if dialect is Dialect.MESSAGES:
        return "".join(block.get("text", "") for block in document["content"])
    parts = (part for item in document["output"] for part in item.get("content", ()))
    return "".join(part.get("text", "") for part in parts)


def _trip(said: Said, *, by: str, took_s: float, real: bool) -> Trip:
    headers = {name.lower(): value for name, value in said.headers.items()}
    return Trip(
        by=by,
        is_real_client=real,
        took_s=took_s,
        text=" ".join(said.text.split())[:60],
        request_id=headers.get("x-spillway-request-id"),
        target=headers.get("x-spillway-target"),
        model=headers.get("x-spillway-model"),
        simulated=headers.get("x-spillway-simulated") == "true" if headers else None,
    )


def with_ledger(trip: Trip, *, request_id: str, target: str | None, model: str | None, simulated: bool) -> Trip:
    """The same trip, told by the ledger where the client does not show headers."""
    return replace(trip, request_id=request_id, target=target, model=model, simulated=simulated)
