"""The server's own count of tokens and money per model, which the ledger of the gateway is compared with."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from controller.core.money import Price, Usage, cost_nanousd
from controller.engine_sim.jobs import Job


@dataclass(slots=True, kw_only=True)
class Tally:
    """One model's sums over answers that were given whole; `cut`: answers that were not, and their output tokens."""

    requests: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int = 0
    cut: int = 0
    cut_output_tokens: int = 0


@dataclass(slots=True, kw_only=True)
class UsageBook:
    """Tallies by model id."""

    models: dict[str, Tally] = field(default_factory=dict)
    changed: bool = False

    def add(self, model_id: str, usage: Usage, price: Price | None) -> None:
        """Count one whole answer."""
        tally = self.models.setdefault(model_id, Tally())
        tally.requests += 1
        tally.input_tokens += usage.input_tokens
        tally.cached_input_tokens += usage.cached_input_tokens
        tally.output_tokens += usage.output_tokens
        tally.cost_nanousd += cost_nanousd(price, usage) if price is not None else 0
        self.changed = True

    def add_cut(self, model_id: str, job: Job) -> None:
        """Count an answer that was cut short."""
        tally = self.models.setdefault(model_id, Tally())
        tally.cut += 1
        tally.cut_output_tokens += sum(track.emitted for track in job.tracks)
        self.changed = True

    def document(self) -> dict[str, object]:
        """The book as JSON."""
        return {"models": {name: asdict(tally) for name, tally in self.models.items()}}

    def write(self, path: Path) -> None:
        """Put the book into a file, swapped in whole, when it changed since the last time."""
        if not self.changed:
            return
        self.changed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(json.dumps(self.document()), encoding="utf-8")
        os.replace(fresh, path)


def job_usage(job: Job, choices: int) -> Usage:
    """What one job is billed; a prompt with several choices counts once."""
    prompts = job.tracks[::choices]
    return Usage(
        input_tokens=sum(track.input_tokens for track in prompts),
        output_tokens=sum(track.emitted for track in job.tracks),
        cached_input_tokens=sum(track.cached_tokens for track in prompts),
    )
