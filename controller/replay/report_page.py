"""A report as one HTML page that needs no network: words, tables, plots inside it.

Called by `spillway simulate --html` and `spillway bench policy --html`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
p.verdict { font-size: 1.1rem; border-left: 4px solid #d62728; padding-left: 1rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.ours { font-weight: 600; background: #fdf0ef; }
img { max-width: 100%; height: auto; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the page: each piece may be missing."""

    title: str
    text: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    plots: Sequence[tuple[str, bytes]] = ()  # what it shows, PNG


def page(title: str, verdict: str, sections: Sequence[Section], *, ours: str) -> str:
    """The whole page; its first paragraph is the verdict."""
    body = "\n".join(_section(section, ours) for section in sections)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<p class="verdict">{escape(verdict)}</p>\n{body}\n</body>\n</html>\n'
    )


def _section(section: Section, ours: str) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    if section.rows:
        parts.append(_table(section.columns, section.rows, ours))
    parts += [_image(what, png) for what, png in section.plots]
    return "\n".join(parts)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], ours: str) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = "\n".join(_line(row, is_ours=row[0] == ours) for row in rows)
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{lines}\n</table></div>'


def _line(row: Sequence[str], *, is_ours: bool) -> str:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
    return f'<tr class="ours">{cells}</tr>' if is_ours else f"<tr>{cells}</tr>"


def _image(what: str, png: bytes) -> str:
    data = b64encode(png).decode("ascii")
    return f'<p><img alt="{escape(what, quote=True)}" src="data:image/png;base64,{data}"></p>'
