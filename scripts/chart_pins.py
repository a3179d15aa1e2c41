"""Records the digests of charts of others in infra/components/charts.yaml, as their repositories' indexes give them.

Usage: scripts/chart_pins.py [--check] [FILE]. What is recorded already is compared and never written over; with --check
nothing is written. The exit code is 1 when a recorded digest is not that of the index, or a version is not in it: then
somebody has put another chart in its place. Registries (oci://) have no index and are left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.request import urlopen

import yaml

PINS = Path(__file__).parents[1] / "infra/components/charts.yaml"
READ_S = 60
Pin = Mapping[str, str | None]


def digest(chart: str, pin: Pin) -> str | None:
    """The sha256 of the packed chart, or None where the index has no such version."""
    with urlopen(f"{pin['repository']}/index.yaml", timeout=READ_S) as answer:  # noqa: S310 - an address of our own file
        index = yaml.load(answer.read(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe either way
    for entry in index["entries"].get(chart, []):
        if str(entry["version"]).removeprefix("v") == pin["version"]:
            return str(entry["digest"]).removeprefix("sha256:")
    return None


def main(words: list[str]) -> int:
    """0 when every digest that is recorded is that of its index."""
    files = [word for word in words if word != "--check"]
    file = Path(files[0]) if files else PINS
    text, wrong = file.read_text(encoding="utf-8"), 0
    for chart, pin in yaml.safe_load(text).items():
        if pin["repository"].startswith("oci://"):
            continue
        found, recorded = digest(chart, pin), pin["sha256"]
        if found is None or (recorded is not None and recorded != found):
            sys.stderr.write(
                f"{chart} {pin['version']}: recorded {recorded}, the index of {pin['repository']} says {found}\n"
            )
            wrong = 1
        elif recorded is None:
            text = re.sub(rf"^({re.escape(chart)}: .*)sha256: null", rf"\g<1>sha256: {found}", text, flags=re.MULTILINE)
    if "--check" not in words:
        file.write_text(text, encoding="utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
