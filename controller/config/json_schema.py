"""The shape of spillway.yaml as JSON Schema, for editors: `spillway config schema`."""

from __future__ import annotations

from controller.config.schema import Config


def json_schema() -> dict[str, object]:
    """JSON Schema of spillway.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
        "title": "spillway.yaml",
    }
