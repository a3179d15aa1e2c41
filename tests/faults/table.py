"""The rows of one run as a table: on a terminal, or as Markdown for the README."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
COLUMNS = ("case", "what", "detected", "healed", "row", "figures", "verdict")
SHOWN_FIGURES_HIDE = ("machine_p99_s", "healthz_p99_s", "lag_p99_s")
OK = "ok"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row as it is shown. Times in seconds: until detected and healed from the injection, and of the whole row."""

    case: str
    what: str
    detected: str
    healed: str
    took: str
    figures: str
    verdict: str

    def cells(self) -> tuple[str, ...]:
        """In the order of the columns."""
        return self.case, self.what, self.detected, self.healed, self.took, self.figures, self.verdict


def _since(document: Mapping[str, object], name: str) -> str:
    at_s, injected_s = document.get(name), document.get("injected_at_s")
    if not isinstance(at_s, int | float) or not isinstance(injected_s, int | float):
        return ""
    return f"{max(0.0, at_s - injected_s):.2f}"


def _verdict(document: Mapping[str, object]) -> str:
    if document["passed"]:
        return OK
    said = document["invariants"]
    broken = [name for name, word in said.items() if word != OK] if isinstance(said, dict) else []
    return f"FAILED {' '.join(broken)}".strip()


def line_of(document: Mapping[str, object]) -> Line:
    """A JSON line as shown."""
    figures = document["figures"]
    assert isinstance(figures, dict)
    shown = ", ".join(f"{name} {value:g}" for name, value in figures.items() if name not in SHOWN_FIGURES_HIDE)
    return Line(
        case=str(document["case"]),
        what=str(document["what"]),
        detected=_since(document, "detected_at_s"),
        healed=_since(document, "healed_at_s"),
        took=f"{document['took_s']:.1f}",
        figures=shown,
        verdict=_verdict(document),
    )


def _order(document: Mapping[str, object]) -> tuple[str, int, str]:
    case = str(document["case"])
    digits = "".join(char for char in case if char.isdigit())
    return case[:1], int(digits or 0), str(document["what"])


def read(file: Path) -> list[dict[str, object]]:
    """The rows of a run by case; of a row that ran more than once the worst."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for text in file.read_text().splitlines():
        document = json.loads(text)
        name = str(document["case"]), str(document["what"])
        if name not in found or not document["passed"]:
            found[name] = document
    return sorted(found.values(), key=_order)


def markdown(documents: Iterable[Mapping[str, object]]) -> str:
    """The table for a README."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(line_of(document).cells())} |" for document in documents]
    return "\n".join(lines) + "\n"


def show(documents: Sequence[Mapping[str, object]], console: Console) -> None:
    """The table on a terminal."""
    table = Table(*COLUMNS, title="Fault matrix: seconds from the fault to its detection, and to service as before")
    for document in documents:
        passed = bool(document["passed"])
        table.add_row(*line_of(document).cells(), style=None if passed else "bold red")
    console.print(table)
    for document in documents:
        if not document["passed"]:
            said = document["invariants"]
            broken = {name: word for name, word in said.items() if word != OK} if isinstance(said, dict) else {}
            console.print(
                f"{document['case']} {document['what']}: {document['error'] or broken}, seed {document['seed']}"
            )


def into_readme(readme: Path, documents: Iterable[Mapping[str, object]]) -> None:
    """The table of the page has the rows of this run afterwards, and keeps those that did not run."""
    before, _, rest = readme.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    lines = {_name(line): line for line in old.splitlines() if line.startswith("| ")}
    head, *made = markdown(documents).splitlines()
    lines.update((_name(line), line) for line in made[1:])
    lines.pop(_name(head), None)
    rows = sorted(lines.values(), key=lambda line: _order(dict(zip(("case", "what"), _name(line), strict=True))))
    readme.write_text("\n".join([before + BEGIN, head, made[0], *rows, "", END]) + after)


def _name(line: str) -> tuple[str, str]:
    """(case, what) of a line of the Markdown table."""
    case, what, *_ = line.removeprefix("| ").split(" | ")
    return case, what
