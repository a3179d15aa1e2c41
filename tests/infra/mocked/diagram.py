"""The picture of a stack, drawn from what the program really registers: `python -m tests.infra.mocked.diagram`.

A box is a component, an arrow says what has to be there before; arrows that follow from others are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path

from infra.settings import load_stack
from infra.stack import build
from tests.infra.mocked.registered import Recorder, Registered, run

ROOT = Path(__file__).parents[3]
PICTURE = ROOT / "infra/stack.svg"
STACK = ROOT / "infra/Pulumi.prod.yaml"
BOX_W, BOX_H, GAP_W, GAP_H, MARGIN = 176, 46, 18, 50, 24
AWS_FILL, CLUSTER_FILL, BOTH_FILL = "#fdebd0", "#d6eaf8", "#e8daef"
Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Box:
    """One component of the first level."""

    name: str
    kind: str
    in_aws: int
    in_cluster: int


def of_run(found: Recorder, prefix: str) -> tuple[dict[str, Box], Graph]:
    """Boxes by URN, and for each what it needs."""
    by_urn = {one.urn: one for one in found.registered}
    top = {one.urn: _top(one, by_urn) for one in found.registered}
    boxes: dict[str, Box] = {}
    needs: dict[str, set[str]] = {}
    for one in found.registered:
        box = top[one.urn]
        if box is None:
            continue
        made = [other for other in found.made if top[other.urn] == box and "providers" not in other.token]
        aws = sum(other.token.startswith("aws:") for other in made)
        component = by_urn[box]
        short = component.name.removeprefix(prefix)
        boxes.setdefault(box, Box(short, component.token.rpartition(":")[2], aws, len(made) - aws))
        for urn in (*one.dependencies, one.provider.rpartition("::")[0]):
            other = top.get(urn)
            if other is not None and other != box:
                needs.setdefault(box, set()).add(other)
    return boxes, {box: frozenset(needs.get(box, set())) for box in boxes}


def _top(one: Registered, by_urn: Mapping[str, Registered]) -> str | None:
    """The component of the first level that it is in; None for what is in none."""
    while one.parent in by_urn:
        one = by_urn[one.parent]
    return None if one.custom else one.urn


def reduced(graph: Graph) -> Graph:
    """Without arrows that follow from others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for further in graph[waiting.pop()] - seen:
                seen.add(further)
                waiting.append(further)
        return seen

    below = {box: reached(box) for box in graph}
    return {
        box: frozenset(one for one in needs if not any(one in below[other] for other in needs - {one}))
        for box, needs in graph.items()
    }


def rows(graph: Graph) -> list[list[str]]:
    """Boxes by the longest way to what needs nothing; in a row, near to what they need."""
    depth: dict[str, int] = {}

    def of(box: str) -> int:
        if box not in depth:
            depth[box] = 1 + max((of(one) for one in graph[box]), default=-1)
        return depth[box]

    found: list[list[str]] = []
    for box in sorted(graph, key=lambda one: (of(one), one)):
        if of(box) == len(found):
            found.append([])
        found[of(box)].append(box)
    place = {box: index / len(row) for row in found for index, box in enumerate(row)}
    for row in found[1:]:
        row.sort(key=lambda box: (sum(place[one] for one in graph[box]) / (len(graph[box]) or 1), box))
        place |= {box: (index + 0.5) / len(row) for index, box in enumerate(row)}
    return found


def drawn(boxes: Mapping[str, Box], graph: Graph) -> str:
    """The picture as SVG; the same text for the same stack."""
    shown = reduced(graph)
    layers = rows(shown)
    width = 2 * MARGIN + max(len(row) for row in layers) * (BOX_W + GAP_W) - GAP_W
    height = 2 * MARGIN + len(layers) * (BOX_H + GAP_H) - GAP_H + 28
    at: dict[str, tuple[float, float]] = {}
    for depth, row in enumerate(layers):
        left = (width - len(row) * (BOX_W + GAP_W) + GAP_W) / 2
        for index, box in enumerate(row):
            at[box] = (left + index * (BOX_W + GAP_W), MARGIN + depth * (BOX_H + GAP_H))
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12" '
        f'viewBox="0 0 {width} {height}">',
        "<title>What a stack is made of, and what has to be there before</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_arrows(shown, at),
        *(_box(boxes[box], at[box]) for row in layers for box in row),
        *_legend(height),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _arrows(graph: Graph, at: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    for box in sorted(graph):
        for needed in sorted(graph[box]):
            (x1, y1), (x2, y2) = at[needed], at[box]
            start, end = (x1 + BOX_W / 2, y1 + BOX_H), (x2 + BOX_W / 2, y2)
            bend = (end[1] - start[1]) / 2
            yield (
                f'<path d="M{start[0]:.0f},{start[1]:.0f} C{start[0]:.0f},{start[1] + bend:.0f} '
                f'{end[0]:.0f},{end[1] - bend:.0f} {end[0]:.0f},{end[1]:.0f}" fill="none" stroke="#909497"/>'
                f'<circle cx="{end[0]:.0f}" cy="{end[1]:.0f}" r="3" fill="#909497"/>'
            )


def _box(box: Box, place: tuple[float, float]) -> str:
    fill = BOTH_FILL if box.in_aws and box.in_cluster else AWS_FILL if box.in_aws else CLUSTER_FILL
    counts = [f"{count} {where}" for count, where in ((box.in_aws, "AWS"), (box.in_cluster, "cluster")) if count]
    x, y = place
    middle = x + BOX_W / 2
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX_W}" height="{BOX_H}" rx="5" fill="{fill}" stroke="#566573"/>'
        f'<text x="{middle:.0f}" y="{y + 19:.0f}" text-anchor="middle" font-weight="bold">{escape(box.name)}</text>'
        f'<text x="{middle:.0f}" y="{y + 36:.0f}" text-anchor="middle" font-size="10">{escape(box.kind)}: '
        f"{', '.join(counts)}</text>"
    )


def _legend(height: float) -> Iterator[str]:
    said = ((AWS_FILL, "resources of AWS"), (CLUSTER_FILL, "objects of the cluster"), (BOTH_FILL, "both"))
    for index, (fill, words) in enumerate(said):
        x, y = MARGIN + index * 170, height - 26
        yield f'<rect x="{x}" y="{y}" width="14" height="14" fill="{fill}" stroke="#566573"/>'
        yield f'<text x="{x + 20}" y="{y + 11}">{words}</text>'


def picture() -> str:
    """The picture of the stack `prod`."""
    settings = load_stack(STACK, today=date(2026, 11, 26))
    return drawn(*of_run(run(lambda: build(settings)), f"{settings.name}-"))


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    sys.stdout.write(f"{PICTURE}\n")
