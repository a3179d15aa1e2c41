"""A node whose GPUs are all taken: what cannot run there is bought without a flicker until capacity arrives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.cluster.installation import PROVIDER, Installation, installed, is_ready, until_serving
from tests.cluster.pool_history import watching
from tests.cluster.test_commands import call
from tests.cluster.traffic import playing
from tests.cluster.whole import GPU, Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
POOL = "llama-8b"
GPUS = 8
SHORT = "CapacityUnavailable"
HELD_S = 40.0  # eight dwells
HOME_S = 10.0
HOME_RATIO = 0.9  # of the requests, as single ones may still be bought where they would be late
# All eight A10G of a g5.48xlarge are one replica, which has 3 seats: about 8 of the suite's requests a second.
SHAPE = ("modelPool.instanceType=g5.48xlarge", f"engine.tensorParallel={GPUS}", "engine.maxNumSeqs=3",
         "modelPool.replicas.max=2", "modelPool.spill.minDwellSeconds=5",
         "modelPool.spill.returnRampPercentPerSecond=1",
         # Such a node is dear: by prices alone it would be bought from the provider for minutes first.
         "modelPool.autoscale.homeUsePercent=20", "modelPool.autoscale.startPatiencePercent=20")  # fmt: skip
RATE_PER_S = 13.0


@pytest.fixture(scope="module")
def here(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Both charts installed, and one replica that takes all GPUs of the node."""
    cluster.set_gpus(GPUS)
    try:
        with installed(cluster, "full", tmp_path_factory.mktemp("full")) as made:
            made.install_pool(POOL, *SHAPE)
            # A simulated engine asks for no GPU by itself.
            limit = f"/spec/template/spec/containers/0/resources/limits/{GPU.replace('/', '~1')}"
            change = {"op": "add", "path": limit, "value": str(GPUS)}
            made.kubectl("patch", "deployment", POOL, "--type=json", "-p", json.dumps([change]))
            made.rolled_out(POOL)
            until_serving(made, POOL)
            yield made
    finally:
        cluster.set_gpus(0)


def _waits_for_gpus(here: Installation) -> bool:
    pending = [one for one in here.pods("engine") if one["status"]["phase"] == "Pending"]
    return f"Insufficient {GPU}" in json.dumps([one["status"] for one in pending])


def _reasons(here: Installation) -> set[str]:
    events = here.get("events", "--field-selector=involvedObject.kind=ModelPool")["items"]
    return {one["reason"] for one in events}


def _status(here: Installation) -> str:
    done = call(here.cluster, "status", "-n", here.namespace)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_node_spills_steadily_until_capacity_arrives(here: Installation, cluster: Cluster) -> None:
    """The replica that is wanted finds no GPU: condition, Event and status say so, and the pool spills on as long as
    that lasts. With GPUs it comes, traffic returns by the ramp, and no request has failed.
    """
    load = playing(here.url, here.key, model=POOL, rate_per_s=RATE_PER_S, max_tokens=80)
    with watching(here, POOL) as history, load as traffic:
        here.reaches("the pool spills", lambda: here.routing(POOL).get("mode") == "Spilling", within_s=90.0)
        here.reaches("a replica waits for a GPU", lambda: _waits_for_gpus(here), within_s=120.0)
        here.reaches(f"{SHORT} holds", lambda: here.conditions(POOL)[SHORT]["status"] == "True", within_s=20.0)
        full_s = time.monotonic()
        told = here.conditions(POOL)[SHORT]
        assert told["reason"] == "Unschedulable"
        assert f"Insufficient {GPU}" in told["message"]
        assert is_ready(here, POOL), "a pool that spills is Ready"
        here.reaches("an Event says so", lambda: SHORT in _reasons(here), within_s=20.0)
        assert f"{SHORT} (Unschedulable): " in _status(here)
        time.sleep(max(0.0, full_s + HELD_S - time.monotonic()))
        arrived_s = time.monotonic()
        cluster.set_gpus(2 * GPUS)
        here.until_ready(POOL, 2)
        ready_s = time.monotonic()
        here.reaches("traffic is back", lambda: here.routing(POOL).get("mode") == "Local", within_s=240.0)
        local_s = time.monotonic()
        here.reaches("an Event says that, too", lambda: "CapacitySuffices" in _reasons(here), within_s=20.0)
        assert here.conditions(POOL)[SHORT]["status"] == "False"
        assert SHORT not in _status(here)
        time.sleep(HOME_S)
    assert not traffic.errors, traffic.errors
    assert history.modes == ["Local", "Spilling", "Local"]
    held = history.since(full_s, arrived_s)
    assert len(held) > HELD_S / 2
    assert all({SHORT, "Spilling", "Ready"} <= one.conditions for one in held), held
    assert set(traffic.targets(full_s)) == {POOL, PROVIDER}
    shares = [one.spill_percent for one in history.since(ready_s)]
    assert shares == sorted(shares, reverse=True), shares
    assert len(set(shares)) > 2, shares  # by steps, not at once
    at_home = traffic.targets(local_s)
    assert at_home[POOL] >= HOME_RATIO * at_home.total(), at_home
