"""A provider's own authority vouches for that provider alone; what nobody vouches for is never spoken to."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.adapters.aiohttp_upstream import AiohttpUpstream, NotTrusted
from tests.contract.upstream_clients import call, whole

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30, cwd=folder)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a stranger, and a certificate for localhost that the first one signed."""
    folder = tmp_path_factory.mktemp("authority")
    for name in ("authority", "stranger"):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"]
        _openssl(folder, "req", "-x509", *key, "-days", "1", "-subj", f"/CN={name}", "-out", f"{name}.pem")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "server.key"]
    _openssl(folder, "req", *key, "-subj", "/CN=localhost", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    signed_by = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial"]
    for name, days in (("server", "1"), ("expired", "-1")):
        ends = ["-days", days, "-extfile", "names", "-out", f"{name}.pem"]
        _openssl(folder, "x509", "-req", "-in", "server.csr", *signed_by, *ends)
    return folder


def _context(folder: Path, name: str = "server") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / "server.key")
    return context


def test_who_vouches_for_whom(certificates: Path) -> None:
    """Its authority lets a provider be called; without it, or with another, the words say what is wrong, once a log."""
    context = _context(certificates)
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n{}"))
        writer.write(OK)
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        files = {f"{url}/{name}": str(certificates / f"{name}.pem") for name in ("authority", "stranger")}
        upstream = AiohttpUpstream(private_hosts=frozenset({"localhost"}), ca_files=files)
        response = await upstream.open(call(f"{url}/authority", connect_timeout_s=5.0))
        assert await whole(response) == b"ok"
        await response.close()
        for place in ("stranger", "none"):
            with capture_logs() as logs:
                for _ in range(2):
                    with pytest.raises(NotTrusted, match=r"certificate of localhost:\d+ is not trusted: unable to get"):
                        await upstream.open(call(f"{url}/{place}", connect_timeout_s=5.0))
            assert [(line["event"], line["server"]) for line in logs] == [("provider_not_trusted", url[8:])]
        await upstream.aclose()
        server.close()

    asyncio.run(main())
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("name", "host", "why"),
    [("expired", "localhost", "has expired"), ("server", "127.0.0.1", "IP address mismatch")],
    ids=["expired", "another name"],
)
def test_what_an_authority_does_not_cover(certificates: Path, name: str, host: str, why: str) -> None:
    """A certificate that has expired or is for another name is not trusted, whoever signed it, and nothing is said."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(10))
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=_context(certificates, name))
        url = f"https://{host}:{server.sockets[0].getsockname()[1]}"
        files = {url: str(certificates / "authority.pem")}
        upstream = AiohttpUpstream(private_hosts=frozenset({"localhost"}), ca_files=files)
        with pytest.raises(NotTrusted, match=why):
            await upstream.open(call(url, connect_timeout_s=5.0))
        await upstream.aclose()
        server.close()

    asyncio.run(main())
    assert b"".join(heard) == b""
