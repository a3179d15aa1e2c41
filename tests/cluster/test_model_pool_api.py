"""ModelPool on a real API: what it takes, what it refuses and in which words, and what people do to it with kubectl."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from controller.core.fleet import RoutingMode
from controller.modelpool.facts import Obstacle, Trouble
from controller.modelpool.pins import pin_word as pin_word_of
from controller.modelpool.spelling import document_of
from controller.modelpool.translate import translated
from tests.cluster.handle import ControlPlane
from tests.modelpool.pool_cases import Case, cases, crd, model_pool, schema
from tests.modelpool.pool_values import error, pin_word, status_of, view

NAMESPACE = "model-pools"


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> ControlPlane:
    """An API that knows ModelPools, and an empty namespace."""
    control_plane.apply(crd())
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/modelpools.spillway.dev")
    control_plane.kubectl("create", "namespace", NAMESPACE)
    return control_plane


@pytest.fixture
def pool(api: ControlPlane) -> Iterator[str]:
    """A pool of this test's own."""
    api.kubectl("create", "-n", NAMESPACE, "-f", "-", given=json.dumps(model_pool("llama-8b")))
    yield "llama-8b"
    api.kubectl("delete", "spool", "llama-8b", "-n", NAMESPACE)


def _in(api: ControlPlane, *words: str) -> str:
    return api.kubectl(*words, "-n", NAMESPACE)


def _spec(api: ControlPlane, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_in(api, "get", "spool", name, "-o", "json"))["spec"]
    return found


def _publish(api: ControlPlane, name: str, status: Mapping[str, object]) -> None:
    body = {"status": status}
    _in(api, "patch", "spool", name, "--subresource=status", "--type=merge", "-p", json.dumps(body))


def _params(name: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in cases(name)]


@pytest.mark.parametrize("case", _params("taken"))
def test_the_api_takes_it(api: ControlPlane, case: Case) -> None:
    """A dry run that goes through all of admission."""
    given = json.dumps(model_pool(case.get("name", "llama-8b"), case["spec"]))
    assert "created" in api.kubectl("create", "--dry-run=server", "-n", NAMESPACE, "-f", "-", given=given)


@pytest.mark.parametrize("case", _params("semantic"))
def test_the_api_leaves_it_to_the_controller(api: ControlPlane, case: Case) -> None:
    """What takes the catalogue to judge is not refused at apply, but for a chain to itself."""
    for name, spec in case["pools"].items():
        given = json.dumps(model_pool(name, spec))
        words = ("create", "--dry-run=server", "--validate=warn", "-n", NAMESPACE, "-f", "-")
        if case["id"] == "a-chain-to-itself":
            assert "the chain would loop" in api.refusal(*words, given=given)
        else:
            assert "created" in api.kubectl(*words, given=given)


@pytest.mark.parametrize("case", [one for one in _params("refused") if "from" not in one.values[0]])
def test_the_api_refuses_it_in_words(api: ControlPlane, case: Case) -> None:
    """The field and what it must be."""
    given = json.dumps(model_pool(case.get("name", "llama-8b"), case["spec"]))
    assert case["says"] in api.refusal("create", "--dry-run=server", "-n", NAMESPACE, "-f", "-", given=given)


@pytest.mark.parametrize("case", [one for one in _params("refused") if "from" in one.values[0]])
def test_the_api_refuses_the_change_in_words(api: ControlPlane, pool: str, case: Case) -> None:
    """A pin is checked when it is made."""
    _in(api, "patch", "spool", pool, "--type=merge", "-p", json.dumps({"spec": case["from"]}))
    patch = json.dumps({"spec": case["spec"]})
    assert case["says"] in api.refusal("patch", "spool", pool, "-n", NAMESPACE, "--type=merge", "-p", patch)


