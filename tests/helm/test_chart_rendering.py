"""What the charts make, with every values file: objects that find each other, pods that keep to `restricted`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from controller.config.load import load_settings
from tests.adapters.cluster_world import rights_listed
from tests.helm.rendered_charts import (
    HELM,
    KUBERNETES,
    Json,
    chart_of,
    containers,
    file_id,
    of_kind,
    pods,
    rendered,
    rendered_text,
    run_helm,
    values_files,
)
from tests.helm.test_chart_values import TODAY

pytestmark = pytest.mark.helm
every_file = pytest.mark.parametrize("path", values_files(), ids=file_id)

STANDARD = {"name", "instance", "version", "component", "part-of", "managed-by"}
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret", "csi", "downwardAPI", "ephemeral"}


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


@every_file
def test_lint_is_silent(path: Path) -> None:
    """`helm lint --strict` has nothing to say."""
    chart = str(HELM / chart_of(path))
    done = run_helm("lint", "--strict", "--quiet", "--kube-version", KUBERNETES, "-f", str(path), chart)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"\[(WARNING|ERROR)\]", done.stdout), done.stdout


@every_file
def test_objects_find_each_other(path: Path) -> None:
    """Selectors match the pods they are for, bindings their roles, targets their Deployments, routes their Services."""
    objects = rendered(path)
    names = {(one["kind"], one["metadata"]["name"]) for one in objects}
    templates = list(pods(of_kind(objects, "Deployment")))
    for one in objects:
        spec, kind = one.get("spec", {}), one["kind"]
        if kind == "Deployment":
            assert _matches(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"])
            assert ("ServiceAccount", spec["template"]["spec"]["serviceAccountName"]) in names
        if kind in {"PodDisruptionBudget", "NetworkPolicy", "Service"}:
            selector = spec["selector"] if kind == "Service" else spec.get("selector", spec.get("podSelector"))
            chosen = selector if kind == "Service" else selector["matchLabels"]
            assert len([pod for pod in templates if _matches(chosen, pod["metadata"]["labels"])]) == 1, kind
        if kind in {"HorizontalPodAutoscaler", "ModelPool"}:
            assert (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]) in names
        if kind == "RoleBinding":
            assert ("Role", one["roleRef"]["name"]) in names
            assert all((subject["kind"], subject["name"]) in names for subject in one["subjects"])
        if kind == "HTTPRoute":
            assert all(("Service", ref["name"]) in names for rule in spec["rules"] for ref in rule["backendRefs"])
        if kind == "Ingress":
            paths = [route for rule in spec["rules"] for route in rule["http"]["paths"]]
            assert all(("Service", route["backend"]["service"]["name"]) in names for route in paths)


@every_file
def test_ports_are_those_of_the_pods(path: Path) -> None:
    """Services and probes name a port that their container has; monitors name one that a Service has."""
    objects = rendered(path)
    for service in of_kind(objects, "Service"):
        chosen = [pod for pod in pods(of_kind(objects, "Deployment"))
                  if _matches(service["spec"]["selector"], pod["metadata"]["labels"])]  # fmt: skip
        named = {port["name"] for pod in chosen for one in pod["spec"]["containers"] for port in one["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named
    for container in containers(of_kind(objects, "Deployment")):
        named = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in named
    for monitor in of_kind(objects, "ServiceMonitor"):
        watched = [one for one in of_kind(objects, "Service")
                   if _matches(monitor["spec"]["selector"]["matchLabels"], one["metadata"]["labels"])]  # fmt: skip
        assert watched
        ports = {port["name"] for one in watched for port in one["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports


@every_file
def test_names_and_labels_follow_the_conventions(path: Path) -> None:
    """The standard labels on every object, none that changes in a selector, no namespace of its own, one name each."""
    objects = rendered(path)
    identities = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(identities) == len(set(identities))
    for one in objects:
        labels = one["metadata"]["labels"]
        assert {f"app.kubernetes.io/{word}" for word in STANDARD} <= set(labels), one["kind"]
        assert "helm.sh/chart" in labels
        assert "namespace" not in one["metadata"]
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", one["metadata"]["name"])
        if one["kind"] == "Deployment":
            assert not {"app.kubernetes.io/version", "helm.sh/chart"} & set(one["spec"]["selector"]["matchLabels"])


@every_file
def test_images_are_named_by_version(path: Path) -> None:
    """By a tag that is not `latest`, or by digest."""
    for container in containers(rendered(path)):
        assert re.fullmatch(r"[^:@]+(:[0-9][\w.-]*|@sha256:[0-9a-f]{64})", container["image"])


@every_file
def test_pods_keep_to_restricted(path: Path) -> None:
    """All that Pod Security `restricted` asks for, and a read-only root; a hostPath only for the disks of the node."""
    for pod in pods(rendered(path)):
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] >= 10_000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["enableServiceLinks"] is False
        allowed = VOLUMES | ({"hostPath"} if path.stem == "cache-nvme-values" else set())
        assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= allowed
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            security = container["securityContext"]
            assert security == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", ()))


@every_file
def test_pods_say_what_they_need(path: Path) -> None:
    """Requests of CPU and memory, a limit of memory; GPUs as a limit; whole folders and no more than is mounted."""
    for pod in pods(rendered(path)):
        spec = pod["spec"]
        mounted = {mount["name"] for one in spec["containers"] for mount in one["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
        assert not any("subPath" in mount for one in spec["containers"] for mount in one["volumeMounts"])
        for container in spec["containers"]:
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]


@every_file
def test_open_answers_have_their_time(path: Path) -> None:
    """The grace period of a pod is longer than all that is left to them: nothing is killed before its deadline."""
    objects = rendered(path)
    for pod in pods(of_kind(objects, "Deployment")):
        container, grace_s = pod["spec"]["containers"][0], pod["spec"]["terminationGracePeriodSeconds"]
        if container["name"] == "engine":
            words = container["args"]
            flag = "--shutdown-timeout" if "--shutdown-timeout" in words else "--drain-s"
            ahead_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert grace_s >= ahead_s + int(words[words.index(flag) + 1]) + 5
        if container["name"] == "gateway":
            (config,) = of_kind(objects, "ConfigMap")
            gateway = yaml.safe_load(config["data"]["spillway.yaml"])["gateway"]
            assert grace_s >= gateway["drain_lead_s"] + gateway["drain_s"] + 5


@every_file
def test_secrets_are_named_and_never_made(path: Path) -> None:
    """No Secret among the objects; nothing but a reference where a key is needed."""
    objects = rendered(path)
    assert of_kind(objects, "Secret") == []
    for container in containers(objects):
        for variable in container["env"]:
            if re.search(r"KEY|TOKEN|URL|PASSWORD", variable["name"]) and "value" in variable:
                assert variable["name"] == "SPILLWAY_PROVIDERS_WITH_KEYS"


@every_file
def test_the_configuration_is_one_that_starts(path: Path, tmp_path: Path) -> None:
    """spillway.yaml of the ConfigMap has no error, listens where the Services point, and has no pools of its own."""
    for config in of_kind(rendered(path), "ConfigMap"):
        file = tmp_path / "spillway.yaml"
        file.write_text(config["data"]["spillway.yaml"], encoding="utf-8")
        settings = load_settings(file, {}, today=TODAY)
        assert settings.pools == {}
        assert (settings.gateway.host, settings.gateway.port) == ("0.0.0.0", 8080)
        assert (settings.gateway.admin_host, settings.gateway.admin_port) == ("0.0.0.0", 8081)
        assert (settings.controller.host, settings.controller.port) == ("0.0.0.0", 8082)


@every_file
def test_rights_are_few_and_of_one_namespace(path: Path) -> None:
    """No wildcard, no secrets, no exec, nothing of the whole cluster, deletion of pods alone."""
    objects = rendered(path)
    assert of_kind(objects, "ClusterRoleBinding") == []
    for role in of_kind(objects, "Role"):
        for rule in role["rules"]:
            said = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not {"*", "secrets", "pods/exec", "impersonate", "escalate", "bind", "deletecollection"} & said
            assert "delete" not in said or rule["resources"] == ["pods"]
            if role["metadata"]["name"].endswith("-gateway"):
                assert set(rule["verbs"]) <= {"get", "list", "watch"}


@pytest.mark.parametrize(
    ("values", "made"),
    [
        ({}, {"view": {"get", "list", "watch"}, "edit": {"create", "update", "patch", "delete", "deletecollection"}}),
        ({"rbac": {"aggregate": False}}, {}),
        ({"rbac": {"create": False}}, {}),
    ],
    ids=["default", "off", "no-rights"],
)
def test_people_have_rights_by_the_roles_of_the_cluster(
    values: Json, made: dict[str, set[str]], tmp_path: Path
) -> None:
    """Two ClusterRoles on ModelPools alone, each aggregated to one role; none where that is turned off."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    documents = [one for one in yaml.safe_load_all(rendered_text("ops", file)) if one]
    roles = of_kind(documents, "ClusterRole")
    found = {}
    for role in roles:
        (label,) = [one for one in role["metadata"]["labels"] if one.startswith("rbac.")]
        rules = role["rules"]
        assert {group for rule in rules for group in rule["apiGroups"]} == {"spillway.dev"}
        assert {name.partition("/")[0] for rule in rules for name in rule["resources"]} == {"modelpools"}
        assert any("modelpools/scale" in rule["resources"] for rule in rules)
        found[label.removeprefix("rbac.authorization.k8s.io/aggregate-to-")] = {
            verb for rule in rules for verb in rule["verbs"]
        }
    assert found == made


