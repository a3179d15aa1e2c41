"""What the Kubernetes API or the way to it says when something was not done, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import orjson

from controller.adapters.kubernetes_kinds import Json
from controller.core.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterGone,
    ClusterInvalid,
    ClusterNotFound,
    ClusterUnavailable,
    ForbiddenCause,
)

TIMED_OUT, UNREACHABLE, BROKEN = "Timeout", "Unreachable", "Broken"
NO_ANSWER = frozenset({TIMED_OUT, UNREACHABLE, BROKEN})
WORDS_MAX = 600
PLAIN = {404: ClusterNotFound, 409: ClusterConflict, 410: ClusterGone}


@contextmanager
def translated(path: str, limit_s: float) -> Iterator[None]:
    """Afterwards what goes wrong on the way is an error of ours."""
    try:
        yield
    except TimeoutError as error:
        raise ClusterUnavailable(
            f"the Kubernetes API had no whole answer after {limit_s:g} s on {path}", reason=TIMED_OUT
        ) from error
    except (aiohttp.ClientConnectorError, OSError) as error:
        raise ClusterUnavailable(f"the Kubernetes API cannot be reached: {error}", reason=UNREACHABLE) from error
    except aiohttp.ClientError as error:
        words = str(error) or type(error).__name__
        raise ClusterUnavailable(f"the answer of the Kubernetes API on {path} broke: {words}", reason=BROKEN) from error


def read_object(data: bytes, path: str) -> Json:
    """The object in an answer; something between us and the API may answer for it, with whatever it likes."""
    try:
        found = orjson.loads(data)
    except ValueError as error:
        raise ClusterUnavailable(f"the answer on {path} is not JSON", reason=BROKEN) from error
    if not isinstance(found, dict):
        raise ClusterUnavailable(f"the answer on {path} is not an object", reason=BROKEN)
    return found


def refusal(status: int, body: bytes, retry_after: str | None, asked: str) -> ClusterError:
    """The error behind an answer with an error status."""
    try:
        said = orjson.loads(body)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    words = str(said.get("message") or body[:WORDS_MAX].decode("utf-8", "replace"))[:WORDS_MAX]
    return of_status(status, str(said.get("reason") or ""), f"{asked}: {status} {words}".strip(), retry_after)


def of_status(status: int, reason: str, words: str, retry_after: str | None = None) -> ClusterError:
    """The error of a status, also where an event of a watch says it."""
    if status in (401, 403):
        return ClusterForbidden(words, reason=reason or "Forbidden", cause=_cause(words))
    if status == 429 or status >= 500:
        retry_after_s = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
        return ClusterUnavailable(words, reason=reason or str(status), retry_after_s=retry_after_s)
    if status in PLAIN:
        return PLAIN[status](words, reason=reason or str(status))
    if 400 <= status < 500:
        if _is_admission(words):
            return ClusterForbidden(words, reason=reason or "Denied", cause=ForbiddenCause.ADMISSION)
        return ClusterInvalid(words, reason=reason or str(status))
    return ClusterUnavailable(words, reason=reason or str(status))  # a redirect: something stands in between


def _cause(words: str) -> ForbiddenCause:
    """Who can mend it, by the words that the API server has for each case."""
    if "exceeded quota" in words or "failed quota" in words:
        return ForbiddenCause.QUOTA
    return ForbiddenCause.ADMISSION if _is_admission(words) else ForbiddenCause.RIGHTS


def _is_admission(words: str) -> bool:
    return "admission webhook" in words or "ValidatingAdmissionPolicy" in words or "violates PodSecurity" in words
