"""What `spillway connect` says of what it did, in words or as one document. It never says a key."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.cli.connect_job import Job
    from controller.cli.connect_trip import Trip


def say_dry(job: Job, text: str, made: str) -> None:
    """Only the lines that come in: what stands there already may be secret."""
    from controller.cli.output import emit_json, say

    standing = text.splitlines()
    lines = [line for line in made.splitlines() if line not in standing]
    if job.as_json:
        emit_json("connect", {**document_of(job, None), "lines": lines, "written": False, "dry_run": True})
        return
    sys.stdout.write("".join(f"+ {line}\n" for line in lines))
    say("dry run", f"{job.file} would get these lines and be readable by its owner alone (0600)")


def say_written(job: Job, trip: Trip | None, key_id: str | None) -> None:
    """Where it stands, with which key, who answered, and how to take it back."""
    from controller.cli.output import emit_json, say

    if job.as_json:
        emit_json("connect", {**document_of(job, trip), "written": True, "key_id": key_id})
        return
    sys.stdout.write(f"client/{job.client.name} connected in {job.file}\n")
    holder = f"the new key {key_id}" if key_id is not None else "the key"
    say("note", f"{holder} stands in that file alone, readable by its owner only (0600)")
    if job.client.note:
        say("note", job.client.note)
    say_trip(job, trip)
    say("next", f"Undo: {job.command(f'connect {job.client.name} --undo')}")


def document_of(job: Job, trip: Trip | None) -> dict[str, object]:
    """What was asked for and how the trip went, as data."""
    return {
        "client": job.client.name,
        "file": str(job.file),
        "url": job.root_url,
        "model": job.model,
        "note": job.client.note or None,
        "trip": None if trip is None else {**asdict(trip), "took_s": round(trip.took_s, 3)},
    }


def say_trip(job: Job, trip: Trip | None) -> None:
    """Who answered, how soon, and where to look further."""
    from controller.cli.output import say

    if trip is None:
        return
    simulated = ", simulated" if trip.simulated else ""
    who = f"{trip.target} ({trip.model}{simulated})" if trip.target else "the gateway"
    say("ok", f'{who} answered "{trip.text}" in {trip.took_s:.1f} s, by {trip.by}')
    if trip.request_id is not None:
        say("next", job.command(f"request {trip.request_id}"))
