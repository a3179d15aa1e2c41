"""JSON Schemas of the kinds of an API, made from what the API server itself publishes, for kubeconform.

Everything is written out, as kubeconform knows no references, and keys that a kind does not have are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.handle import ControlPlane

REFERENCE = "#/definitions/"
NUMBER_OR_TEXT = {"oneOf": [{"type": "string"}, {"type": "integer"}]}
KEPT_OUT = frozenset({"description", "format", "default"})
LOCATION = "{{ .ResourceKind }}-{{ .Group }}-{{ .ResourceAPIVersion }}.json"

Json = dict[str, Any]


def write_schemas(control_plane: ControlPlane, folder: Path, kinds: set[tuple[str, str]]) -> str:
    """A file for each (apiVersion, kind); where kubeconform finds them, as it wants to be told."""
    definitions = json.loads(control_plane.kubectl("get", "--raw", "/openapi/v2"))["definitions"]
    for definition in definitions.values():
        for known in definition.get("x-kubernetes-group-version-kind", ()):
            group, version, kind = known["group"], known["version"], known["kind"]
            if (f"{group}/{version}" if group else version, kind) in kinds:
                schema = written_out(definition, definitions)
                file = (
                    folder / f"{kind.lower()}-{group or version}-{version}.json"
                )  # the core group counts as its version
                file.write_text(json.dumps(schema), encoding="utf-8")
    return f"{folder}/{LOCATION}"


def written_out(schema: Mapping[str, Any], definitions: Mapping[str, Json], above: tuple[str, ...] = ()) -> Json:
    """A schema without references; what contains itself is anything from there on."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REFERENCE)
        return {} if name in above else written_out(definitions[name], definitions, (*above, name))
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return dict(NUMBER_OR_TEXT)
    result = {key: value for key, value in schema.items() if key not in KEPT_OUT and not key.startswith("x-kubernetes")}
    if "properties" in schema:
        parts = schema["properties"].items()
        result["properties"] = {name: written_out(part, definitions, above) for name, part in parts}
        result["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            result[key] = written_out(schema[key], definitions, above)
    return result
