"""Values that helm refuses, each with the words that say which value, what it was, and what it must be."""

from __future__ import annotations

import pytest

from tests.helm.rendered_charts import Json, refusal

pytestmark = pytest.mark.helm

CLAIM = "PersistentVolumeClaim"
SQLITE = {"type": "Sqlite"}

REFUSED: tuple[tuple[str, str, Json, str], ...] = (
    # values that contradict each other
    ("weights from nowhere", "serving", {"model": {"hub": {"repository": ""}}},
     "one of model.hub.repository and model.path must be set"),
    ("weights from two places", "serving", {"model": {"path": "/weights"}},
     "only one of model.hub.repository ('meta-llama/Llama-3.1-8B-Instruct') and model.path ('/weights') may be set"),
    ("a branch", "serving", {"model": {"hub": {"revision": ""}}},
     "model.hub.revision: must be the commit of meta-llama/Llama-3.1-8B-Instruct, 40 hex digits"),
    ("min over max", "serving", {"modelPool": {"replicas": {"min": 5, "max": 2}}},
     "modelPool.replicas.min: 5 must be at most modelPool.replicas.max, which is 2"),
    ("exit over enter", "serving", {"modelPool": {"spill": {"exitSaturationPercent": 95}}},
     "modelPool.spill.exitSaturationPercent: 95 must be less than enterSaturationPercent, which is 90"),
    ("a rollout that cannot move", "serving", {"rollout": {"maxSurge": 0, "maxUnavailable": 0}},
     "rollout.maxUnavailable: must be at least 1 while rollout.maxSurge is 0"),
    ("tensor parallel on CPU", "serving", {"engine": {"device": "Cpu", "tensorParallel": 2, "blockSizeTokens": 32}},
     "engine.tensorParallel: 2 must be 1 with engine.device Cpu"),
    ("blocks that the CPU cannot take", "serving", {"engine": {"device": "Cpu"}},
     "engine.blockSizeTokens: 16 must be a multiple of 32 with engine.device Cpu"),
    ("host path without a path", "serving", {"cache": {"type": "HostPath"}},
     "cache.hostPath: must name a folder of the node with cache.type HostPath"),
    ("path of the host elsewhere", "serving", {"cache": {"hostPath": "/mnt/models"}},
     "cache.hostPath: '/mnt/models' may only be set with cache.type HostPath, which is EmptyDir"),
    ("claim elsewhere", "serving", {"cache": {"existingClaim": "weights"}},
     "cache.existingClaim: 'weights' may only be set with cache.type PersistentVolumeClaim, which is EmptyDir"),
    ("one node's volume for many", "serving", {"cache": {"type": CLAIM, "accessMode": "ReadWriteOnce"}},
     "cache.accessMode: must be ReadWriteMany, as modelPool.replicas.max is 4"),
    ("cache without room", "serving", {"model": {"weightsGibibytes": 87}},
     "cache.sizeGibibytes: 40 must be at least 92"),
    ("label of the selector", "serving", {"podLabels": {"app.kubernetes.io/component": "mine"}},
     "podLabels: 'app.kubernetes.io/component' may not be set"),
    ("latest", "serving", {"image": {"tag": "latest"}}, "image.tag: 'latest' must not be used"),
    ("pools in the file", "ops", {"config": {"pools": [{"name": "a", "model": "llama-8b-self"}]}},
     "config.pools: must be empty; on Kubernetes pools come from ModelPool objects"),
    ("port of the gateway", "ops", {"config": {"gateway": {"port": 9000}}},
     "config.gateway.port: must not be set; the chart writes it"),
    ("gateways of the controller", "ops", {"config": {"controller": {"gateways": ["http://a:8081"]}}},
     "config.controller.gateways: must not be set; the chart writes it"),
    ("state folder", "ops", {"config": {"state_dir": "/data"}}, "config.state_dir: must not be set"),
    ("database in the file", "ops", {"config": {"database_url_env": "URL"}},
     "config.database_url_env: must not be set"),
    ("many gateways on SQLite", "ops", {"database": SQLITE, "gateway": {"replicas": 3,
     "autoscaling": {"enabled": False}}},
     "gateway.replicas: 3 must be 1 with database.type Sqlite"),
    ("gateways that grow on SQLite", "ops", {"database": SQLITE},
     "gateway.autoscaling.enabled: must be false with database.type Sqlite"),
    ("bounds of the autoscaler", "ops", {"gateway": {"autoscaling": {"minReplicas": 8, "maxReplicas": 4}}},
     "gateway.autoscaling.minReplicas: 8 must be at most maxReplicas, which is 4"),
    ("keys out of no Secret", "ops", {"providerKeys": {"providers": {"openai": "openai"}}},
     "providerKeys.existingSecret: must name the Secret"),
    ("two files of one key", "ops",
     {"providerKeys": {"existingSecret": "p", "providers": {"openai": "k"}},
      "config": {"providers": {"openai": {"api_key_file": "/keys/openai"}}}},
     "config.providers.openai.api_key_file: must not be set beside providerKeys.providers.openai"),
    ("ingress without a host", "ops", {"ingress": {"enabled": True}}, "ingress.host: must name the host"),
    ("route to nowhere", "ops", {"httpRoute": {"enabled": True}},
     "httpRoute.parentRefs: must name at least one Gateway"),
    ("latest of ops", "ops", {"image": {"tag": "latest"}}, "image.tag: 'latest' must not be used"),
    ("label of the gateway's selector", "ops", {"gateway": {"podLabels": {"app.kubernetes.io/name": "mine"}}},
     "gateway.podLabels: 'app.kubernetes.io/name' may not be set"),
    # values that the schema refuses
    ("misspelt value", "serving", {"modelpool": {"enabled": False}}, "additional properties 'modelpool' not allowed"),
    ("misspelt part", "ops", {"gateway": {"replica": 3}}, "at '/gateway': additional properties 'replica' not allowed"),
    ("misspelt key of spillway.yaml", "ops", {"config": {"tenants": {"acme": {"usd_per_dya": 3}}}},
     "at '/config/tenants/acme': additional properties 'usd_per_dya' not allowed"),
    ("unknown phase", "ops", {"config": {"phase": "phase9"}}, "at '/config/phase': value must be one of"),
    ("three GPUs", "serving", {"engine": {"tensorParallel": 3}},
     "at '/engine/tensorParallel': value must be one of 1, 2, 4, 8"),
    ("all of the memory", "serving", {"engine": {"gpuMemoryUtilizationPercent": 100}},
     "at '/engine/gpuMemoryUtilizationPercent': maximum: got 100, want 98"),
    ("a branch by name", "serving", {"model": {"hub": {"revision": "main"}}},
     "at '/model/hub/revision': 'main' does not match"),
    ("number as text", "serving", {"modelPool": {"replicas": {"max": "4"}}},
     "at '/modelPool/replicas/max': got string, want integer"),
    ("unknown field of the ModelPool", "serving", {"modelPool": {"autoscale": {"coldStart": 5}}},
     "at '/modelPool/autoscale': additional properties 'coldStart' not allowed"),
    ("root", "serving", {"runAsUser": 0}, "at '/runAsUser': minimum: got 0, want 10,000"),
    ("no replicas", "ops", {"controller": {"replicas": 0}}, "at '/controller/replicas': minimum: got 0, want 1"),
    ("unknown kind of engine", "serving", {"engine": {"kind": "Tgi"}},
     "at '/engine/kind': value must be one of 'Vllm', 'Sim'"),
    ("no Secret", "ops", {"existingSecret": ""}, "at '/existingSecret': minLength: got 0, want 1"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("chart", "values", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_wrong_value_is_refused_in_clear_words(chart: str, values: Json, words: str) -> None:
    """At `helm install`, before anything is made."""
    assert words in refusal(chart, values)