def test_the_controller_may_do_what_it_does() -> None:
    """The Role of the chart is the list that the controller is held to, no more and no less."""
    (role,) = [
        one
        for one in of_kind(rendered(HELM / "ops" / "ci" / "default-values.yaml"), "Role")
        if one["metadata"]["name"].endswith("-controller")
    ]
    granted = {
        (rule["apiGroups"][0], resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {("" if group == "core" else group, resource, verb) for group, resource, verb in rights_listed()}


@every_file
def test_policies_close_both_directions(path: Path) -> None:
    """What is not listed is denied; the metadata server is in no list, and three kinds of peers reach engines."""
    for policy in of_kind(rendered(path), "NetworkPolicy"):
        spec = policy["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        for rule in spec["egress"]:
            assert rule["to"]
            assert rule["ports"]
            for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
                if block["cidr"] == "0.0.0.0/0":
                    assert "169.254.0.0/16" in block["except"]
                assert not block["cidr"].startswith("169.254.")
        if policy["metadata"]["labels"]["app.kubernetes.io/component"] == "engine":
            first, *further = spec["ingress"]
            assert not further or path.stem == "media-hosts-values"
            callers, *prometheus = first["from"]
            (expression,) = callers["podSelector"]["matchExpressions"]
            assert expression["values"] == ["gateway", "controller"]
            assert len(prometheus) == 1


def test_engines_are_started_as_the_checklist_asks() -> None:
    """Pinned by commit, no code of repositories, images from nowhere, the key out of sight, no development mode."""
    for path in (HELM / "serving").glob("*/*.yaml"):
        if path.parent.name not in {"ci", "values"}:
            continue
        for container in containers(of_kind(rendered(path), "Deployment")):
            words, names = container["args"], {one["name"] for one in container["env"]}
            assert "VLLM_API_KEY" in names
            assert "--api-key" not in words
            assert not {"--trust-remote-code", "--profiler-config", "--enable-lora"} & set(words)
            assert not {"VLLM_SERVER_DEV_MODE", "VLLM_TORCH_PROFILER_DIR"} & names
            if "--model" in words and words[words.index("--model") + 1].startswith("s3://"):
                assert words[words.index("--load-format") + 1] == "runai_streamer"
                assert "--revision" not in words
            elif "--model" in words and not words[words.index("--model") + 1].startswith("/"):
                assert re.fullmatch("[0-9a-f]{40}", words[words.index("--revision") + 1])
            if "--model" in words:
                hosts = words[words.index("--allowed-media-domains") + 1 :]
                expected = "images.example.com" if path.stem == "media-hosts-values" else "none.invalid"
                assert hosts[0] == expected


def test_a_full_node_cannot_stop_a_rollout() -> None:
    """Without more GPUs than are taken an old pod goes before a new one comes, and the only replica may be evicted."""
    objects = rendered(HELM / "serving" / "values" / "mixtral-p4d.yaml")
    (deployment,), (budget,) = of_kind(objects, "Deployment"), of_kind(objects, "PodDisruptionBudget")
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert "replicas" not in deployment["spec"]


def test_gpus_shared_memory_and_start_follow_the_size() -> None:
    """Four GPUs, 16 GiB of /dev/shm, and a startup probe of 87 GiB at 100 MiB/s and 420 s."""
    (deployment,) = of_kind(rendered(HELM / "serving" / "values" / "mixtral-p4d.yaml"), "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    (engine,) = spec["containers"]
    assert engine["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}} in spec["volumes"]
    probe = engine["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] == 1315  # 891 + 420, in steps of 5
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["nodeSelector"] == {"node.kubernetes.io/instance-type": "p4d.24xlarge"}


@pytest.mark.parametrize(("said", "rolls"), [("Roll", True), ("InPlace", False)])
def test_a_change_of_the_configuration_rolls_the_pods(said: str, rolls: bool, tmp_path: Path) -> None:
    """Or not, where processes shall read the changed file."""
    sums = []
    for phase in ("phase1", "phase2"):
        file = tmp_path / f"{phase}.yaml"
        file.write_text(yaml.safe_dump({"configChange": said, "config": {"phase": phase}}), encoding="utf-8")
        done = run_helm("template", "demo", str(HELM / "ops"), "--kube-version", KUBERNETES, "-f", str(file))
        found: list[Json] = [one for one in yaml.safe_load_all(done.stdout) if one]
        sums.append([pod["metadata"]["annotations"].get("checksum/config") for pod in pods(found)])
    assert (sums[0] != sums[1]) == rolls


def test_the_controller_holds_no_key_of_a_provider() -> None:
    """It is told whose there are; the gateway has them as files, and the configuration says where."""
    objects = rendered(HELM / "ops" / "ci" / "provider-keys-values.yaml")
    by_name = {one["name"]: one for one in containers(of_kind(objects, "Deployment"))}
    told = {one["name"]: one.get("value") for one in by_name["controller"]["env"]}
    assert told["SPILLWAY_PROVIDERS_WITH_KEYS"] == "groq,inside,openai"
    folders = {mount["name"] for mount in by_name["controller"]["volumeMounts"]}
    assert folders == {"config", "state", "tmp"}
    (config,) = of_kind(objects, "ConfigMap")
    providers = yaml.safe_load(config["data"]["spillway.yaml"])["providers"]
    mount = next(one for one in by_name["gateway"]["volumeMounts"] if one["name"] == "provider-keys")
    assert {Path(one["api_key_file"]).parent for one in providers.values()} == {Path(mount["mountPath"])}
    assert providers["inside"]["private_address"] is True


def test_the_home_of_the_user_is_left_alone() -> None:
    """helm keeps nothing outside of what these tests give it."""
    before = {name for name in os.listdir(Path.home()) if "helm" in name}
    run_helm("lint", str(HELM / "ops"), "--kube-version", KUBERNETES)
    assert {name for name in os.listdir(Path.home()) if "helm" in name} == before
