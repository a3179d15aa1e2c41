"""A Kubernetes API server on a socket of this machine: lists, watches, versions, scale, status, server-side apply.

Held to the real one by `tests/contract/test_kubernetes_contract.py`. What goes wrong is said by `faults` and `watches`.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from controller.adapters.kubernetes_access import Access
from tests.adapters.fake_api_objects import Refused, applied, has_field, merged, scale_of, status_error

Json = dict[str, Any]
Key = tuple[str, str, str]  # resource path, namespace, name
Fault = Callable[[web.Request], tuple[int, Json] | None]

KINDS = {
    "/api/v1/pods": "Pod",
    "/api/v1/configmaps": "ConfigMap",
    "/apis/apps/v1/deployments": "Deployment",
    "/apis/coordination.k8s.io/v1/leases": "Lease",
    "/apis/events.k8s.io/v1/events": "Event",
    "/apis/spillway.dev/v1alpha1/modelpools": "ModelPool",
}
WITH_STATUS = frozenset({"Pod", "Deployment", "ModelPool"})


@dataclass
class Watches:
    """What becomes of events on their way. `frozen`: none is sent, none ends. `lose`: swallowed by type, once each."""

    frozen: bool = False
    lose: list[str] = field(default_factory=list)
    twice: bool = False
    open: int = 0
    began: int = 0


class FakeApiServer:
    """All objects of one cluster, and every version that each has had since `compact`."""

    def __init__(self) -> None:
        self.objects: dict[Key, Json] = {}
        self.calls: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.undeclared: set[tuple[str, ...]] = {("notDeclared",)}  # fields of a status that the schema does not have
        self.lost_answers: list[str] = []  # of calls with these methods, once each: done, and the connection is reset
        self.watches = Watches()
        self.url = ""
        self._uids = itertools.count(1)
        self._version = 100
        self._oldest = 0
        self._log: list[tuple[int, str, Key, Json]] = []
        self._news = asyncio.Condition()
        self._fields: dict[tuple[Key, str], Json] = {}  # what each field manager has applied
        self._closing = False

    def access(self, namespace: str = "models", token: str = "t") -> Access:  # nobody's
        """A way in."""

        async def headers(refused: bool) -> dict[str, str]:
            return {"Authorization": f"Bearer {token}"}

        return Access(server=self.url, namespace=namespace, headers=headers)

    async def put(self, resource: str, item: Json, namespace: str = "models") -> Json:
        """An object as somebody else makes or changes it, status and all."""
        key = (resource, namespace, str(item["metadata"]["name"]))
        return await self._store(key, copy.deepcopy(item))

    async def drop(self, resource: str, name: str, namespace: str = "models") -> None:
        """An object as somebody else removes it."""
        await self._remove((resource, namespace, name))

    def get(self, resource: str, name: str, namespace: str = "models") -> Json:
        """An object as it is."""
        return self.objects[resource, namespace, name]

    def has(self, resource: str, name: str, namespace: str = "models") -> bool:
        """Whether there is such an object."""
        return (resource, namespace, name) in self.objects

    def named(self, resource: str) -> list[Json]:
        """All of a kind, by name."""
        return [item for key, item in sorted(self.objects.items()) if key[0] == resource]

    async def compact(self) -> None:
        """Afterwards no version from before is remembered, and open watches end."""
        self._oldest = self._version
        self._log.clear()
        async with self._news:
            self._news.notify_all()

    def writes(self) -> list[tuple[str, str]]:
        """The calls that change something."""
        return [call for call in self.calls if call[0] not in {"GET", "WATCH"}]

    async def _store(self, key: Key, item: Json) -> Json:
        self._version += 1
        before = self.objects.get(key)
        metadata = item["metadata"]
        metadata["namespace"] = key[1]
        metadata["resourceVersion"] = str(self._version)
        metadata["uid"] = before["metadata"]["uid"] if before else metadata.get("uid", f"uid-{next(self._uids)}")
        metadata.setdefault("creationTimestamp", "2026-11-01T00:00:00Z")
        item.setdefault("kind", KINDS[key[0]])
        if item.get("spec") is not None and (before is None or before.get("spec") != item["spec"]):
            metadata["generation"] = (before or item)["metadata"].get("generation", 0) + 1
        self.objects[key] = item
        await self._publish("MODIFIED" if before else "ADDED", key, item)
        return copy.deepcopy(item)

    async def _remove(self, key: Key) -> Json:
        item = self.objects.pop(key)
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        await self._publish("DELETED", key, item)
        return copy.deepcopy(item)

    async def _publish(self, change: str, key: Key, item: Json) -> None:
        self._log.append((self._version, change, key, copy.deepcopy(item)))
        async with self._news:
            self._news.notify_all()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call."""
        verb = "WATCH" if request.query.get("watch") in {"1", "true"} else request.method
        self.calls.append((verb, request.path))
        try:
            for fault in self.faults:
                if (found := fault(request)) is not None:
                    return web.Response(status=found[0], body=orjson.dumps(found[1]), content_type="application/json")
            if not request.headers.get("Authorization"):
                raise Refused(401, "Unauthorized", "Unauthorized")
            group, _, rest = request.path.partition("/namespaces/")
            namespace, plural, *more = rest.split("/")
            resource = f"{group}/{plural}"
            if resource not in KINDS:
                raise Refused(404, "NotFound", "the server could not find the requested resource")
            if verb == "WATCH":
                return await self._watch(request, resource, namespace)
            body = await self._do(request, resource, namespace, more)
        except Refused as refused:
            return web.Response(status=refused.status, body=orjson.dumps(refused.body), content_type="application/json")
        if verb in self.lost_answers and request.transport is not None:
            self.lost_answers.remove(verb)
            request.transport.abort()
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def _do(self, request: web.Request, resource: str, namespace: str, more: list[str]) -> Json:
        given = orjson.loads(await request.read() or b"{}")
        if not more:
            return (
                self._list(resource, namespace)
                if request.method == "GET"
                else await self._make(resource, namespace, given)
            )
        key, part = (resource, namespace, more[0]), more[1] if len(more) > 1 else ""
        if request.method == "PATCH" and "apply-patch" in request.content_type:
            return await self._apply(key, part, given, request.query["fieldManager"])
        if key not in self.objects:
            raise Refused(404, "NotFound", f'{resource.rsplit("/", 1)[1]} "{more[0]}" not found')
        now = self.objects[key]
        if request.method == "GET":
            return scale_of(now) if part == "scale" else copy.deepcopy(now)
        if request.method == "DELETE":
            wanted = (given.get("preconditions") or {}).get("uid")
            if wanted not in {None, now["metadata"]["uid"]}:
                raise Refused(409, "Conflict", "Precondition failed: UID in precondition does not match")
            return await self._remove(key)
        if request.method == "PATCH":
            given = merged(scale_of(now) if part == "scale" else now, given)
        self._check_version(key, given)
        return await self._write(key, part, given, request.headers.get("User-Agent", "").split("/")[0])

    def _check_version(self, key: Key, given: Json) -> None:
        uid = self.objects[key]["metadata"]["uid"]
        if given["metadata"].get("uid") not in {None, "", uid}:
            raise Refused(422, "Invalid", f'"{key[2]}" is invalid: metadata.uid: Invalid value: field is immutable')
        if key[0].endswith("/events") and given.get("note") != self.objects[key].get("note"):
            raise Refused(422, "Invalid", f'Event "{key[2]}" is invalid: message: Invalid value: field is immutable')
        version = given["metadata"].get("resourceVersion")
        if version not in {None, "", self.objects[key]["metadata"]["resourceVersion"]}:
            words = "the object has been modified; please apply your changes to the latest version and try again"
            raise Refused(409, "Conflict", f'Operation cannot be fulfilled on "{key[2]}": {words}')

    async def _write(self, key: Key, part: str, given: Json, who: str) -> Json:
        now = copy.deepcopy(self.objects[key])
        if part == "scale":
            now["spec"]["replicas"] = given["spec"]["replicas"]
            fields = {"manager": who, "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
            now["metadata"]["managedFields"] = [fields]
            return scale_of(await self._store(key, now))
        kept = "status" if part != "status" and KINDS[key[0]] in WITH_STATUS else None
        if part == "status":
            now["status"] = given.get("status")
            given = now
        elif kept and kept in now:
            given = {**given, "status": now["status"]}
        same = {**given, "metadata": {**given["metadata"], "resourceVersion": now["metadata"]["resourceVersion"]}}
        return copy.deepcopy(now) if same == self.objects[key] else await self._store(key, copy.deepcopy(given))

    async def _make(self, resource: str, namespace: str, given: Json) -> Json:
        name = given["metadata"].get("name") or f"{given['metadata']['generateName']}{self._version:x}"
        given["metadata"]["name"] = name
        if (resource, namespace, name) in self.objects:
            raise Refused(409, "AlreadyExists", f'{resource.rsplit("/", 1)[1]} "{name}" already exists')
        if KINDS[resource] in WITH_STATUS:
            given.pop("status", None)
        return await self._store((resource, namespace, name), given)

    async def _apply(self, key: Key, part: str, given: Json, manager: str) -> Json:
        if key not in self.objects:
            if part:
                raise Refused(404, "NotFound", f'"{key[2]}" not found')
            return await self._make(key[0], key[1], given)
        self._check_version(key, given)
        if missing := [path for path in sorted(self.undeclared) if has_field(given.get("status"), path)]:
            lines = "".join(f"\n  .status.{'.'.join(path)}: field not declared in schema" for path in missing)
            raise Refused(500, "", f"failed to create typed patch object: errors:{lines}")
        now = self.objects[key]
        result = applied(now, given, self._fields.get((key, manager + part), {}), part)
        self._fields[key, manager + part] = copy.deepcopy(given)
        return copy.deepcopy(now) if result == now else await self._store(key, result)

    def _list(self, resource: str, namespace: str) -> Json:
        items = [copy.deepcopy(one) for key, one in sorted(self.objects.items()) if key[:2] == (resource, namespace)]
        return {"kind": f"{KINDS[resource]}List", "metadata": {"resourceVersion": str(self._version)}, "items": items}

    async def _watch(self, request: web.Request, resource: str, namespace: str) -> web.StreamResponse:
        since = int(request.query.get("resourceVersion") or self._version)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self.watches.open += 1
        self.watches.began += 1
        deadline_s = asyncio.get_running_loop().time() + float(request.query.get("timeoutSeconds", "300"))
        try:
            while not self._closing:
                if since < self._oldest:
                    gone = status_error(410, "Expired", f"too old resource version: {since} ({self._oldest})")
                    await response.write(orjson.dumps({"type": "ERROR", "object": gone}) + b"\n")
                    break
                for version, change, key, item in [one for one in self._log if one[0] > since]:
                    since = version
                    if key[:2] == (resource, namespace):
                        await self._send(response, change, item)
                left_s = deadline_s - asyncio.get_running_loop().time()
                if left_s <= 0 and not self.watches.frozen:
                    break
                async with self._news:
                    try:
                        async with asyncio.timeout(max(0.05, min(left_s, 0.5))):
                            await self._news.wait()
                    except TimeoutError:
                        continue
        finally:
            self.watches.open -= 1
        return response

    async def _send(self, response: web.StreamResponse, change: str, item: Json) -> None:
        if self.watches.frozen:
            return
        if change in self.watches.lose:
            self.watches.lose.remove(change)
            return
        for _ in range(2 if self.watches.twice else 1):
            await response.write(orjson.dumps({"type": change, "object": item}) + b"\n")

    async def close(self) -> None:
        """Afterwards every watch ends."""
        self._closing = True
        async with self._news:
            self._news.notify_all()


@asynccontextmanager
async def running_apiserver() -> AsyncIterator[FakeApiServer]:
    """A server that answers until the end of the block."""
    api = FakeApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await api.close()
        await runner.cleanup()
