"""What a caller asks of the gateway itself, by headers: may it spill, how soon, for how much, before whom."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from controller.core.errors import RequestError
from controller.core.money import nanousd
from controller.core.requests import Priority

HeaderMap = dict[bytes, bytes]

DEADLINE_MAX_S = 86_400.0
COST_MAX_USD = 1_000_000
SHOWN_CHARS = 32
_RESUME = {b"allow": True, b"never": False}
_PRIORITIES = {priority.value.encode(): priority for priority in Priority}


_UNSAID = object()  # a value that a refusal does not tell; None is one that it does


def wrong(param: str, message: str, code: str = "invalid_value", *, got: object = _UNSAID) -> RequestError:
    """The refusal of one field; what came instead is told, as far as it cannot be anybody's words."""
    told = message if got is _UNSAID else f"{message}, got {_shown(got)}"
    return RequestError(told, status=400, code=code, param=param, should_retry=False)


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            number = repr(value)
            return number if len(number) <= SHOWN_CHARS else f"a number of {len(number)} digits"
        case bytes():  # of a header
            text = value.decode("latin-1")
            return (
                repr(text)
                if text.isprintable() and text.isascii() and len(text) <= SHOWN_CHARS
                else f"{len(text)} bytes"
            )
        case str():
            return f"a string of {len(value)} characters"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "an object"


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """The value of a field that must be an integer within these bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong(name, f"`{name}` must be an integer between {low} and {high}", got=value)
    return value


def spill_allowed(headers: HeaderMap) -> bool:
    """Whether external models may answer."""
    value = headers.get(b"x-spillway-spill")
    if value is None or value.lower() == b"auto":
        return True
    if value.lower() == b"never":
        return False
    raise wrong("x-spillway-spill", "`x-spillway-spill` must be 'auto' or 'never'", got=value)


def priority(headers: HeaderMap) -> Priority | None:
    """The class in the waiting line; None when the caller does not say."""
    value = headers.get(b"x-spillway-priority")
    if value is None:
        return None
    found = _PRIORITIES.get(value.strip().lower())
    if found is None:
        raise wrong("x-spillway-priority", f"`x-spillway-priority` must be one of {', '.join(Priority)}", got=value)
    return found


def resume(headers: HeaderMap) -> bool | None:
    """Whether a stream whose engine dies may go on elsewhere; None when the caller does not say."""
    value = headers.get(b"x-spillway-resume")
    if value is None:
        return None
    found = _RESUME.get(value.lower())
    if found is None:
        raise wrong("x-spillway-resume", "`x-spillway-resume` must be 'allow' or 'never'", got=value)
    return found


def deadline_s(headers: HeaderMap) -> float | None:
    """The SDK's read timeout; a header that makes no sense is ignored."""
    value = headers.get(b"x-stainless-read-timeout")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0.0 < seconds < DEADLINE_MAX_S else None


def answer_within_s(headers: HeaderMap) -> float | None:
    """When the answer must be whole."""
    value = headers.get(b"x-spillway-deadline-ms")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 8 or not 0 < int(value) <= DEADLINE_MAX_S * 1000:
        raise wrong(
            "x-spillway-deadline-ms",
            f"`x-spillway-deadline-ms` must be a whole number from 1 to {DEADLINE_MAX_S * 1000:.0f}",
            got=value,
        )
    return int(value) / 1000.0


def max_cost_nanousd(headers: HeaderMap) -> int | None:
    """The most that an external call may cost."""
    value = headers.get(b"x-spillway-max-cost-usd")
    if value is None:
        return None
    try:
        usd = Decimal(value[:40].decode("ascii"))
    except (UnicodeDecodeError, InvalidOperation):
        usd = Decimal("NaN")
    if not usd.is_finite() or not 0 <= usd <= COST_MAX_USD:
        raise wrong(
            "x-spillway-max-cost-usd",
            f"`x-spillway-max-cost-usd` must be a number of USD from 0 to {COST_MAX_USD}",
            got=value,
        )
    return nanousd(usd)


def client_retries(headers: HeaderMap) -> int:
    """Which repetition of the SDK's this is; 0 for the first try, and when nobody says."""
    value = headers.get(b"x-stainless-retry-count")
    return int(value) if value is not None and value.isdigit() and len(value) < 6 else 0
