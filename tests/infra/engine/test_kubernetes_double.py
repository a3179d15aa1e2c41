"""The double of the Kubernetes provider: strict where the real one drops keys in silence, real in what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.programs import built
from tests.infra.doubles.balancers import Balancers
from tests.infra.doubles.cluster import Cluster
from tests.infra.doubles.kubernetes import RELEASE, Kubernetes
from tests.infra.doubles.wire import UNKNOWN, Refused, Resource

DEPLOYMENT, MAP, POOL = (
    "kubernetes:apps/v1:Deployment",
    "kubernetes:core/v1:ConfigMap",
    "kubernetes:karpenter.sh/v1:NodePool",
)
CHART = {"name": "plugin", "namespace": "default", "chart": "nvidia-device-plugin", "version": "0.18.0"}


def _resource(token: str) -> Resource:
    return Resource(f"urn:pulumi:test::test::{token}::x")


@pytest.fixture
def double(tmp_path: Path) -> Kubernetes:
    """Without a cluster behind it."""
    return _double(tmp_path)


def _double(folder: Path) -> Kubernetes:
    (folder / "kubernetes").mkdir()
    return Kubernetes(folder / "kubernetes", Cluster(built("kubectl"), built("helm")))


@pytest.fixture
def real(tmp_path: Path, api: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Kubernetes:
    """With the API behind it."""
    for name, value in api.items():
        monkeypatch.setenv(name, value)
    return _double(tmp_path)


def _deployment(container: dict[str, Any]) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": "a", **container}]}}
    return {"metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": pod}}


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        pytest.param(_deployment({"imag": "b"}), "spec.template.spec.containers[0].imag", id="misspelt in a list"),
        pytest.param({**_deployment({}), "metadata": {"labls": {}}}, "metadata.labls", id="misspelt"),
        pytest.param(_deployment({"tty": "yes"}), "spec.template.spec.containers[0].tty", id="type"),
        pytest.param({**_deployment({}), "kind": "Deploymnt"}, "kind", id="another kind"),
    ],
)  # fmt: skip
def test_every_key_and_type_is_held_against_the_sdk(double: Kubernetes, inputs: dict[str, Any], path: str) -> None:
    """A preview refuses what the genuine provider would drop."""
    assert [failure.path for failure in double.check(_resource(DEPLOYMENT), inputs, {})[1]] == [path]


def test_what_is_known_only_later_is_of_any_type(double: Kubernetes) -> None:
    """A preview does not stumble over outputs of what is not made yet."""
    assert double.check(_resource(DEPLOYMENT), _deployment({"image": UNKNOWN}), {})[1] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"version": ""}, "is not pinned to a version", id="no version"),
        pytest.param({"chart": "oci://example.com/other"}, "has no stand-in", id="a chart nobody looked at"),
    ],
)
def test_charts_are_pinned_and_known(double: Kubernetes, changes: dict[str, str], words: str) -> None:
    """Before helm is asked."""
    with pytest.raises(Refused, match=words):
        double.create(_resource(RELEASE), {**CHART, **changes}, preview=False)


def test_another_kubeconfig_does_not_reach_the_cluster(real: Kubernetes) -> None:
    """The program's provider must lead to the cluster that the program made."""
    with pytest.raises(RuntimeError, match="unreachable"):
        real.configure({"kubeconfig": '{"clusters": [{"cluster": {"server": "https://192.0.2.1"}}]}'})


@pytest.mark.parametrize(
    ("token", "inputs", "words"),
    [
        pytest.param(
            MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "nowhere"}},
            'namespaces "nowhere" not found', id="no namespace",
        ),
        pytest.param(
            POOL, {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "a"}},
            "no matches for kind", id="a kind without its chart",
        ),
        pytest.param(RELEASE, {**CHART, "values": {"toleration": []}}, "toleration", id="a value that the chart lacks"),
    ],
)  # fmt: skip
def test_the_api_and_helm_refuse(real: Kubernetes, token: str, inputs: dict[str, Any], words: str) -> None:
    """In their own words."""
    with pytest.raises(Refused, match=words):
        real.create(_resource(token), inputs, preview=False)


def test_what_somebody_removed_by_hand_is_not_there(real: Kubernetes) -> None:
    """Read asks the cluster, not the memory of the double."""
    inputs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "by-hand", "namespace": "default"}}
    identity, _ = real.create(_resource(MAP), inputs, preview=False)
    assert real.read(_resource(MAP), identity, inputs).identity == identity
    Cluster(built("kubectl"), built("helm")).delete(inputs)
    assert real.read(_resource(MAP), identity, inputs).identity == ""


def test_a_balancer_stays_when_its_controller_goes_first(tmp_path: Path) -> None:
    """It holds the network then: nobody takes it down."""
    balancers = Balancers(tmp_path / "balancers.json")
    balancers.note(["spillway/gateway"], ["aws-load-balancer-controller"])
    balancers.note([], [])
    assert balancers.standing() == ["spillway/gateway"]
    balancers.note([], ["aws-load-balancer-controller"])
    assert balancers.standing() == []
