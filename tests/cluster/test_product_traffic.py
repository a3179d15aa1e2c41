"""The product on a real cluster: it serves, grows, spills, is pinned, shrinks, and goes without a trace."""

from __future__ import annotations

import time
from collections.abc import Iterator

import openai
import pytest

from tests.cluster.installation import RELEASE, Installation, installed, is_ready, until_serving
from tests.cluster.resource_metrics import resource_metrics
from tests.cluster.traffic import playing
from tests.cluster.whole import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
POOL = "llama-8b"
GATEWAYS = f"{RELEASE}-gateway"
GATEWAYS_BY_CPU = tuple(
    f"gateway.autoscaling.{one}" for one in ("enabled=true", "minReplicas=3", "maxReplicas=4", "targetCpuPercent=70")
)


@pytest.fixture(scope="module")
def here(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Both charts installed, gateways scaled by their CPU, one pool that serves."""
    folder = tmp_path_factory.mktemp("traffic")
    with resource_metrics(cluster), installed(cluster, "traffic", folder, *GATEWAYS_BY_CPU) as made:
        made.install_pool(POOL)
        until_serving(made, POOL)
        yield made


def test_the_official_client_is_answered(here: Installation) -> None:
    """Through the Service of the gateways, by the own pool."""
    with openai.OpenAI(base_url=f"{here.url}/v1", api_key=here.key, max_retries=0, timeout=30) as client:
        said = client.chat.completions.with_raw_response.create(
            model=POOL, messages=[{"role": "user", "content": "Say hello."}], max_tokens=20
        )
    assert said.headers["x-spillway-target"] == POOL
    assert said.parse().choices[0].message.content


def test_a_pool_goes_from_one_to_four_and_back(here: Installation) -> None:
    """Under load it spills at once, grows to its maximum, takes its traffic back, and shrinks when the load is gone.

    The gateways themselves become more by the CPU that the kubelet measures, and no request notices.
    """
    with playing(here.url, here.key, model=POOL, rate_per_s=40.0, prompt_words=250, max_tokens=80) as traffic:
        here.reaches("requests are bought", lambda: set(traffic.targets()) - {POOL}, within_s=30.0)
        here.reaches("status says so", lambda: here.routing(POOL).get("mode") == "Spilling", within_s=60.0)
        assert here.conditions(POOL)["Spilling"]["status"] == "True"
        assert is_ready(here, POOL), "a pool that spills is Ready"
        here.until_ready(POOL, 4, within_s=150.0)
        here.reaches("a fourth gateway serves", lambda: _ready_gateways(here) == 4, within_s=150.0)
    measured = here.get("horizontalpodautoscaler", GATEWAYS)["status"]["currentMetrics"]
    assert measured[0]["resource"]["current"]["averageUtilization"] > 0
    here.reaches("traffic is back", lambda: here.routing(POOL).get("mode") == "Local", within_s=120.0)
    assert here.conditions(POOL)["Spilling"]["status"] == "False"
    here.until_ready(POOL, 1, within_s=300.0)
    here.reaches("the other pods are gone", lambda: len(here.pods("engine")) == 1, within_s=150.0)
    assert not traffic.errors, traffic.errors


def _ready_gateways(here: Installation) -> int:
    """As their Deployment counts them."""
    ready: int = here.get("deployment", GATEWAYS)["status"].get("readyReplicas", 0)
    return ready


def test_a_pin_by_patch_moves_all_traffic(here: Installation) -> None:
    """`kubectl patch` sends everything away, says who and why; taking it off brings traffic back."""
    here.install_pool(POOL, "modelPool.spill.returnRampPercentPerSecond=10")  # how it comes back is the test before's
    pin = '{"spec":{"pin":{"routing":"External","reason":"driver update","who":"oncall"}}}'
    with playing(here.url, here.key, model=POOL, rate_per_s=4.0) as traffic:
        here.kubectl("patch", "spool", POOL, "--type=merge", "-p", pin)
        here.reaches("the pin is in force", lambda: here.routing(POOL).get("mode") == "External", within_s=20.0)
        time.sleep(2.0)  # until every gateway has it
        since_s = time.monotonic()
        time.sleep(4.0)
        here.kubectl("patch", "spool", POOL, "--type=merge", "-p", '{"spec":{"pin":null}}')
        until_s = time.monotonic()
        here.reaches("the pin is gone", lambda: here.routing(POOL).get("mode") == "Local", within_s=150.0)
    assert not traffic.errors, traffic.errors
    pinned = [one.target for one in traffic.answers if since_s <= one.at_s < until_s]
    assert pinned
    assert all(POOL not in target for target in pinned), pinned


def test_kubectl_scale_pins_the_replicas(here: Installation) -> None:
    """`kubectl scale` is a pin: so many replicas, until it is taken off."""
    here.kubectl("scale", f"spool/{POOL}", "--replicas=2")
    here.until_ready(POOL, 2, within_s=60.0)
    here.kubectl("scale", f"spool/{POOL}", "--replicas=0")
    here.until_ready(POOL, 1, within_s=240.0)
