"""Whether a model's weights lie in the bucket, whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from infra.weights.manifests import FileSum, Wanted

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`files` and `size_gib`: of what was put there; 0 while it is `absent`."""

    model: str
    repository: str
    revision: str
    state: Literal["whole", "absent", "damaged"]
    files: int
    size_gib: float
    words: str


def judge(wanted: Wanted, sums: Mapping[str, FileSum] | None, sizes_bytes: Mapping[str, int]) -> Judged:
    """`sums`: None while nobody has filled that commit in. `sizes_bytes`: what lies below the prefix, by name.

    Sums themselves were compared before each file was put there, and S3 checks its own; here sizes tell what is gone.
    """
    if sums is None:
        return _judged(wanted, "absent", {}, "not filled in yet")
    faults = [f"{name} is missing" for name in sorted(sums.keys() - sizes_bytes.keys())]
    faults += [
        f"{name} has {sizes_bytes[name]:,} of {one.size_bytes:,} bytes"
        for name, one in sorted(sums.items())
        if name in sizes_bytes and sizes_bytes[name] != one.size_bytes
    ]
    faults += [f"{name} does not belong there" for name in sorted(sizes_bytes.keys() - sums.keys())]
    if not faults:
        return _judged(wanted, "whole", sums, f"s3 folder {wanted.prefix}")
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    return _judged(wanted, "damaged", sums, "; ".join(faults[:3]) + more)


def _judged(
    wanted: Wanted, state: Literal["whole", "absent", "damaged"], sums: Mapping[str, FileSum], words: str
) -> Judged:
    return Judged(
        model=wanted.model,
        repository=wanted.repository,
        revision=wanted.revision,
        state=state,
        files=len(sums),
        size_gib=sum(one.size_bytes for one in sums.values()) / GIB,
        words=words,
    )
