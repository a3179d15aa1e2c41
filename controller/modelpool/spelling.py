"""The words of the configuration checks, as somebody knows them who writes ModelPools and not spillway.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic.alias_generators import to_camel

from controller.catalogue.document import Document, Place, Spelling, key_words

_NAMES = {
    name: to_camel(name)
    for name in (
        "tensor_parallel",
        "max_model_len_tokens",
        "max_num_batched_tokens",
        "instance_type",
        "node_pool",
    )
} | {"max_replicas": "replicas.max", "min_replicas": "replicas.min"}
_KNOWN = re.compile(rf"\b({'|'.join(_NAMES)})\b")
_WEIGHTS = re.compile(r"\b(bf16|fp8|int8|awq|gptq)(?= weights\b)")
_TPOT = re.compile(r"\btpot_p95_s is ([0-9.]+)")
_OF_FILE = re.compile(r"`(models\.[^`]+)`|\b(node_pools)\b")


@dataclass(frozen=True, slots=True)
class PoolSpelling(Spelling):
    """Field paths and units of the CRD. Places begin with "spec"; what is below it may be named as in either."""

    def key(self, place: Place) -> str:
        """`spec.engine.tensorParallel`."""
        if place == ("spec", "name"):
            return "metadata.name"
        return key_words(tuple(to_camel(part) if isinstance(part, str) and "_" in part else part for part in place))

    def words(self, text: str) -> str:
        """Names and units of the CRD in place of spillway.yaml's; what stands there still is said to."""
        text = _TPOT.sub(lambda found: f"tpotP95Milliseconds is {float(found[1]) * 1000:g}", text)
        text = _WEIGHTS.sub(lambda found: found[0].capitalize(), text)
        text = _OF_FILE.sub(lambda found: f"`{found[1] or found[2]}` of spillway.yaml", text)
        return _KNOWN.sub(lambda found: _NAMES[found[0]], text)


def document_of(name: str) -> Document:
    """A ModelPool as a source of settings; nothing of it is built in."""
    return Document(file=f"modelpool/{name}", has_lines=False, spelling=PoolSpelling())
