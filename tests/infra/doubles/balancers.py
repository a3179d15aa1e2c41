"""Load balancers that a controller in the cluster makes in AWS: they hold networks, and nobody but it removes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

CONTROLLER = "aws-load-balancer-controller"


class Balancers:
    """Balancers by Service or Ingress, in a file that the double of AWS reads."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def standing(self) -> list[str]:
        """For which services one stands."""
        return list(json.loads(self._file.read_text(encoding="utf-8"))) if self._file.exists() else []

    def note(self, services: Sequence[str], charts: Sequence[str]) -> None:
        """The controller, where it runs, makes and removes balancers until they are those of the services."""
        if any(chart.endswith(CONTROLLER) for chart in charts):
            self._file.write_text(json.dumps(sorted(services)), encoding="utf-8")
