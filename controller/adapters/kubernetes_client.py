"""Calls of the Kubernetes API: JSON in and out, a deadline on each, foreign errors mapped once.

Used by everything that knows Kubernetes. Nothing is tried again in here: who calls knows whether that is harmless.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
import orjson

from controller.adapters.kubernetes_access import Access
from controller.adapters.kubernetes_kinds import Json
from controller.adapters.kubernetes_refusals import NO_ANSWER, read_object, refusal, translated
from controller.core.errors import ClusterUnavailable
from controller.telemetry.kubernetes_metrics import KubernetesMetrics

CALL_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0

JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML


class KubernetesClient:
    """One way into one cluster, and the connections that are open to it."""

    def __init__(
        self,
        access: Access,
        *,
        metrics: KubernetesMetrics | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        may_write: Callable[[], None] | None = None,
    ) -> None:
        """`may_write` is asked before each write, and raises where it may not be."""
        self._access = access
        self._timeout_s = timeout_s
        self._may_write = may_write
        self._session: aiohttp.ClientSession | None = None
        self.metrics = KubernetesMetrics() if metrics is None else metrics

    @property
    def namespace(self) -> str:
        """Where everything of this installation is."""
        return self._access.namespace

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, timeout_s: float | None = None) -> Json:
        """The object or list there."""
        return await self._call("GET", path, params=params, timeout_s=timeout_s)

    async def create(self, path: str, body: Json) -> Json:
        """The object as it was made."""
        return await self._call("POST", path, body=body)

    async def replace(self, path: str, body: Json) -> Json:
        """The object as it now is; where `body` has a resourceVersion, only if nobody has changed it since."""
        return await self._call("PUT", path, body=body)

    async def patch(
        self, path: str, body: object, *, kind: str = MERGE, params: Mapping[str, str] | None = None
    ) -> Json:
        """The object as it now is."""
        return await self._call("PATCH", path, params=params, body=body, content_type=kind)

    async def apply(self, path: str, body: Json, *, manager: str) -> Json:
        """Afterwards the fields in `body` are `manager`'s and as it says, and those that it said before are gone."""
        params = {"fieldManager": manager, "force": "true"}
        return await self._call("PATCH", path, params=params, body=body, content_type=APPLY)

    async def delete(self, path: str, *, uid: str | None = None, grace_s: int | None = None) -> Json:
        """Afterwards that very object is on its way out."""
        body: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        return await self._call("DELETE", path, body=body)

    @asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], *, limit_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer as it comes, in pieces; ClusterUnavailable where it has not ended after `limit_s`."""
        timeout = aiohttp.ClientTimeout(total=limit_s, connect=min(limit_s, CONNECT_TIMEOUT_S))
        with translated(path, limit_s):
            response = await self._send("GET", path, params=params, timeout=timeout)
            async with response:
                await self._check(response, "watch", path)
                self.metrics.called("watch", resource_of(path), str(response.status))
                yield response.content.iter_any()

    async def close(self) -> None:
        """Afterwards no connection is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = JSON,
        timeout_s: float | None = None,
    ) -> Json:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        data = None if body is None else orjson.dumps(body)
        timeout = aiohttp.ClientTimeout(total=limit_s, connect=min(limit_s, CONNECT_TIMEOUT_S))
        verb = method.lower()
        if method != "GET" and self._may_write is not None:
            self._may_write()
        try:
            with translated(path, limit_s):
                response = await self._send(
                    method, path, params=params, data=data, content_type=content_type, timeout=timeout
                )
                async with response:
                    await self._check(response, verb, path)
                    answer = read_object(await response.read(), path)
        except ClusterUnavailable as error:
            if error.reason in NO_ANSWER:
                self.metrics.called(verb, resource_of(path), error.reason)
            raise
        self.metrics.called(verb, resource_of(path), str(response.status))
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        content_type: str = JSON,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 # not a deadline of ours: aiohttp's
    ) -> aiohttp.ClientResponse:
        """The answer's head; a refused token is asked for anew once."""
        for refused in (False, True):
            headers = {"Accept": JSON, "User-Agent": "spillway", **await self._access.headers(refused)}
            if data is not None:
                headers["Content-Type"] = content_type
            response = await self._open().request(
                method,
                self._access.server + path,
                params=params,
                data=data,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                proxy=self._access.proxy,
                server_hostname=self._access.server_name,
            )
            if response.status != 401 or refused:
                return response
            response.release()
        raise AssertionError("the second answer is returned")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=True if self._access.tls is None else self._access.tls, limit=64)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=self._access.trust_env)
        return self._session

    async def _check(self, response: aiohttp.ClientResponse, verb: str, path: str) -> None:
        if response.status < 300:
            return
        self.metrics.called(verb, resource_of(path), str(response.status))
        raise refusal(response.status, await response.read(), response.headers.get("Retry-After"), f"{verb} {path}")


def resource_of(path: str) -> str:
    """What a path is about, for metrics: `pods`, `deployments/scale`; never the name of an object."""
    steps = path.split("/")
    steps = steps[3:] if path.startswith("/api/") else steps[4:]
    if steps[:1] == ["namespaces"]:
        steps = steps[2:]
    return "/".join((*steps[:1], *steps[2:3])) or "root"
