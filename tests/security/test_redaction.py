"""Canaries in everything that must not be told, and a real gateway driven through all that may go wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.caller import Told
from tests.faults.gateway_process import GatewayProcess, Setup
from tests.faults.stub import Exchange, Script
from tests.faults.stub_scripts import answer, raw, whole_http
from tests.faults.world import World, world

PROVIDER = "stub-openai"
WARM_UP_PURCHASES = 20
COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("config", "show"),
    ("config", "show", "--json"),
    ("config", "validate"),
    ("keys", "list"),
    ("request",),
    ("ledger", "report"),
    ("ledger", "export", "--to", "rows.csv"),
    ("route", "explain", "llama-8b"),
)


def echo(status: int) -> Script:
    """An upstream that says in its refusal all that it was sent, keys too."""

    async def script(call: Exchange) -> None:
        words = f"{call.call.headers} {json.dumps(call.call.body)}"
        body = json.dumps({"error": {"message": words, "type": "x", "param": None, "code": words[:60]}}).encode()
        await call.write(whole_http(body, status=status))

    return script


async def drive(here: World) -> list[Told]:
    """Answers, refusals by everybody, broken answers, and a defect of ours, at an own pool and at a provider."""
    told = [await here.ask(stream=stream, model=model) for stream in (False, True) for model in ("llama-8b", PROVIDER)]
    assert {one.status for one in told} == {200}
    for model in ("llama-8b", PROVIDER):
        for status in (400, 401, 404, 422, 429, 500, 503):
            for stub in here.stubs:
                stub.script = echo(status)
            told.append(await here.ask(stream=False, model=model))
        for bad in (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n<html", b"nonsense\r\n\r\n"):
            for stub in here.stubs:
                stub.script = raw(bad, then="close")
            told.append(await here.ask(stream=False, model=model))
        for stub in here.stubs:
            stub.script = answer()
        word = here.canaries.prompt
        odd: tuple[Mapping[str, object], ...] = ({"temperature": word}, {"messages": word}, {"tools": [{"type": word}]})
        told += [await here.ask(stream=False, model=model, fields=fields) for fields in odd]
    return told


def commands(gateway: GatewayProcess, environ: Mapping[str, str]) -> dict[str, bytes]:
    """What each command says on both of its outputs, and the files that it writes."""
    here = ("-c", str(gateway.folder / "spillway.yaml"), "--state-dir", str(gateway.state_dir))
    found = {}
    for words in COMMANDS:
        line = [sys.executable, "-m", "controller.cli.main", *words, *here]
        done = subprocess.run(line, env=dict(environ), capture_output=True, timeout=60, check=False, cwd=gateway.folder)
        found[" ".join(words)] = done.stdout + done.stderr
    return found


def leaks(places: Mapping[str, bytes], canaries: Mapping[str, str]) -> list[str]:
    """Which canary was found where."""
    return [
        f"{name} in {place}"
        for place, data in places.items()
        for name, word in canaries.items()
        if word.encode() in data
    ]


@pytest.mark.slow  # ten commands
@pytest.mark.timeout(180)
def test_no_canary_is_told(tmp_path: Path) -> None:
    """Prompt, completion and keys stand in no log, metric, page, ledger, refusal, or word of a command."""

    async def main() -> None:
        engine_key = f"canary-engine-{secrets.token_hex(6)}"
        environ = {
            "SPILLWAY_ENGINE_KEY": engine_key,
            "SPILLWAY_FAILPOINT": f"gateway.reserved@{WARM_UP_PURCHASES + 1}:raise",
        }
        async with world(tmp_path, providers={PROVIDER: "openai"}, setup=Setup(environ=environ)) as here:
            gateway = here.gateway
            failed = await here.ask(stream=False, model=PROVIDER)
            assert (failed.status, failed.error["code"]) == (500, "internal_error")
            told = [failed, *await drive(here)]
            assert here.engines[0].calls[-1].headers["authorization"] == f"Bearer {engine_key}"
            canaries = {
                "prompt": here.canaries.prompt,
                "completion": here.canaries.completion,
                "provider key": here.canaries.provider_key,
                "caller key": gateway.key,
                "engine key": engine_key,
            }
            places = {
                f"page {path}": (await gateway.page(path)).encode() for path in ("/metrics", "/v1/loads", "/readyz")
            }
            places |= {
                f"answer {number} of {one.headers.get('x-spillway-error-source')}": b"%d %a" % (one.status, one.headers)
                + one.body
                for number, one in enumerate(told)
                if one.status != 200
            }
            places |= await asyncio.to_thread(commands, gateway, gateway.environ)
            files = [path for path in gateway.folder.rglob("*") if path.is_file() and path.name != "spillway.yaml"]
            places |= {path.name: path.read_bytes() for path in files}
            assert b"request_failed" in places["gateway.log"]
            assert b"Traceback" in places["gateway.log"]
            own_words = re.compile(r"prompt in answer \d+ of (pool|provider)")  # an upstream's, about the caller's
            found = [one for one in leaks(places, canaries) if not own_words.fullmatch(one)]
            assert not found, found

    asyncio.run(main())


@pytest.mark.slow  # each command waits for the database
@pytest.mark.timeout(180)
def test_no_password_of_the_database_is_told(tmp_path: Path) -> None:
    """A database that cannot be reached fails commands, whose words do not have it."""
    word = f"canary-password-{secrets.token_hex(6)}"
    environ = {**os.environ, "SPILLWAY_DATABASE_URL": f"postgresql://user:{word}@127.0.0.1:1/none"}
    (tmp_path / "spillway.yaml").write_text("{}")
    for words in (("config", "show"), ("keys", "list")):
        line = [sys.executable, "-m", "controller.cli.main", *words, "-c", "spillway.yaml", "--state-dir", "state"]
        done = subprocess.run(line, env=environ, capture_output=True, timeout=60, check=False, cwd=tmp_path)
        assert done.stdout + done.stderr
        assert word.encode() not in done.stdout + done.stderr, f"{words}: {done.stderr[-2000:]!r}"
