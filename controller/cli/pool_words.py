"""What `spillway pool` reads and says: spans, instants, and pins as the commands that make them again."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from controller.cli.errors import EXIT_USAGE, CliError
from controller.core.fleet import Pin

LONGEST_S = 7 * 86_400
SPAN_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
SPAN = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")
TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,200}")


def text(what: str, value: str, fix: str) -> str:
    """The text without blanks around it; refused when it would break a line."""
    if TEXT.fullmatch(value.strip()):
        return value.strip()
    raise CliError(f"{what} must be 1 to 200 characters on one line", fix=fix, exit_code=EXIT_USAGE)


def until_s(span: str | None, until: str | None, now_s: float) -> float:
    """The expiry in whole seconds, so that it can be written down and said again exactly."""
    if span is not None and until is not None:
        raise CliError("--for and --until say the same", "name one of them", exit_code=EXIT_USAGE)
    end_s = _instant_s(until) if until is not None else now_s + span_s(span if span is not None else "4h")
    if not 0 < end_s - now_s <= LONGEST_S + 1:  # the instant may have been rounded up
        given = f"--until {until}" if until is not None else f"--for {span}"
        raise CliError(f"{given} is not allowed", "allowed: more than nothing and at most 7d", exit_code=EXIT_USAGE)
    return float(int(end_s) + (end_s > int(end_s)))


def span_s(text: str) -> float:
    """Seconds in a span such as 90m or 1d12h."""
    parts = SPAN.fullmatch(text)
    if parts is None or not any(parts.groups()):
        raise CliError(f"'{text}' is no span of time", "allowed: such as 90m, 4h, 1d12h", exit_code=EXIT_USAGE)
    return float(sum(int(count or 0) * unit_s for count, unit_s in zip(parts.groups(), SPAN_S.values(), strict=True)))


def _instant_s(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        why = "allowed: such as 2026-11-25T18:00:00Z"
        raise CliError(f"'{text}' is no instant", why, exit_code=EXIT_USAGE) from error
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def instant(at_s: float) -> str:
    """The same as text, in UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pin_words(pin: Pin) -> str:
    """What is pinned, without who and why."""
    words = [pin.routing.value] if pin.routing is not None else []
    if pin.replicas is not None:
        words.append(f"{pin.replicas} replica{'' if pin.replicas == 1 else 's'}")
    return ", ".join(words)


def living(pin: Pin | None, now_s: float) -> Pin | None:
    """The pin, unless it has expired."""
    return pin if pin is not None and now_s < pin.until_s else None


def pin_command(pool: str, pin: Pin) -> str:
    """The command line that makes this very pin."""
    from shlex import quote

    what = f" --routing {pin.routing.value}" if pin.routing is not None else ""
    what += f" --replicas {pin.replicas}" if pin.replicas is not None else ""
    return f"pool pin {pool}{what} --until {instant(pin.until_s)} --reason {quote(pin.reason)} --who {quote(pin.who)}"


def command(words: str, config: Path | None, state_dir: Path | None) -> str:
    """A command as it must be typed for this file and state folder."""
    from shlex import quote

    places = f" --config {quote(str(config))}" if config is not None else ""
    places += f" --state-dir {quote(str(state_dir))}" if state_dir is not None else ""
    return f"spillway {words}{places}"
