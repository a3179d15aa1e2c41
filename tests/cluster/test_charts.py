"""The charts against a real API: taken as they are, restricted, upgraded with nothing undone, gone without a trace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.commands import run
from tests.cluster.errors import CommandFailed
from tests.cluster.fixtures import standing
from tests.cluster.handle import ControlPlane
from tests.cluster.kubernetes_schemas import write_schemas
from tests.cluster.namespace_objects import objects_of
from tests.cluster.programs import built
from tests.cluster.start_control_plane import start_control_plane
from tests.helm.rendered_charts import (
    HELM,
    KUBERNETES,
    Json,
    chart_of,
    file_id,
    load,
    of_kind,
    pods,
    rendered,
    rendered_text,
    values_files,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ELSEWHERE = {"HTTPRoute", "ServiceMonitor"}  # resources of others, that this API does not have
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
CLASSES: tuple[Json, ...] = (  # that some values file names
    {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "gpu-serving"}, "value": 1000},
    {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"},
)
SIM = HELM / "serving" / "values" / "sim.yaml"


@pytest.fixture(scope="module")
def api() -> Iterator[ControlPlane]:
    """An API of its own, as the charts install a resource of the whole cluster; it has that resource already."""
    started = start_control_plane()
    try:
        started.apply(load(HELM / "ops" / "files" / "modelpool-crd.yaml"))
        started.kubectl("wait", "--for=condition=Established", "crd/modelpools.spillway.dev", "--timeout=30s")
        started.apply(_namespace("spillway"), _namespace("rights"), *CLASSES)
        yield started
    finally:
        started.remove()


@pytest.fixture(scope="module")
def empty() -> Iterator[ControlPlane]:
    """An API that has never heard of Spillway."""
    yield from standing(start_control_plane)


def _namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}


def _objects(path: Path) -> list[Json]:
    return [one for one in rendered(path) if one["kind"] not in ELSEWHERE]


def _list(objects: list[Json]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def test_every_manifest_is_valid_by_the_schemas_of_the_api(api: ControlPlane, tmp_path: Path) -> None:
    """kubeconform, strict, with schemas out of the API itself, finds nothing in any manifest of any values file."""
    kinds = {(one["apiVersion"], one["kind"]) for path in values_files() for one in _objects(path)}
    location = write_schemas(api, tmp_path, kinds)
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {kind.lower() for _, kind in kinds}
    text = "\n---\n".join(rendered_text(chart_of(path), path) for path in values_files())
    skipped = ",".join(sorted(ELSEWHERE))
    said = run([built("kubeconform"), "-strict", "-summary", "-skip", skipped, "-kubernetes-version", KUBERNETES,
                "-schema-location", location], given=text)  # fmt: skip
    assert re.search(r"Invalid: 0, Errors: 0", said), said


def test_the_schemas_refuse_what_is_wrong(api: ControlPlane, tmp_path: Path) -> None:
    """A misspelt key and a number of the wrong kind do not pass kubeconform."""
    location = write_schemas(api, tmp_path, {("apps/v1", "Deployment")})
    (deployment,) = of_kind(_objects(SIM), "Deployment")
    for path, value in ((("spec", "progressDeadline"), 5), (("spec", "minReadySeconds"), "five")):
        broken = json.loads(json.dumps(deployment))
        broken[path[0]][path[1]] = value
        with pytest.raises(CommandFailed, match=path[1]):
            run([built("kubeconform"), "-strict", "-schema-location", location], given=json.dumps(broken))


@pytest.mark.parametrize("path", values_files(), ids=file_id)
def test_the_api_takes_every_manifest(api: ControlPlane, path: Path) -> None:
    """In a namespace that enforces `restricted`, strictly checked, without a warning; but for the disks of a node."""
    words = ("create", "-n", "spillway", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-")
    objects = [one for one in _objects(path) if one["kind"] != "CustomResourceDefinition"]
    if path.stem == "cache-nvme-values":
        assert 'restricted volume types (volume "cache" uses restricted volume type "hostPath")' in api.refusal(
            *words, given=_list(objects)
        )
        return
    api.kubectl(*words, given=_list(objects))
    for index, pod in enumerate(pods(of_kind(objects, "Deployment"))):
        alone = {"apiVersion": "v1", "kind": "Pod", "spec": pod["spec"],
                 "metadata": {**pod["metadata"], "name": f"alone-{index}"}}  # fmt: skip
        api.kubectl(*words, given=json.dumps(alone))


def test_the_only_exception_is_the_one_that_is_listed(api: ControlPlane) -> None:
    """A pod with a cache on the node's disks is refused for its hostPath, and for nothing else."""
    (pod,) = pods(of_kind(_objects(HELM / "serving" / "ci" / "cache-nvme-values.yaml"), "Deployment"))
    alone = {"apiVersion": "v1", "kind": "Pod", **pod, "metadata": {**pod["metadata"], "name": "alone"}}
    said = api.refusal("create", "-n", "spillway", "--dry-run=server", "-f", "-", given=json.dumps(alone))
    why = 'restricted volume types (volume "cache" uses restricted volume type "hostPath")'
    assert said.rstrip().endswith(f'violates PodSecurity "restricted:latest": {why}')


