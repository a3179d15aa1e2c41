"""Brings weights from the hub into the bucket: each file is fetched, compared, put there; the sums are written last."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.aws.s3 import Bucket
from infra.hub import Hub
from infra.weights import (
    GIB,
    WANTED,
    FileSum,
    HubFile,
    Judged,
    Wanted,
    WeightsRefused,
    judge,
    needed,
    parse_sums,
    parse_wanted,
    sums_key,
    sums_text,
)

OID, SHA256 = "git-oid", "sha256"  # beside each object: what it is
_SPARE_BYTES = GIB


def wanted_by(bucket: Bucket) -> tuple[Wanted, ...]:
    """What the stack of that bucket wants, model by model; WeightsRefused where its bucket says nothing of it."""
    names = [name for name in bucket.sizes_bytes(WANTED) if "/" not in name]
    if not names:
        raise WeightsRefused(
            f"{bucket.name} holds no {WANTED}: it is no stack's bucket, or its `pulumi up` was not run"
        )
    return tuple(parse_wanted(bucket.content(WANTED + name), WANTED + name) for name in sorted(names))


def chosen(wanted: Sequence[Wanted], models: Sequence[str]) -> list[Wanted]:
    """Those of the models with these names, all where none is named; WeightsRefused for a name that no model has."""
    names = [one.model for one in wanted]
    for model in models:
        if model not in names:
            raise WeightsRefused(f"--model {model}: the stack has no such model; allowed: {', '.join(names)}")
    return [one for one in wanted if not models or one.model in models]


def examined(bucket: Bucket, wanted: Wanted) -> Judged:
    """Whether it is there, whole."""
    key = sums_key(wanted)
    sums = parse_sums(bucket.content(key), key) if "" in bucket.sizes_bytes(key) else None
    return judge(wanted, sums, bucket.sizes_bytes(wanted.prefix))


def fill(bucket: Bucket, wanted: Wanted, hub: Hub, tell: Callable[[str], None]) -> None:
    """Afterwards it is there, whole. What is there already is not fetched again; `tell` hears of each file.

    WeightsRefused or AwsError at the first file that cannot be had, or is not what the commit names; those before it
    stay, and the sums are not written.
    """
    files = needed(hub.files(wanted.repository, wanted.revision))
    there = bucket.sizes_bytes(wanted.prefix)
    sums: dict[str, FileSum] = {}
    with TemporaryDirectory(prefix="spillway-weights-") as folder:
        for at, file in enumerate(files, 1):
            words = f"{wanted.model}: {at} of {len(files)}: {file.name} {file.size_bytes / GIB:.2f} GiB"
            known = _known(bucket, wanted, file, there)
            tell(words if known is None else f"{words}, is there")
            sums[file.name] = known or _moved(bucket, wanted, file, (hub, Path(folder)))
    for name in sorted(there.keys() - sums.keys()):
        tell(f"{wanted.model}: {wanted.prefix}{name} is none of its files: remove it, an engine would read it")
    bucket.put(sums_key(wanted), sums_text(wanted, sums))


def _known(bucket: Bucket, wanted: Wanted, file: HubFile, there_bytes: Mapping[str, int]) -> FileSum | None:
    if there_bytes.get(file.name) != file.size_bytes:
        return None
    labels = bucket.labels(wanted.prefix + file.name)
    same = labels.get(OID) == file.git_oid and SHA256 in labels
    return FileSum(size_bytes=file.size_bytes, sha256=labels[SHA256]) if same else None


def _moved(bucket: Bucket, wanted: Wanted, file: HubFile, by: tuple[Hub, Path]) -> FileSum:
    hub, folder = by
    free = shutil.disk_usage(folder).free
    if free < file.size_bytes + _SPARE_BYTES:
        raise WeightsRefused(
            f"{file.name} needs {file.size_bytes / GIB + 1:.1f} GiB for a while, {folder.parent} has {free / GIB:.1f}: "
            "set TMPDIR to a folder on a larger disk"
        )
    copy = folder / "file"
    fetched = hub.fetch(wanted, file, copy)
    bucket.upload(wanted.prefix + file.name, copy, {OID: file.git_oid, SHA256: fetched.sha256})
    copy.unlink()
    return fetched
