"""The error tree. Adapters map foreign errors onto it, always with `from`.

SpillwayError
|- ConfigError(problems)              the configuration or a command line is wrong; exit code 2
|- TraceError                        a file of recorded traffic does not hold what it should
|- SimulationError                   a simulation or an optimum was asked for with values that cannot be
|- RequestError(status, code, ...)    refused towards the caller, in the dialect of the caller
|- ClusterError                       the Kubernetes API did not do what was asked of it
|  |- ClusterUnavailable              no answer in time, or it cannot answer now (429, 5xx): later perhaps
|  |- ClusterForbidden(cause)         may not (401, 403): no right, a quota, or denied by admission
|  |- ClusterNotFound                 is not there (404)
|  |- ClusterConflict                 was changed meanwhile, or is there already (409)
|  |- ClusterResting                  was refused a moment ago, and is not asked again yet
|  |- ClusterGone                     that far back it remembers nothing (410)
|  `- ClusterInvalid                  says that it makes no sense (400, 422 and what else is the caller's fault)
`- UpstreamError                      an own engine or an external provider did not answer well
   |- EngineUnavailable               no connection, or the connection broke
   |  `- EngineUnreachable            no connection could be made
   |- UpstreamTimeout                 connect, TTFT, idle or total deadline passed
   |- UpstreamRejected(status, ...)   answered with an error status
   `- StreamBroken                    died after content had been relayed
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SpillwayError(Exception):
    """Root of every error this project raises on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with the configuration, said so that it can be mended."""

    file: str | None
    line: int | None
    key: str
    value: str | None
    allowed: str
    message: str
    severity: str = "error"  # error | warning | note (of the built-in configuration: nothing to mend)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        value = f" (got {self.value})" if self.value is not None else ""
        return f"{place}{self.key}: {self.message}{value}; allowed: {self.allowed}"


class ConfigError(SpillwayError):
    """Every problem found, not just the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class TraceError(SpillwayError):
    """Recorded traffic that cannot be read; the message names line, value and what is allowed."""


class SimulationError(SpillwayError):
    """A price, rate, limit or curve that cannot be; the message names it, its value and what is allowed."""


class ErrorSource(StrEnum):
    """Who refused: goes out as `x-spillway-error-source`."""

    GATEWAY = "gateway"
    POOL = "pool"
    PROVIDER = "provider"


class RequestError(SpillwayError):
    """A refusal the caller sees.

    `kind` is OpenAI's `error.type`; `should_retry=None` leaves the SDK its own rule.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        kind: str = "invalid_request_error",
        param: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        source: ErrorSource = ErrorSource.GATEWAY,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.kind = kind
        self.param = param
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.source = source


class ClusterError(SpillwayError):
    """The Kubernetes API did not do what was asked of it. `reason`: one word of its, or of the adapter's."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ClusterUnavailable(ClusterError):
    """Whether it was done is not known where no answer came; asking again may help, after `retry_after_s`."""

    def __init__(self, message: str, *, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_s = retry_after_s


class ForbiddenCause(StrEnum):
    """Why it may not be: each has another person to mend it."""

    RIGHTS = "rights"
    QUOTA = "quota"
    ADMISSION = "admission"


class ClusterForbidden(ClusterError):
    """It may not be."""

    def __init__(self, message: str, *, reason: str, cause: ForbiddenCause) -> None:
        super().__init__(message, reason=reason)
        self.cause = cause


class ClusterNotFound(ClusterError):
    """There is no such object, or no such kind."""


class ClusterConflict(ClusterError):
    """The object is not the one that the change was made for."""


class ClusterResting(ClusterError):
    """It was refused a moment ago, and is not asked again yet."""


class ClusterGone(ClusterError):
    """The history from there on is not kept any more: list anew."""


class ClusterInvalid(ClusterError):
    """The object breaks a rule of its kind; asking again is useless."""


class UpstreamError(SpillwayError):
    """An upstream failed; `attempts` decides what follows."""


class EngineUnavailable(UpstreamError):
    """No connection could be made, or it broke before the answer was whole."""


class EngineUnreachable(EngineUnavailable):
    """No connection could be made: nothing listens there."""


class UpstreamTimeout(UpstreamError):
    """`phase` is connect, ttft, idle, total, drain, or progress: its engine was found hung."""

    def __init__(self, phase: str, after_s: float) -> None:
        super().__init__(f"{phase} timeout after {after_s:.3g} s")
        self.phase = phase
        self.after_s = after_s


class UpstreamRejected(UpstreamError):
    """The upstream answered with an error status; `body` is its error text."""

    def __init__(self, status: int, body: bytes, retry_after_s: float | None = None) -> None:
        super().__init__(f"upstream answered {status}")
        self.status = status
        self.body = body
        self.retry_after_s = retry_after_s


class StreamBroken(UpstreamError):
    """The stream ended before its end marker, after content had been relayed."""
