"""What `spillway pool` says of a change, here and on a cluster: what was done, how it is undone, what cannot be."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from difflib import get_close_matches

from controller.cli.errors import EXIT_USAGE, CliError
from controller.core.fleet import Pin
from controller.core.pools import ScalePolicy


def account() -> str:
    """$USER, or the name of the account."""
    from getpass import getuser

    try:
        return getuser()
    except (OSError, KeyError):
        return ""


def unknown(what: str, name: str, known: Iterable[str], fix: str = "spillway pool list") -> CliError:
    """The refusal of a name that is not there, with the one that may be meant."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    why = f"did you mean {close[0]}?" if close else f"there are {', '.join(names[:20]) or 'none'}"
    return CliError(f"no {what} '{name[:100]}'", why, fix, exit_code=EXIT_USAGE)


def within_bounds(pool: str, scale: ScalePolicy, wanted: int | None, *, is_fixed: bool = False) -> int | None:
    """The number of replicas; refused when the pool may not have so many."""
    low, high = scale.min_replicas, scale.max_replicas
    if wanted is None or (low <= wanted <= high and not is_fixed):
        return wanted
    why = f"allowed: {low} to {high}"
    if is_fixed:
        why = "it has fixed endpoints, which are not Spillway's to start or stop; allowed: --routing"
    raise CliError(f"pool {pool} cannot be pinned to {wanted} replicas", why, exit_code=EXIT_USAGE)


def report(
    name: str,
    done: str,
    *,
    changed: bool,
    dry_run: bool,
    as_json: bool,
    undo: str | None = None,
    pin: Pin | None = None,
    before: Pin | None = None,
) -> None:
    """The one line or document of a change, and how to take it back."""
    from controller.cli.output import emit_json, say

    if as_json:
        change = {"name": name, "outcome": done, "changed": changed, "dry_run": dry_run, "undo": undo}
        emit_json("pool_change", {**change, "pin": pin, "replaced_pin": before})
        return
    sys.stdout.write(f"{name} {done}{' (dry run)' if dry_run else ''}\n")
    sys.stdout.flush()
    if undo is not None:
        say("undo", undo)


def note(text: str) -> None:
    """What else should be known."""
    from controller.cli.output import say

    say("note", text)
