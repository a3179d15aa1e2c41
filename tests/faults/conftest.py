"""What rows on Kubernetes share: one API with the real controller manager, and the ModelPools' definition."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.deploying_plane import start_deploying_plane
from tests.cluster.handle import ControlPlane
from tests.cluster.programs import ROOT

CRD = ROOT / "helm" / "ops" / "files" / "modelpool-crd.yaml"


@pytest.fixture(scope="session")
def fleet_plane() -> Iterator[ControlPlane]:
    """Rows may kill and freeze its parts, and leave it as they found it."""
    started = start_deploying_plane()
    try:
        started.kubectl("apply", "--server-side", "-f", str(CRD))
        started.kubectl("wait", "--for=condition=Established", "crd/modelpools.spillway.dev", "--timeout=30s")
        yield started
    finally:
        started.remove()
