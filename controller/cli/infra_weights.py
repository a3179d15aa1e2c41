"""`spillway infra weights`: what lies in the bucket of a stack, and the way of it there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.errors import EXIT_FAILED
from controller.cli.infra_account import AS_JSON, FOLDER, PROFILE, STACK, need_infra_extra

if TYPE_CHECKING:
    from infra.weights import Judged

BUCKET = typer.Option(..., "--bucket", help="the stack's: pulumi -C infra stack output model_bucket")
MODELS = typer.Option(None, "--model", help="of these models of the stack alone [default: all]")
LABELS = {"whole": "ok", "absent": "warning", "damaged": "error"}


def weights(
    stack: str = STACK,
    folder: Path | None = FOLDER,
    bucket: str = BUCKET,
    *,
    models: list[str] | None = MODELS,
    fill: bool = typer.Option(False, "--fill", help="fetch what is missing from the hub, compare it, put it there"),
    profile: str | None = PROFILE,
    as_json: bool = AS_JSON,
) -> None:
    """Tell whether the weights that the stack wants lie in its bucket, whole; with --fill, bring them there.

    Every file is compared with the sum that its commit names before it is put there, and its sha256 is written down.
    Without --fill every call only reads. HF_TOKEN: a token for gated weights. Exit code 0 when all are whole, else 1.
    """
    from controller.cli.infra import stack_file
    from controller.cli.output import emit_json, say

    need_infra_extra()
    from infra.aws.access import Access
    from infra.aws.s3 import Bucket
    from infra.filling import chosen, examined, wanted_by
    from infra.filling import fill as bring
    from infra.hub import hub_of
    from infra.settings import identify

    _, region = identify(stack_file(stack, folder))
    place = Bucket(Access(region, profile).client("s3"), bucket)
    wanted = chosen(wanted_by(place), models or [])
    if fill:
        hub = hub_of(os.environ)
        for one in wanted:
            bring(place, one, hub, lambda words: say("weights", words))
    judged = [examined(place, one) for one in wanted]
    whole = all(one.state == "whole" for one in judged)
    if as_json:
        emit_json("infra-weights", {"stack": stack, "bucket": bucket, "whole": whole, "weights": judged})
    else:
        _tell(judged, stack, bucket, whole=whole)
    if not whole:
        raise typer.Exit(EXIT_FAILED)


def _tell(judged: Sequence[Judged], stack: str, bucket: str, *, whole: bool) -> None:
    from controller.cli.output import say, table

    rows = [
        (one.model, one.repository, one.revision[:12], str(one.files), f"{one.size_gib:.1f}", one.state)
        for one in judged
    ]
    table("", ("model", "repository", "commit", "files", "GiB", "state"), rows)
    for one in judged:
        if one.state != "whole":
            say(LABELS[one.state], f"{one.model}: {one.words}")
    if whole:
        say(
            "next",
            f"pulumi -C infra config set --stack {stack} --path 'spillway:model_store.source' bucket, then pulumi up",
        )
    else:
        say("fix", f"spillway infra weights --stack {stack} --bucket {bucket} --fill")
