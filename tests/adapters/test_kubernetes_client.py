"""Calls of the Kubernetes API: each way of failing has its own error, and says what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import certifi
import pytest
from aiohttp import web

from controller.adapters.kubernetes_access import Access, find_access, kubeconfig_access
from controller.adapters.kubernetes_client import KubernetesClient, resource_of
from controller.adapters.kubernetes_kinds import CONFIG_MAPS, DEPLOYMENTS, MODEL_POOLS, PODS
from controller.core.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterGone,
    ClusterInvalid,
    ClusterNotFound,
    ClusterUnavailable,
    ForbiddenCause,
    SpillwayError,
)
from tests.adapters.fake_api_objects import status_error
from tests.adapters.fake_apiserver import FakeApiServer, running_apiserver

AUTHORITY = Path(certifi.where())
PATH = CONFIG_MAPS.path("models", "m")


@asynccontextmanager
async def client_of(api: FakeApiServer, timeout_s: float = 5.0) -> AsyncIterator[KubernetesClient]:
    client = KubernetesClient(api.access(), timeout_s=timeout_s)
    try:
        yield client
    finally:
        await client.close()


def refusing(status: int, reason: str, message: str) -> Callable[[web.Request], tuple[int, dict[str, object]]]:
    return lambda _: (status, status_error(status, reason, message))


@pytest.mark.parametrize(
    ("status", "message", "kind", "cause"),
    [
        (401, "Unauthorized", ClusterForbidden, ForbiddenCause.RIGHTS),
        (403, 'pods is forbidden: User "x" cannot list', ClusterForbidden, ForbiddenCause.RIGHTS),
        (403, "pods x is forbidden: exceeded quota: gpus, requested: 1", ClusterForbidden, ForbiddenCause.QUOTA),
        (403, 'admission webhook "x" denied the request: no', ClusterForbidden, ForbiddenCause.ADMISSION),
        (400, 'admission webhook "x" denied the request: no', ClusterForbidden, ForbiddenCause.ADMISSION),
        (404, "not found", ClusterNotFound, None),
        (409, "the object has been modified", ClusterConflict, None),
        (410, "too old resource version", ClusterGone, None),
        (422, "spec.replicas: Invalid value: -1", ClusterInvalid, None),
        (429, "too many requests", ClusterUnavailable, None),
        (500, "etcdserver: request timed out", ClusterUnavailable, None),
        (503, "apiserver not ready", ClusterUnavailable, None),
        (302, "", ClusterUnavailable, None),
    ],
)
async def test_each_refusal_has_its_error(
    status: int, message: str, kind: type[ClusterError], cause: ForbiddenCause | None
) -> None:
    """The status and the words decide; both are in the message, with what was asked."""
    async with running_apiserver() as api, client_of(api) as client:
        api.faults.append(refusing(status, "Why", message))
        with pytest.raises(kind) as refused:
            await client.get(PATH)
    assert message in str(refused.value)
    assert f"get {PATH}: {status}" in str(refused.value)
    assert type(refused.value) is kind
    assert getattr(refused.value, "cause", None) is cause


async def test_retry_after_is_told() -> None:
    """An overloaded server's wish is passed on."""

    async def overloaded(request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    async with serving(overloaded) as access:
        client = KubernetesClient(access)
        with pytest.raises(ClusterUnavailable) as refused:
            await client.get(PATH)
        await client.close()
    assert refused.value.retry_after_s == 7.0


@asynccontextmanager
async def serving(handler: Callable[[web.Request], object]) -> AsyncIterator[Access]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api = FakeApiServer()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api.access()
    finally:
        await runner.cleanup()


async def test_answers_that_never_come_have_a_deadline() -> None:
    """A server that accepts and says nothing is unavailable after the deadline."""

    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with serving(silent) as access:
        client = KubernetesClient(access, timeout_s=0.2)
        with pytest.raises(ClusterUnavailable) as refused:
            await client.get(PATH)
        await client.close()
    assert refused.value.reason == "Timeout"


@pytest.mark.parametrize("body", [b"<html>sorry</html>", b"[]", b""])
async def test_an_answer_that_is_no_object_is_no_answer(body: bytes) -> None:
    """What stands in between may answer 200 with whatever it likes."""

    async def odd(request: web.Request) -> web.Response:
        return web.Response(body=body)

    async with serving(odd) as access:
        client = KubernetesClient(access)
        with pytest.raises(ClusterUnavailable):
            await client.get(PATH)
        await client.close()


async def test_nothing_listens() -> None:
    """A refused connection is told as such."""
    api = FakeApiServer()
    api.url = "http://127.0.0.1:1"
    async with client_of(api) as client:
        with pytest.raises(ClusterUnavailable) as refused:
            await client.get(PATH)
    assert refused.value.reason == "Unreachable"


async def test_a_refused_token_is_asked_for_anew_once() -> None:
    """A token that expired is renewed without the caller noticing."""
    asked: list[bool] = []

    async def headers(refused: bool) -> dict[str, str]:
        asked.append(refused)
        return {"Authorization": "Bearer new"} if refused else {}

    async with running_apiserver() as api:
        await api.put("/api/v1/configmaps", {"metadata": {"name": "m"}, "data": {"a": "b"}})
        client = KubernetesClient(Access(server=api.url, namespace="models", headers=headers))
        assert (await client.get(PATH))["data"] == {"a": "b"}
        await client.close()
    assert asked == [False, True]


async def test_writes_are_fenced_by_version_and_deletes_by_uid() -> None:
    """A write made for an older version, or a delete meant for another object, is a conflict."""
    async with running_apiserver() as api, client_of(api) as client:
        made = await client.create(CONFIG_MAPS.path("models"), {"metadata": {"name": "m"}, "data": {"n": "1"}})
        await client.patch(PATH, {"data": {"n": "2"}})
        with pytest.raises(ClusterConflict):
            await client.replace(PATH, {**made, "data": {"n": "3"}})
        with pytest.raises(ClusterConflict):
            await client.delete(PATH, uid="another")
        assert api.get("/api/v1/configmaps", "m")["data"] == {"n": "2"}
        await client.delete(PATH, uid=made["metadata"]["uid"])
        assert not api.has("/api/v1/configmaps", "m")


def test_resources_are_named_without_names() -> None:
    """Metrics have the kind and the part of it that was called, whatever the object is called."""
    assert resource_of(DEPLOYMENTS.path("n", "x", "scale")) == "deployments/scale"
    assert resource_of(PODS.path("n")) == "pods"
    assert resource_of(MODEL_POOLS.path("n", "x", "status")) == "modelpools/status"
    assert resource_of("/version") == "root"
    assert PODS.path("a/b", "../c") == "/api/v1/namespaces/a%2Fb/pods/..%2Fc"


async def test_a_pod_finds_its_own_way_in(tmp_path: Path) -> None:
    """Address from the environment, namespace and token from the files that the kubelet mounts."""
    for name, text in {"token": "abc\n", "namespace": "team-a", "ca.crt": AUTHORITY.read_text()}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    access = await find_access(environ, pod_files=tmp_path)
    assert (access.server, access.namespace) == ("https://[fd00::1]:6443", "team-a")
    assert access.tls is not None
    assert await access.headers(False) == {"Authorization": "Bearer abc"}
    (tmp_path / "token").write_text("def", encoding="utf-8")
    assert await access.headers(True) == {"Authorization": "Bearer def"}
    assert (await find_access(environ, namespace="x", pod_files=tmp_path)).namespace == "x"


async def test_kubeconfig_of_a_context(tmp_path: Path) -> None:
    """Server, namespace and token come from the context that was named."""
    config = tmp_path / "config"
    config.write_text(
        """
apiVersion: v1
kind: Config
current-context: one
clusters: [{name: c, cluster: {server: "http://127.0.0.1:7/"}}]
users: [{name: u, user: {token: secret}}, {name: p, user: {username: a, password: b}}]
contexts:
- {name: one, context: {cluster: c, user: u}}
- {name: two, context: {cluster: c, user: p, namespace: team-b}}
""",
        encoding="utf-8",
    )
    one = await find_access({"KUBECONFIG": str(config)})
    assert (one.server, one.namespace, one.tls) == ("http://127.0.0.1:7", "default", None)
    assert await one.headers(False) == {"Authorization": "Bearer secret"}
    two = await kubeconfig_access(str(config), context="two", namespace=None)
    assert (two.namespace, await two.headers(False)) == ("team-b", {"Authorization": "Basic YTpi"})
    assert (await kubeconfig_access(str(config), context="two", namespace="x")).namespace == "x"
    with pytest.raises(SpillwayError, match="context 'three' cannot be used"):
        await kubeconfig_access(str(config), context="three", namespace=None)
    with pytest.raises(SpillwayError, match=r"kubeconfig .*nowhere"):
        await find_access({"KUBECONFIG": str(tmp_path / "nowhere")})
