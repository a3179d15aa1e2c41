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
    """Whether our chart of engines has values for that model in that format, and they name its weights."""
    return (placed.model, placed.dtype) in READY and placed.repository is None


def check_weights(settings: StackSettings, document: Document) -> Iterator[Problem]:
    """The catalogue names the repository of bf16 weights alone, and no commit: what it lacks the stack has to say."""
    for name, placed in settings.models.items():
        if placed.model not in own_models() or is_ready(placed):
            continue
        if placed.dtype != "bf16" and placed.repository is None:
            formats = [dtype for model, dtype in READY if model == placed.model]
            yield problem_at(
                document, ("models", name, "dtype"),
                f"no repository is known that has the weights of {placed.model} in this format",
                " or ".join([*formats, f"{placed.dtype} with `repository` and `revision`"]),
                placed.dtype,
            )  # fmt: skip
        elif placed.revision == ANY_REVISION:
            of = f"of {placed.repository}" if placed.repository else f"of {placed.model} in bf16"
            yield problem_at(
                document, ("models", name, "revision"),
                f"the weights {of} are fetched at a commit, and none is named",
                "the 40 hex digits of a commit", placed.revision,
            )  # fmt: skip
