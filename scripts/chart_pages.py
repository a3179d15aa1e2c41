"""Writes values.schema.json and the table of README.md of each chart, out of the comments in its values.yaml.

The comment above a value says what it is; `# @schema {...}` in it adds bounds, and two references that are resolved
here: `$crd: spec.engine.port` takes the bounds of that field of the ModelPool, `#/$defs/SpillwayConfig` those of
spillway.yaml. Usage: scripts/chart_pages.py [--check]; with --check nothing is written, and the exit code is 1 when
something is not as it would be.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controller.config.json_schema import json_schema

HELM = Path(__file__).parents[1] / "helm"
CHARTS = ("ops", "serving")
CRD = HELM / "ops" / "files" / "modelpool-crd.yaml"
BEGIN, END = "<!-- values: made by scripts/chart_pages.py -->", "<!-- end of values -->"
JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
KEPT_OF_CRD = frozenset(
    {"type", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "required"}
    | {"description"}
)
KEPT_OUT_OF_CONFIG = frozenset({"title", "default", "$schema"})

Json = dict[str, Any]


class BadValue(ValueError):
    """A value without a comment, or with one that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of a chart. `parts` are documented each on its own; without any its default is shown as a whole."""

    path: str
    default: Any
    text: str
    schema: Json
    parts: tuple[Value, ...] = field(default=())


def read_values(text: str) -> tuple[Value, ...]:
    """All values of a values.yaml, in its order."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    return tuple(_values(node, text.splitlines(), ""))


def _values(node: yaml.MappingNode, lines: list[str], above: str) -> Iterator[Value]:
    for key, value in node.value:
        path = f"{above}{key.value}"
        text, schema = _comment(lines, key.start_mark.line, path)
        default = yaml.safe_load(yaml.serialize(value))
        is_whole = "$crd" in schema or "$ref" in schema or "additionalProperties" in schema
        parts: tuple[Value, ...] = ()
        if isinstance(value, yaml.MappingNode) and value.value and not is_whole:
            parts = tuple(_values(value, lines, f"{path}."))
        yield Value(path=path, default=default, text=text, schema=schema, parts=parts)


def _comment(lines: list[str], line: int, path: str) -> tuple[str, Json]:
    above: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        above.insert(0, lines[line].strip().removeprefix("#").strip())
    schema: Json = {}
    for said in above:
        if said.startswith("@schema "):
            schema |= yaml.safe_load(said.removeprefix("@schema "))
    text = " ".join(said for said in above if not said.startswith("@schema "))
    if not text:
        raise BadValue(f"{path}: must have a comment that says what it is")
    return text, schema


def schema_of(values: tuple[Value, ...], crd: Json) -> Json:
    """The schema of a values.yaml; keys that it does not have are refused."""
    properties = {value.path.rpartition(".")[2]: _one(value, crd) for value in values}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _one(value: Value, crd: Json) -> Json:
    if "$ref" in value.schema:
        return dict(value.schema)
    if "$crd" in value.schema:
        return {**crd_field(crd, value.schema["$crd"]), "description": value.text}
    if value.parts:
        return {**schema_of(value.parts, crd), "description": value.text}
    return {"type": JSON_TYPES[type(value.default)], "description": value.text, **value.schema}


def crd_field(crd: Json, path: str) -> Json:
    """The bounds of one field of the ModelPool, without what only the API server understands."""
    found = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for step in path.split("."):
        found = found["properties"][step]
    return _bounds(found)


def _bounds(found: Json) -> Json:
    kept = {key: value for key, value in found.items() if key in KEPT_OF_CRD}
    if "properties" in found:
        kept["properties"] = {name: _bounds(part) for name, part in found["properties"].items()}
        kept["additionalProperties"] = False
    if "items" in found:
        kept["items"] = _bounds(found["items"])
    return kept


def config_definitions() -> Json:
    """The schema of spillway.yaml as definitions, without defaults, which are the program's own."""
    whole: Json = json_schema()
    definitions = {**whole.pop("$defs"), "SpillwayConfig": whole}
    return {name: _slim(definition) for name, definition in sorted(definitions.items())}


def _slim(node: Any, *, names: bool = False) -> Any:
    """Without titles and defaults; below `properties` the same words are names and stay."""
    if isinstance(node, list):
        return [_slim(part) for part in node]
    if not isinstance(node, Mapping):
        return node
    kept = {key: part for key, part in node.items() if names or key not in KEPT_OUT_OF_CONFIG}
    return {key: _slim(part, names=key == "properties" and not names) for key, part in kept.items()}


def whole_schema(values: tuple[Value, ...], crd: Json) -> Json:
    """What values.schema.json holds. Draft 7, as older versions of helm know no later one."""
    schema = schema_of(values, crd)
    schema["properties"]["global"] = {"type": "object"}  # what charts that contain this one share
    text = json.dumps(schema)
    definitions = config_definitions() if "#/$defs/SpillwayConfig" in text else None
    head = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
    return head if definitions is None else {**head, "$defs": definitions}


def table_of(values: tuple[Value, ...]) -> str:
    """The rows of README.md: one for each value that has no parts."""
    rows = ["| value | default | what |", "|---|---|---|"]
    rows += [f"| `{value.path}` | {_shown(value.default)} | {_cell(value.text)} |" for value in leaves(values)]
    return "\n".join(rows)


def leaves(values: tuple[Value, ...]) -> Iterator[Value]:
    """Values that are documented as a whole."""
    for value in values:
        if value.parts:
            yield from leaves(value.parts)
        else:
            yield value


def _shown(default: Any) -> str:
    return f"`{_cell(json.dumps(default, ensure_ascii=False))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def pages_of(chart: str) -> Mapping[Path, str]:
    """What the two files of a chart must hold."""
    folder = HELM / chart
    values = read_values((folder / "values.yaml").read_text(encoding="utf-8"))
    crd = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    readme = (folder / "README.md").read_text(encoding="utf-8")
    between = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if not between.search(readme):
        raise BadValue(f"{folder}/README.md: must hold the lines {BEGIN} and {END}")
    table = f"{BEGIN}\n\n{table_of(values)}\n\n{END}"
    return {
        folder / "values.schema.json": json.dumps(whole_schema(values, crd), indent=1, ensure_ascii=False) + "\n",
        folder / "README.md": between.sub(lambda _: table, readme),
    }


def main() -> int:
    """Write what has changed, or tell it."""
    is_check = sys.argv[1:] == ["--check"]
    changed = 0
    for chart in CHARTS:
        for path, text in pages_of(chart).items():
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            changed += 1
            sys.stdout.write(
                f"{path.relative_to(HELM.parent)} {'is not as it would be made' if is_check else 'made'}\n"
            )
            if not is_check:
                path.write_text(text, encoding="utf-8")
    if is_check and changed:
        sys.stdout.write("run `make charts`\n")
    return 1 if is_check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
