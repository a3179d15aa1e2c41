"""Planned changes on a real cluster lose nothing: replicas drain, and every part is rolled under load."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.engine_pods import answers_under_way
from tests.cluster.installation import RELEASE, Installation, installed, until_serving
from tests.cluster.namespace_objects import objects_of
from tests.cluster.traffic import playing
from tests.cluster.whole import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
POOL = "llama-8b"
LONG_TOKENS = 2400  # 31.5 ms each at the least
LONG_S = 60.0
SHORT_TOKENS = 4
# While engines are replaced, most of 200 requests a second are bought: more than this provider sells by the catalogue.
LIMITS = {"requests_per_min": 20_000, "tokens_per_min": 20_000_000}


@pytest.fixture(scope="module")
def here(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Both charts installed, one pool of two replicas that serves."""
    with installed(cluster, "changes", tmp_path_factory.mktemp("changes"), limits=LIMITS) as made:
        made.install_pool(POOL, "modelPool.replicas.min=2")
        until_serving(made, POOL)
        made.until_ready(POOL, 2, within_s=90.0)
        yield made


def test_a_drained_replica_finishes_its_streams(here: Installation) -> None:
    """The pod that an operator orders away goes once its streams of a minute and more have ended, and none is cut."""
    with playing(here.url, here.key, model=POOL, rate_per_s=0.5, max_tokens=LONG_TOKENS) as traffic:
        time.sleep(12.0)
        pod = max(here.pods("engine"), key=answers_under_way)  # gateways keep equal prompts together
        name = pod["metadata"]["name"]
        assert answers_under_way(pod) >= 3
        here.kubectl("annotate", "pod", name, "spillway.dev/drain=true")
        ordered_s = time.monotonic()
        here.reaches("the replica drains", lambda: here.replicas(POOL).get("draining") == 1, within_s=20.0)
    here.reaches(
        "that very pod is gone",
        lambda: name not in [one["metadata"]["name"] for one in here.pods("engine")],
        within_s=120.0,
    )
    here.until_ready(POOL, 2, within_s=90.0)
    assert not traffic.errors, traffic.errors
    open_then = [one for one in traffic.answers if one.at_s < ordered_s]
    assert {one.target for one in open_then} == {POOL}
    assert len(open_then) >= 5
    assert min(one.lasted_s for one in open_then) >= LONG_S


@pytest.mark.parametrize("what", [f"{RELEASE}-gateway", f"{RELEASE}-controller", POOL])
def test_a_rollout_under_load_fails_no_request(here: Installation, what: str) -> None:
    """Every pod of a Deployment is replaced at 200 requests a second, and each request is answered whole."""
    with playing(here.url, here.key, model=POOL, rate_per_s=200.0, prompt_words=4, max_tokens=SHORT_TOKENS) as traffic:
        time.sleep(3.0)
        here.kubectl("rollout", "restart", f"deployment/{what}")
        here.rolled_out(what, within_s=240.0)
        time.sleep(3.0)
    assert not traffic.errors, traffic.errors


def test_an_uninstall_leaves_nothing_but_the_resource(here: Installation) -> None:
    """ModelPools go with their releases; then all that the controller made, too. Secrets are the operator's."""
    made = objects_of(here.cluster, here.namespace)
    assert {"lease.coordination.k8s.io/spillway-controller", "configmap/spillway-controller-memory"} <= made
    here.remove_pool(POOL)
    assert "modelpool.spillway.dev" not in str(objects_of(here.cluster, here.namespace))
    here.helm("uninstall", RELEASE, "--wait")
    theirs = {"secret/providers", f"secret/{RELEASE}", "configmap/kube-root-ca.crt", "serviceaccount/default"}
    here.reaches("nothing is left", lambda: objects_of(here.cluster, here.namespace) == theirs, within_s=180.0)
    assert "modelpools.spillway.dev" in here.cluster.kubectl("get", "crd", "-o", "name")
