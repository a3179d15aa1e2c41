"""Configuration and routes of a cluster: its spillway.yaml with its ModelPools, and what only its pods have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from about_cluster import document, refused, run
from explained import CHAT, NEVER, SECRET
from fake_cluster import CONFIG_MAPS, DEPLOYMENTS, POOLS, FakeCluster
from typer.testing import CliRunner

from controller.cli.cluster_config import environment_of
from controller.cli.errors import EXIT_USAGE
from controller.cli.main import build_app
from controller.core.errors import ConfigError
from tests.cluster.installed import deployment, labels, model_pool

CONFIG = {"phase": "phase3", "pools": [], "providers": {"openai": {"api_key_file": "/run/secrets/providers/openai"}}}


def configured(there: FakeCluster, config: object = CONFIG, name: str = "demo-config") -> None:
    """A pool that spills, and the chart's ConfigMap and gateway."""
    there.fleet()
    data = {"spillway.yaml": config if isinstance(config, str) else yaml.safe_dump(config)}
    there.put(CONFIG_MAPS, {"metadata": {"name": name, "labels": labels("config")}, "data": data})
    made = json.loads(json.dumps(deployment("demo-gateway", 1)))
    made["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "SPILLWAY_STATE_DIR", "value": "/var/lib/spillway"},
        {"name": "SPILLWAY_DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "spillway", "key": "database-url"}}},
    ]
    there.put(DEPLOYMENTS, made)


def test_the_configuration_is_checked_with_the_pools_that_there_are(there: FakeCluster) -> None:
    """Where each problem is; keys that are files of pods are taken as being there."""
    configured(there)
    result = run("config", "validate")
    assert result.exit_code == 0, result.output
    assert "modelpool/llama-8b: spec.spill.to[0]: gpt-4o-mini ends on 2027-01-14" in result.stderr
    assert "OPENAI_API_KEY: is not set" not in result.stderr
    assert "in configmap/demo-config" in result.stderr
    assert "next: spillway status --context demo" in result.stderr


def test_a_bad_pool_is_told_with_the_words_that_mend_it(there: FakeCluster) -> None:
    """By name, with what is allowed; exit code 2, and as data."""
    configured(there)
    there.put(POOLS, model_pool("other", model="llama-8b-sel"))
    result = run("config", "validate", "--json")
    assert result.exit_code == EXIT_USAGE
    told = json.loads(result.stdout)["data"]
    errors = [one for one in told["problems"] if one["severity"] == "error"]
    assert [(one["file"], one["key"]) for one in errors] == [("modelpool/other", "spec.model")]
    assert (told["valid"], told["file"]) == (False, "configmap/demo-config")


def test_a_bad_file_of_the_cluster_is_told_by_line(there: FakeCluster) -> None:
    """In the ConfigMap, not in a file of this machine."""
    configured(there, "phase: phase3\npools: []\nphases: 1\n")
    result = run("config", "validate")
    assert result.exit_code == EXIT_USAGE
    assert "error: configmap/demo-config:3: phases" in result.stderr
    error = run("config", "show").exception
    assert isinstance(error, ConfigError)
    assert "configmap/demo-config:3" in str(error)


def test_a_file_can_be_checked_before_it_is_the_clusters(there: FakeCluster, tmp_path: Path) -> None:
    """With the pools that are there; pools in the file are refused."""
    configured(there)
    (tmp_path / "new.yaml").write_text("phase: phase2\npools: []\n", encoding="utf-8")
    told = document("config", "show", "--config", "new.yaml")
    assert isinstance(told, dict)
    assert (told["phase"], list(told["pools"])) == ("phase2", ["llama-8b"])
    (tmp_path / "new.yaml").write_text("pools: [{name: a}]\n", encoding="utf-8")
    assert "must be empty on Kubernetes" in run("config", "validate", "new.yaml").stderr


def test_what_holds_is_shown_with_the_pools_of_the_cluster(there: FakeCluster) -> None:
    """Secrets are never read."""
    configured(there)
    shown = run("config", "show").stdout
    assert "Configuration: configmap/demo-config" in shown
    assert "PostgreSQL, URL in SPILLWAY_DATABASE_URL" in shown
    assert "llama-8b-self  g5.2xlarge" in shown
    assert not any("/secrets" in path for _, path in there.api.calls)


@pytest.mark.parametrize(
    ("names", "why"), [((), "no ConfigMap of the chart"), (("a-config", "b-config"), "there are a-config, b-config")]
)
def test_which_configuration_holds_is_never_guessed(there: FakeCluster, names: tuple[str, ...], why: str) -> None:
    """None, or two."""
    there.fleet()
    for name in names:
        configured(there, name=name)
    error = refused("config", "show")
    assert why in error.why
    assert "--config FILE" in error.fix


def test_an_authority_of_the_pods_is_no_error_here(there: FakeCluster) -> None:
    """Its file cannot be looked at from outside, and that is said; what needs it whole says so."""
    provider = {"base_url": "https://models.internal", "ca_file": "/etc/ca.pem", "api_key_env": "X"}
    configured(there, {"pools": [], "providers": {"openai": provider}})
    result = run("config", "validate")
    assert result.exit_code == 0, result.stderr
    assert "providers.openai.ca_file: is a file of the pods" in result.stderr
    assert isinstance(run("config", "show").exception, ConfigError)


def test_a_route_is_explained_by_what_holds_there(there: FakeCluster) -> None:
    """Its pools and their state; the text of the request stays here."""
    configured(there)
    there.put(POOLS, model_pool("other", model="llama-8b-sel"))
    asked = CliRunner().invoke(
        build_app(), ["route", "explain", "-", "--context", "demo"], input=json.dumps(CHAT).encode()
    )
    assert asked.exit_code == 0, asked.output
    assert "1. pool llama-8b" in asked.stdout
    assert "2. openai  gpt-4o-mini" in asked.stdout
    assert "pool llama-8b spills 37% of its requests" in asked.stderr
    assert "ModelPools that are refused are no targets: other" in asked.stderr
    assert SECRET not in asked.output
    kept = CliRunner().invoke(
        build_app(), ["route", "explain", "-", *NEVER, "--context", "demo", "--json"], input=json.dumps(CHAT).encode()
    )
    chain = json.loads(kept.stdout)["data"]["chain"]
    assert len(chain) == 1


def test_variables_out_of_secrets_are_set_and_not_read() -> None:
    """And what is no container is passed over."""
    spec = {"containers": ["odd", {"name": "gateway", "env": [{"name": "A", "value": "1"}, {"name": "B"}, {}, "odd"]}]}
    found = environment_of([{"spec": {"template": {"spec": spec}}}])
    assert found == {"A": "1", "B": "in-the-cluster"}
