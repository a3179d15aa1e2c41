"""Pages of pods, read through the API server, which has a way to them where this machine has none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import PODS
from controller.core.errors import ClusterError

PAGE_S = 3.0  # beyond it a page is of no use to somebody who waits
PAGE_BYTES_MAX = 32 * 1024 * 1024


async def page(client: KubernetesClient, pod: str, port: int, path: str) -> bytes | None:
    """What a pod answers; None where it does not answer well, or may not be asked."""
    where = f"{PODS.path(client.namespace, f'{pod}:{port}', 'proxy')}{path}"
    found = bytearray()
    try:
        async with client.stream(where, {}, limit_s=PAGE_S) as pieces:
            async for piece in pieces:
                found += piece
                if len(found) > PAGE_BYTES_MAX:
                    return None
    except ClusterError:
        return None
    return bytes(found)


async def pages(client: KubernetesClient, pods: Iterable[str], port: int, path: str) -> dict[str, bytes]:
    """The same page of all that answer, by pod."""
    names = tuple(pods)
    found = await asyncio.gather(*(page(client, name, port, path) for name in names))
    return {name: body for name, body in zip(names, found, strict=True) if body is not None}