def test_releases_come_change_and_go(empty: ControlPlane) -> None:
    """An upgrade leaves what an operator and the controller changed; after the uninstall the CRD alone is left."""
    empty.apply(_namespace("llm"))
    before = objects_of(empty, "llm")
    ops, pool = str(HELM / "ops"), str(HELM / "serving")
    empty.helm("install", "spillway", ops, "-n", "llm", "--dry-run=server")
    assert objects_of(empty, "llm") == before
    empty.helm("install", "spillway", ops, "-n", "llm")
    empty.kubectl("wait", "--for=condition=Established", "crd/modelpools.spillway.dev", "--timeout=30s")
    empty.helm("install", "llama-8b", pool, "-n", "llm", "-f", str(SIM), "--dry-run=server")
    empty.helm("install", "llama-8b", pool, "-n", "llm", "-f", str(SIM))
    assert empty.kubectl("get", "spool", "llama-8b", "-n", "llm", "-o", "jsonpath={.spec.model}") == "llama-8b-self"

    empty.kubectl("scale", "deployment/llama-8b", "-n", "llm", "--replicas=3")
    empty.kubectl("patch", "spool", "llama-8b", "-n", "llm", "--type", "merge", "-p",
                  '{"spec":{"pin":{"routing":"External","reason":"driver update","who":"oncall"}}}')  # fmt: skip
    empty.helm("upgrade", "llama-8b", pool, "-n", "llm", "-f", str(SIM), "--set", "engine.maxNumSeqs=32")
    told = json.loads(empty.kubectl("get", "deployment/llama-8b", "spool/llama-8b", "-n", "llm", "-o", "json"))
    deployment, model_pool = told["items"]
    assert deployment["spec"]["replicas"] == 3
    assert model_pool["spec"]["engine"]["maxNumSeqs"] == 32
    assert model_pool["spec"]["pin"]["routing"] == "External"
    empty.helm("upgrade", "spillway", ops, "-n", "llm", "--set", "config.phase=phase3", "--reuse-values")
    said = empty.kubectl("get", "configmap/spillway-config", "-n", "llm", "-o", "jsonpath={.data.spillway\\.yaml}")
    assert "phase: phase3" in said

    empty.helm("uninstall", "spillway", "-n", "llm")
    assert "modelpool.spillway.dev/llama-8b" in objects_of(empty, "llm")
    empty.helm("uninstall", "llama-8b", "-n", "llm")
    assert objects_of(empty, "llm") == before
    assert empty.kubectl("get", "crd", "-o", "name").split() == [
        "customresourcedefinition.apiextensions.k8s.io/modelpools.spillway.dev"
    ]