def test_a_pin_in_force_blocks_no_other_edit(api: ControlPlane, pool: str) -> None:
    """Bounds may change under it; the controller then keeps within them."""
    _in(api, "scale", f"spool/{pool}", "--replicas=3")
    _in(api, "patch", "spool", pool, "--type=merge", "-p", '{"spec":{"replicas":{"max":2}}}')
    assert _spec(api, pool)["pin"]["replicas"] == 3


def test_scale_pins_and_zero_takes_the_pin_back(api: ControlPlane, pool: str) -> None:
    """`kubectl scale` works from the first moment, and says who cannot be."""
    assert "scaled" in _in(api, "scale", f"spool/{pool}", "--replicas=3")
    assert _spec(api, pool)["pin"]["replicas"] == 3
    assert "scaled" in _in(api, "scale", f"spool/{pool}", "--current-replicas=3", "--replicas=0")
    assert _spec(api, pool)["pin"] == {"replicas": 0, "routing": "Auto", "scaling": "Auto"}
    refused = api.refusal("scale", f"spool/{pool}", "--replicas=5", "-n", NAMESPACE)
    assert "`pin.replicas` must be less than or equal to `replicas.max`" in refused


def test_the_scale_subresource_has_what_others_read_of_it(api: ControlPlane, pool: str) -> None:
    """Replicas that serve and the selector of their pods; 0 wanted, where an HPA does nothing."""
    _publish(api, pool, {"replicas": {"ready": 2}, "selector": "app=llama"})
    path = f"/apis/spillway.dev/v1alpha1/namespaces/{NAMESPACE}/modelpools/{pool}/scale"
    scale = json.loads(api.kubectl("get", "--raw", path))
    assert (scale["spec"], scale["status"]) == ({}, {"replicas": 2, "selector": "app=llama"})


def test_patches_pin_and_unpin(api: ControlPlane, pool: str) -> None:
    """The command of the README, and the one that takes it back."""
    pin = {"routing": "External", "until": "2026-11-26T18:00:00Z", "reason": "driver update", "who": "oncall"}
    _in(api, "patch", "spool", pool, "--type", "merge", "-p", json.dumps({"spec": {"pin": pin}}))
    assert _spec(api, pool)["pin"] == {**pin, "replicas": 0, "scaling": "Auto"}
    _in(api, "patch", "spool", pool, "--type", "merge", "-p", '{"spec":{"pin":null}}')
    assert _spec(api, pool)["pin"] == {"replicas": 0, "routing": "Auto", "scaling": "Auto"}


def test_a_wrong_model_may_be_corrected_until_the_pool_is_in_use(api: ControlPlane, pool: str) -> None:
    """Then callers rely on what answers under its name."""
    other = ("patch", "spool", pool, "--type=merge", "-p", '{"spec":{"model":"llama-70b-self"}}')
    _publish(api, pool, status_of(problems=(error(),)))
    _in(api, *other)
    _publish(api, pool, status_of(view()))
    back = ("patch", "spool", pool, "-n", NAMESPACE, "--type=merge", "-p", '{"spec":{"model":"llama-8b-self"}}')
    said = "spec.model: Forbidden: `spec.model` must not change once the pool has been in use"
    assert said in api.refusal(*back)


def test_waiting_for_ready_works_also_while_it_spills(api: ControlPlane, pool: str) -> None:
    """From the first start on; a pool without a replica is not ready, one without any on purpose is."""
    wait = ("wait", "--for=condition=Ready", "--timeout=1s", f"spool/{pool}")
    assert "timed out" in api.refusal(*wait, "-n", NAMESPACE)
    starts = status_of(view(0, 1))
    _publish(api, pool, starts)
    assert "timed out" in api.refusal(*wait, "-n", NAMESPACE)
    spills = status_of(view(mode=RoutingMode.SPILLING, spill_ratio=0.4), starts, pin=pin_word())
    _publish(api, pool, spills)
    assert "condition met" in _in(api, *wait)
    _publish(api, pool, status_of(view(0, desired_replicas=0), spills))
    assert "condition met" in _in(api, *wait)
    assert "condition met" in _in(api, "wait", "--for=condition=Spilling=false", "--timeout=1s", f"spool/{pool}")


