"""Fault group C, names: name servers that say nothing or something new, certificates that nobody vouches for."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, Told
from tests.faults.gateway_process import Setup, key_variable, merged
from tests.faults.name_server import NameServer, name_server
from tests.faults.play import play
from tests.faults.provider_scene import PATIENT_LEDGER, SPARE, sources
from tests.faults.rows import row
from tests.faults.stub import Stub
from tests.faults.stub_scripts import answer
from tests.faults.world import World, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

NAMED = "stub-named"
BOTH = {NAMED: "openai", SPARE: "openai"}
HOST, SILENT = "provider.test", "silent{}.test"
OLD, NEW = "127.0.0.1", "127.0.0.2"
NEXT_S, MOVED_S = 2.0, 30.0
SILENT_NAMES = 8
MODEL = {"tier": 1, "capabilities": ["text"], "context_tokens": 200_000, "max_output_tokens": 4096,
         "usd_per_mtok_in": "1", "usd_per_mtok_out": "3", "source": "stub", "as_of": "2026-11-01"}  # fmt: skip


def _asking(folder: Path, server: NameServer, extra: Sequence[str] = ()) -> Setup:
    """A gateway that asks this name server. `extra`: hosts of further providers, each with the spare one behind it."""
    provider = {"dialect": "openai", "api_key_env": key_variable(SPARE), "private_address": True}
    folder.mkdir()
    return Setup(
        wrapper=server.wrapper(folder),
        environ={key_variable(name): f"key-of-{name}" for name in BOTH},
        changes={
            "gateway": PATIENT_LEDGER,
            "models": {host: {**MODEL, "provider": host, "model_id": host} for host in extra},
            "providers": {
                NAMED: {"private_address": True},
                **{host: {**provider, "base_url": f"http://{host}:9/v1"} for host in extra},
            },
            "fallbacks": {host: [SPARE] for host in extra},
        },
    )


async def _ask(here: World, model: str) -> Told:
    """An answer, by whomever."""
    told = await here.ask(model=model, stream=False)
    assert told.end == ANSWERED, (told.status, told.body[:300])
    return told


def _source(told: Told) -> str:
    (source,) = told.sources
    return source


def test_c4_a_name_server_says_nothing(tmp_path: Path) -> None:
    """Names never heard of lead to the next target in two seconds; what is known goes on, on new connections too."""

    async def scene() -> None:
        silent = [SILENT.format(number).replace(".", "-") for number in range(SILENT_NAMES)]
        async with name_server() as server:
            server.addresses[HOST] = OLD
            server.silent |= {*silent}
            setup = _asking(tmp_path / "names", server, silent)
            async with (
                world(tmp_path / "c4", engines=0, providers=BOTH, setup=setup, names={NAMED: HOST}) as here,
                row(here, "C4", "a name server is silent") as line,
            ):
                assert HOST in server.asked, "the gateway asks somebody else"
                server.silent.add(HOST)
                line.injected()
                began_s = time.monotonic()
                slowest_s = known_s = 0.0
                asking = [here.asking(model=name, stream=False) for name in silent]
                while time.monotonic() - began_s < 12.0:  # longer than an answer is fresh
                    here.providers[0].drop_idle()
                    told = await _ask(here, NAMED)
                    assert NAMED in _source(told), told.headers
                    known_s = max(known_s, told.took_s)
                    await asyncio.sleep(0.2)
                for told in await asyncio.gather(*asking):
                    assert told.end == ANSWERED, (told.status, told.body[:300])
                    slowest_s = max(slowest_s, told.took_s)
                line.within("next_s", slowest_s, NEXT_S)
                line.within("known_s", known_s, NEXT_S)
                line.detected()
                line.healed()

    play(scene())


def test_c4_a_provider_moves(tmp_path: Path) -> None:
    """Its name leads elsewhere: within thirty seconds no call goes to the old address, though that still answers."""

    async def scene() -> None:
        async with name_server() as server:
            server.addresses[HOST] = OLD
            setup = _asking(tmp_path / "names", server)
            async with world(tmp_path / "c4", engines=0, providers=BOTH, setup=setup, names={NAMED: HOST}) as here:
                old = here.providers[0]
                new = Stub(NAMED, answer(), marker=here.canaries.completion, address=NEW, port=old.port, drains=True)
                here.providers = [*here.providers, new]
                await new.listen()
                try:
                    async with row(here, "C4", "a provider moves") as line:
                        asked = len(server.asked)
                        server.addresses[HOST] = NEW
                        line.injected()
                        began_s = time.monotonic()
                        while not new.calls:
                            assert time.monotonic() - began_s < MOVED_S, f"{len(server.asked) - asked} times asked"
                            await _ask(here, NAMED)
                            await asyncio.sleep(0.1)
                        line.figures["moved_s"] = round(time.monotonic() - began_s, 1)
                        line.detected()
                        old_calls = len(old.calls)
                        for told in await here.ask_many(20, model=NAMED, stream=False):
                            assert told.end == ANSWERED
                        assert len(old.calls) == old_calls
                        line.healed()
                        await new.die()
                        server.addresses[HOST] = OLD
                        assert SPARE in _source(await _ask(here, NAMED)), "the address is gone before its name moves"
                finally:
                    await new.die()

    play(scene())


def test_c4_no_name_and_no_certificate(tmp_path: Path) -> None:
    """A name that is none, a certificate that nobody signed: the next target in two seconds, nothing said.

    The same certificate in the provider's `ca_file` is spoken to.
    """

    async def scene() -> None:
        made = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
                "-addext", "subjectAltName=IP:127.0.0.1"]  # fmt: skip
        files = ["-keyout", str(tmp_path / "k.pem"), "-out", str(tmp_path / "c.pem")]
        subprocess.run(["openssl", "req", *made, *files], check=True, capture_output=True, timeout=30)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
        heard: list[bytes] = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read(100))
            writer.close()

        server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        addresses = {"bad-name": "http://no-such-name.invalid/v1", "bad-cert": f"https://127.0.0.1:{port}/v1"}
        vouched, vouched_url = "own-authority", f"https://127.0.0.1:{port}/own/v1"
        every = {**addresses, vouched: vouched_url}
        provider = {"dialect": "openai", "api_key_env": key_variable(SPARE)}
        changes: dict[str, object] = {
            "gateway": PATIENT_LEDGER,
            "models": {name: {**MODEL, "provider": name, "model_id": name} for name in every},
            "providers": {name: {**provider, "base_url": url} for name, url in every.items()},
            "fallbacks": {name: [SPARE] for name in every},
        }
        changes = merged(changes, {"providers": {vouched: {"ca_file": str(tmp_path / "c.pem")}}})
        async with (
            world(tmp_path / "c4", engines=0, providers={SPARE: "openai"}, setup=Setup(changes=changes)) as here,
            row(here, "C4", "no such name, unsigned certificate") as line,
        ):
            line.injected()
            for name in addresses:
                told = await here.ask(model=name, stream=False)
                assert (told.end, sources(told)) == (ANSWERED, {SPARE})
                line.figures[f"{name}_s"] = round(told.took_s, 3)
                assert told.took_s <= 2.0
            line.detected()
            assert b"".join(heard) == b"", "something was said to a server that nobody vouches for"
            await here.ask(model="bad-cert", stream=False)
            said = [text for text in here.gateway.log.read_text().splitlines() if "provider_not_trusted" in text]
            assert len(said) == 1
            assert f"127.0.0.1:{port}" in said[0]
            await here.ask(model=vouched, stream=False)
            assert b"".join(heard).startswith(b"POST /own/v1/chat/completions")
            line.healed()
        server.close()

    play(scene())