def test_a_second_installation_shares_the_resource(empty: ControlPlane) -> None:
    """It is told whose the resource is; the commands to take it over work, and the next of that name needs none."""
    for namespace in ("first", "second"):
        empty.apply(_namespace(namespace))
    ops = str(HELM / "ops")
    empty.kubectl("delete", "crd/modelpools.spillway.dev", "--ignore-not-found")
    empty.helm("install", "spillway", ops, "-n", "first")
    with pytest.raises(CommandFailed, match=r"crds\.install: must be false .* release 'spillway' in namespace 'first'"):
        empty.helm("install", "spillway", ops, "-n", "second")
    said = empty.helm("install", "spillway", ops, "-n", "second", "--set", "crds.install=false")
    assert "is not part of this release" in said
    empty.helm("upgrade", "spillway", ops, "-n", "second", "--reuse-values", "--set", "gateway.drain.seconds=60")
    empty.helm("upgrade", "spillway", ops, "-n", "first", "--set", "gateway.drain.seconds=60")
    empty.helm("uninstall", "spillway", "-n", "first")
    _take_over(empty, "second", "upgrade")
    empty.helm("upgrade", "spillway", ops, "-n", "second", "--set", "crds.install=true")
    empty.helm("uninstall", "spillway", "-n", "second")
    _take_over(empty, "first", "install")
    empty.helm("install", "spillway", ops, "-n", "first")
    empty.helm("upgrade", "spillway", ops, "-n", "first", "--set", "crds.keep=false")
    empty.helm("uninstall", "spillway", "-n", "first")
    empty.kubectl("wait", "--for=delete", "crd/modelpools.spillway.dev", "--timeout=30s")
    assert empty.kubectl("get", "crd", "-o", "name").split() == []


def _take_over(api: ControlPlane, namespace: str, verb: str) -> None:
    """Runs the commands that helm names in its refusal."""
    with pytest.raises(CommandFailed, match="must be false here") as refused:
        api.helm(verb, "spillway", str(HELM / "ops"), "-n", namespace, "--set", "crds.install=true")
    commands = re.findall(r"kubectl ((?:label|annotate) crd .*?)(?: &&|$)", str(refused.value), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        api.kubectl(*command.split())


def test_the_rights_are_these_and_no_others(api: ControlPlane) -> None:
    """What the API says each account may do, beyond what every account may, is the list of the chart."""
    roles = [one for one in _objects(HELM / "ops" / "ci" / "default-values.yaml") if one["kind"].startswith("Role")]
    for role in roles:
        for subject in role.get("subjects", ()):
            subject["namespace"] = "rights"
    api.kubectl("create", "-n", "rights", "-f", "-", given=_list(roles))
    nobody = _rights(api, "nobody")
    for account in ("demo-gateway", "demo-controller"):
        (role,) = [one for one in roles if one["kind"] == "Role" and one["metadata"]["name"] == account]
        granted = {_right(rule) for rule in role["rules"]}
        assert _rights(api, account) - nobody == granted, account
    told = api.refusal("auth", "can-i", "list", "secrets", "-n", "rights", "--as", _account("demo-controller"))
    assert "exit 1" in told


def _account(name: str) -> str:
    return f"system:serviceaccount:rights:{name}"


def _right(rule: Json) -> tuple[str, str, str]:
    (group,), (resource,) = rule["apiGroups"], rule["resources"]
    name, slash, part = resource.partition("/")
    where = (f"{name}.{group}" if group else name) + slash + part
    return where, f"[{' '.join(rule.get('resourceNames', ()))}]", f"[{' '.join(rule['verbs'])}]"


def _rights(api: ControlPlane, name: str) -> set[tuple[str, str, str]]:
    lines = api.kubectl("auth", "can-i", "--list", "-n", "rights", "--as", _account(name)).splitlines()[1:]
    found = (re.fullmatch(r"(\S*)\s+(\[.*?\])\s+(\[.*?\])\s+(\[.*?\])", line.strip()) for line in lines)
    return {(one[1], one[3], one[4]) for one in found if one}


@pytest.mark.parametrize("chart", ["ops", "serving"])
def test_the_notes_name_what_there_is(api: ControlPlane, chart: str) -> None:
    """Namespace, commands on objects of this release, and a whole curl command."""
    crds = ("--set", "crds.install=false") if chart == "ops" else ()
    told = api.helm("install", "demo", str(HELM / chart), "-n", "spillway", "--dry-run=server", *crds)
    notes = told.partition("NOTES:")[2]
    assert "kubectl -n spillway" in notes
    assert re.search(r"curl -s \S+/v1/chat/completions -H \"Authorization: Bearer \$SPILLWAY_API_KEY\"", notes)
    assert "<" not in notes
    assert "%!" not in notes