def test_a_status_is_taken_as_it_is_and_says_all_of_it(api: ControlPlane, pool: str) -> None:
    """Nothing that is published is refused or pruned, and describe shows what somebody does next."""
    seen = view(3, 1, 1, wanted_replicas=9, constraints=("max_replicas 4",), cold_starts_s=(31.4, 29.0))
    status = status_of(seen, troubles=(Trouble(obstacle=Obstacle.QUOTA_EXCEEDED, message="no"),), pin=pin_word())
    _publish(api, pool, status)
    assert json.loads(_in(api, "get", "spool", pool, "-o", "json"))["status"] == status
    said = " ".join(_in(api, "describe", "spool", pool).split())
    for words in (
        "Raise the ResourceQuota of this namespace",
        "replicas.max 4",
        "kubectl patch spool llama-8b",
        "oncall",
    ):
        assert words in said


def test_what_the_api_holds_is_what_the_translation_reads(api: ControlPlane, pool: str) -> None:
    """A stored object with all its defaults, with who has pinned it, and when."""
    _in(api, "scale", f"spool/{pool}", "--replicas=2")
    found = json.loads(_in(api, "get", "spool", pool, "-o", "json", "--show-managed-fields"))
    read, problems = translated(pool, found, document_of(pool))
    least, _ = translated(pool, model_pool(pool), document_of(pool))
    assert (read, problems) == (least, ())
    word = pin_word_of(found, 0.0)
    assert word is not None
    assert (word.pin.replicas, word.pin.who) == (2, "kubectl (scale)")


def test_every_field_is_explained(api: ControlPlane) -> None:
    """`kubectl explain` has a description of each field of spec and status, at every depth."""
    bare = [path for path, node in _fields(schema(), "modelpool") if not node.get("description")]
    assert bare == []
    said = api.kubectl("explain", "modelpool.spec.pin.routing")
    assert "where requests go" in said
    assert re.search(r"Auto\s.*Local\s.*Spilling\s.*External\s", said, re.DOTALL)
    assert "<integer>" in api.kubectl("explain", "modelpool.spec", "--recursive")


def _fields(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, below in node.get("properties", {}).items():
        if name != "metadata":
            yield f"{path}.{name}", below
            yield from _fields(below, f"{path}.{name}")
            yield from _fields(below.get("items", {}), f"{path}.{name}")


def test_the_list_fits_80_columns(api: ControlPlane, pool: str) -> None:
    """With a long name and the widest values; the rest is in the wide list."""
    name = "mixtral-8x7b-blue"
    api.kubectl("create", "-n", NAMESPACE, "-f", "-", given=json.dumps(model_pool(name)))
    replicas, routing = {"desired": 1000, "ready": 100, "warming": 900}, {"mode": "Spilling", "spillPercent": 100}
    _publish(
        api,
        name,
        {"replicas": replicas, "routing": routing, "saturationPercent": 110},
    )
    head, *rows = _in(api, "get", "spool").splitlines()
    assert head.split() == ["NAME", "READY", "DESIRED", "WARMING", "ROUTING", "SPILL%", "SAT%", "AGE"]
    assert max(map(len, (head, *rows))) <= 80
    assert [re.split(r"\s{2,}", row)[:7] for row in rows if row.startswith(name)] == [
        [name, "100", "1000", "900", "Spilling", "100", "110"]
    ]
    wide = _in(api, "get", "spillway", "-o", "wide").splitlines()[0].split()
    assert wide[8:] == ["MODEL", "MIN", "MAX", "DRAINING", "MISSING", "PINNED-UNTIL", "STATE", "REASON"]
    _in(api, "delete", "spool", name)
