"""Events and gateways: what is told about pools, and whose counters are read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_events import Happening, KubernetesEvents
from controller.adapters.kubernetes_gateways import KubernetesGateways, gateway_urls
from tests.adapters.fake_api_objects import status_error
from tests.adapters.fake_apiserver import running_apiserver
from tests.adapters.kubernetes_world import NOW_S, until

EVENTS = "/apis/events.k8s.io/v1/events"
POOL = {"metadata": {"name": "llama-8b", "uid": "u1", "resourceVersion": "7"}}


def happening(reason: str = "SpillStarted", note: str = "full") -> Happening:
    return Happening(about=POOL, kind="Warning", reason=reason, action="Route", note=note)


async def test_one_event_for_each_change_and_a_count_for_repeats() -> None:
    """The same words again are counted on the Event there is, others make one; one that is refused holds nothing up."""
    async with running_apiserver() as api:
        client = KubernetesClient(api.access())
        events = KubernetesEvents(client, instance="controller-0")
        task = asyncio.create_task(events.run(), name="events")
        refuse: list[int] = []
        api.faults.append(lambda request: (403, status_error(403, "Forbidden", "no")) if refuse.pop() else None)
        refuse[:] = [0, 0, 0, 0, 1]
        long = happening("ScaledUp", note="x" * 5000)
        for one in (happening("Refused"), happening(), happening(), happening(note="still full"), long):
            events.tell(one)
        await until(lambda: len(api.named(EVENTS)) == 3 and not refuse)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()
        found = {one["note"][:10]: one for one in api.named(EVENTS)}
        spilled = found["full"]
        assert spilled["series"]["count"] == 2
        assert "series" not in found["still full"]
        assert len(found["x" * 10]["note"]) == 1024
        assert (spilled["reportingController"], spilled["reportingInstance"]) == (
            "spillway.dev/controller",
            "controller-0",
        )
        assert spilled["regarding"]["kind"] == "ModelPool"
        assert spilled["regarding"]["uid"] == "u1"


def gateway(
    ip: str = "10.0.0.9", *, component: str = "gateway", state: str = "running", ends: str | None = None
) -> Any:
    labels = {"app.kubernetes.io/name": "spillway", "app.kubernetes.io/component": component}
    metadata = {"name": "g", "labels": labels} | ({} if ends is None else {"deletionTimestamp": ends})
    return {"metadata": metadata, "status": {"podIP": ip, "containerStatuses": [{"state": {state: {}}}]}}


@pytest.mark.parametrize(
    ("pod", "url"),
    [
        pytest.param(gateway(), "http://10.0.0.9:8081", id="runs"),
        pytest.param(gateway("fd00::9"), "http://[fd00::9]:8081", id="ipv6"),
        pytest.param(gateway(""), None, id="no-address"),
        pytest.param(gateway(component="engine"), None, id="an-engine"),
        pytest.param(gateway(state="waiting"), None, id="crashes"),
        pytest.param(gateway(ends="2027-01-15T08:00:10Z"), "http://10.0.0.9:8081", id="ends"),
        pytest.param(gateway(ends="2027-01-15T07:59:00Z"), None, id="its-node-is-gone"),
    ],
)
def test_which_gateways_are_asked(pod: Any, url: str | None) -> None:
    """Those whose container runs, also on their way out; not those that are past their end."""
    assert gateway_urls({"g": pod}, 8081, NOW_S) == ({} if url is None else {"g": url})


async def test_a_gateway_that_does_not_answer_is_named() -> None:
    """It is silent, which is not the same as not there."""
    feed = KubernetesGateways(lambda: {"g": gateway("127.0.0.1")}, admin_port=1, timeout_s=1.0, now_s=lambda: NOW_S)
    assert await feed.scrape() == {"g": None}
    await feed.close()
