"""A report as one HTML page that needs no network: words, tables, plots inside it.

Called by `spillway simulate --html` and `spillway bench policy --html`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd; --ours: #fdf0ef; --lead: #d62728; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --paper: #17191d; --line: #3b3f46; --ours: #3b2425; --lead: #ff6b60; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
p.verdict { font-size: 1.1rem; border-left: 4px solid var(--lead); padding-left: 1rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.2rem 0.7rem; border-bottom: 1px solid var(--line); white-space: pre; }
th.n, td.n { text-align: right; }
tbody th { font-weight: inherit; }
tr.ours { font-weight: 600; background: var(--ours); }
dt { font-weight: 600; } dd { margin: 0 0 0.4rem 1.5rem; }
img { max-width: 100%; height: auto; background: #fff; }
"""
NUMBER = re.compile(r"[-+]?[\d.,]*( ± [\d.]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A table that is opened when it is wanted: the figures of a plot."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the page: each piece may be missing."""

    title: str
    text: str = ""
    terms: Sequence[tuple[str, str]] = ()  # a word and what it means
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    plots: Sequence[tuple[str, bytes]] = ()  # what it shows, PNG
    folded: Sequence[Folded] = ()


def page(title: str, verdict: str, sections: Sequence[Section], *, ours: str) -> str:
    """The whole page; its first paragraph is the verdict."""
    body = "\n".join(_section(section, ours) for section in sections)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<p class="verdict">{escape(verdict)}</p>\n{body}\n</body>\n</html>\n'
    )


def _section(section: Section, ours: str) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    if section.terms:
        meant = "\n".join(f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in section.terms)
        parts.append(f"<dl>\n{meant}\n</dl>")
    if section.rows:
        parts.append(_table(section.columns, section.rows, ours))
    parts += [_image(what, png) for what, png in section.plots]
    parts += [
        f"<details><summary>{escape(one.title)}</summary>\n{_table(one.columns, one.rows, ours)}\n</details>"
        for one in section.folded
    ]
    return "\n".join(parts)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], ours: str) -> str:
    """Columns of numbers stand to the right, words to the left."""
    marks = [' class="n"' if all(NUMBER.fullmatch(row[place]) for row in rows) else "" for place in range(len(columns))]
    head = "".join(f'<th scope="col"{mark}>{escape(column)}</th>' for mark, column in zip(marks, columns, strict=True))
    lines = "\n".join(_line(row, marks, is_ours=row[0] == ours) for row in rows)
    return (
        f'<div class="wide" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n'
        "</table></div>"
    )


def _line(row: Sequence[str], marks: Sequence[str], *, is_ours: bool) -> str:
    cells = "".join(f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks[1:], row[1:], strict=True))
    lead = f'<th scope="row"{marks[0]}>{escape(row[0])}</th>'
    return f'<tr class="ours">{lead}{cells}</tr>' if is_ours else f"<tr>{lead}{cells}</tr>"


def _image(what: str, png: bytes) -> str:
    data = b64encode(png).decode("ascii")
    return f'<p><img alt="{escape(what, quote=True)}" src="data:image/png;base64,{data}"></p>'
