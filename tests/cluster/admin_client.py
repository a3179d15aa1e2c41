"""An administrator's calls of the API from an event loop, as JSON; for the harness, beside what is under test."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from tests.cluster.errors import CommandFailed

CALL_S = 30.0
BUSY, BUSY_TRIES, BUSY_S = 429, 10, 1.0
WINDOW_S = 60
LINE_BYTES = 2**24
STRATEGIC, MERGE = "application/strategic-merge-patch+json", "application/merge-patch+json"
Json = dict[str, Any]


class AdminClient:
    """One session. `certificates`: the folder of the cluster's authority."""

    def __init__(self, server: str, certificates: Path) -> None:
        tls = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        tls.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")
        self._session = aiohttp.ClientSession(
            base_url=server,
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=CALL_S),
            read_bufsize=LINE_BYTES,
        )

    async def close(self) -> None:
        """Afterwards no connection is open."""
        await self._session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """What is there."""
        return await self.call("GET", path, query=query)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        allowed: tuple[int, ...] = (),
    ) -> Json:
        """The answer; CommandFailed with the API's words where it says no with a status that is not allowed.

        Asked again where the API has no time, as all of its clients do: so it is while a resource is defined anew.
        """
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        for _ in range(BUSY_TRIES):
            async with self._session.request(method, path, params=query, data=data, headers=headers) as answer:
                status, text = answer.status, await answer.text()
            if status != BUSY or status in allowed:
                break
            await asyncio.sleep(BUSY_S)
        if status >= 300 and status not in allowed:
            raise CommandFailed(f"{method} {path}: {status} {text[:500]}")
        said: Json = json.loads(text)
        return said

    async def patch(self, path: str, body: object, *, allowed: tuple[int, ...] = ()) -> Json:
        """The object afterwards, by a merge patch."""
        return await self.call("PATCH", path, body, content_type=MERGE, allowed=allowed)

    async def events(self, path: str, version: str) -> AsyncGenerator[tuple[str, Json], None]:
        """The changes since this version, until the API ends the watch."""
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(WINDOW_S)}
        timeout = aiohttp.ClientTimeout(total=WINDOW_S + CALL_S)
        async with self._session.get(path, params=query, timeout=timeout) as answer:
            async for line in answer.content:
                event = json.loads(line)
                yield event["type"], event["object"]
