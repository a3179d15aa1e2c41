"""Whether the weights that a stack asks for can be fetched: their repository and commit are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from controller.catalogue.document import Document
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from infra.checks.models import own_models
from infra.schema import ModelSettings, StackSettings

ANY_REVISION: Final = "main"  # of the settings: whatever the chart names
# Values of helm/serving by catalogue key and format of the weights; they name repository and commit.
READY: Final = {
    ("llama-8b-self", "bf16"): "llama-8b-g5.yaml",
    ("mixtral-8x7b-self", "bf16"): "mixtral-p4d.yaml",
    ("llama-70b-self", "int8"): "llama-70b-p4d.yaml",
}


def is_ready(placed: ModelSettings) -> bool:
    """Whether our chart of engines has values for that model in that format."""
    return (placed.model, placed.dtype) in READY


def check_weights(settings: StackSettings, document: Document) -> Iterator[Problem]:
    """The catalogue names the repository of bf16 weights alone, and no commit: that one the stack has to say."""
    for name, placed in settings.models.items():
        if placed.model not in own_models() or is_ready(placed):
            continue
        if placed.dtype != "bf16":
            formats = [dtype for model, dtype in READY if model == placed.model]
            yield problem_at(
                document, ("models", name, "dtype"),
                f"no repository is known that has the weights of {placed.model} in this format",
                " or ".join([*formats, *([] if "bf16" in formats else ["bf16 with `revision`, a commit"])]),
                placed.dtype,
            )  # fmt: skip
        elif placed.revision == ANY_REVISION:
            yield problem_at(
                document, ("models", name, "revision"),
                f"the weights of {placed.model} in bf16 are fetched at a commit, and the chart names none",
                "the 40 hex digits of a commit", placed.revision,
            )  # fmt: skip
