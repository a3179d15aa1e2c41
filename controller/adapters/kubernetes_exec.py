"""Runs a command in a container of a pod, as `kubectl exec` does: by WebSocket, each frame led by its channel.

Nothing is written to the command; what it writes is handed on as it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import aiohttp
import orjson

from controller.adapters.kubernetes_access import Access
from controller.adapters.kubernetes_client import CONNECT_TIMEOUT_S, KubernetesClient
from controller.adapters.kubernetes_kinds import PODS
from controller.adapters.kubernetes_refusals import BROKEN, TIMED_OUT, translated
from controller.core.errors import ClusterError, ClusterUnavailable

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDOUT, STDERR, OUTCOME = 1, 2, 3
QUIET_S = 60.0  # without a byte from the command or a pong on the way to it

Sink = Callable[[bytes], None]


async def execute(
    client: KubernetesClient,
    access: Access,
    pod: str,
    container: str,
    command: Sequence[str],
    *,
    stdout: Sink,
    stderr: Sink,
) -> int:
    """The exit code of the command; ClusterError where it cannot be run, or nobody knows what became of it."""
    path = PODS.path(access.namespace, pod, "exec")
    into = {"container": container, "stdout": "true", "stderr": "true"}
    asked = [*into.items(), *(("command", one) for one in command)]
    connector = aiohttp.TCPConnector(ssl=True if access.tls is None else access.tls)
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, trust_env=access.trust_env, timeout=timeout) as session:
        try:
            with translated(path, CONNECT_TIMEOUT_S):
                return await _follow(session, access, path, asked, {STDOUT: stdout, STDERR: stderr})
        except ClusterUnavailable as error:
            if isinstance(error.__cause__, aiohttp.WSServerHandshakeError):
                await client.get(path, {**into, "command": command[0]})  # without an upgrade it says what is wrong
            raise


async def _follow(
    session: aiohttp.ClientSession,
    access: Access,
    path: str,
    asked: Sequence[tuple[str, str]],
    sinks: Mapping[int, Sink],
) -> int:
    async with session.ws_connect(
        access.server + path,
        params=asked,
        headers={"User-Agent": "spillway", **await access.headers(False)},
        protocols=PROTOCOLS,
        proxy=access.proxy,
        server_hostname=access.server_name,
        heartbeat=QUIET_S,
        max_msg_size=0,
    ) as socket:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == OUTCOME:
                return exit_code(data, path)
            if channel in sinks and data:
                sinks[channel](data)
    raise ClusterUnavailable(f"{path} ended without a word on what became of the command", reason=BROKEN)


def exit_code(said: bytes, path: str) -> int:
    """The exit code in the last word of the API; ClusterError where the command could not be run."""
    try:
        status = orjson.loads(said)
    except ValueError as error:
        raise ClusterUnavailable(f"{path}: its last word is not JSON", reason=BROKEN) from error
    if status.get("status") == "Success":
        return 0
    causes = (status.get("details") or {}).get("causes") or []
    codes = [str(one.get("message")) for one in causes if one.get("reason") == "ExitCode"]
    if status.get("reason") == "NonZeroExitCode" and codes and codes[0].isdecimal():
        return int(codes[0])
    raise _failed(str(status.get("message") or "it could not be run"), path)


def _failed(words: str, path: str) -> ClusterError:
    return ClusterUnavailable(f"{path}: {words}", reason=TIMED_OUT if "timeout" in words else BROKEN)
