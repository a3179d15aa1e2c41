"""What a gateway keeps of the cluster for its next start."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.adapters.cluster_copy import ClusterCopy, Known
from tests.adapters.fleet_objects import NOW_S, model_pool, pod

KNOWN = Known(at_s=NOW_S, namespace="models", pools=(model_pool(),), pods=(pod(),))


def test_what_was_kept_is_there_for_the_next(tmp_path: Path) -> None:
    """Whole, and of its namespace only."""
    copy = ClusterCopy(tmp_path)
    assert copy.last("models") is None
    copy.keep(KNOWN)
    assert ClusterCopy(tmp_path).last("models") == KNOWN
    assert copy.last("others") is None
    assert [path.name for path in copy.path.parent.iterdir()] == ["cluster.json"]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"at_s": 1, "namespace": "models", "pools": [1], "pods": []}', b'{"at_s": 1}', b"\xff"],
)
def test_what_cannot_be_read_is_none_and_is_said(tmp_path: Path, data: bytes) -> None:
    """A torn or foreign file is no picture."""
    copy = ClusterCopy(tmp_path)
    copy.keep(KNOWN)
    copy.path.write_bytes(data)
    with capture_logs() as logs:
        assert copy.last("models") is None
    assert [entry["event"] for entry in logs] == ["cluster_copy_unreadable"]


def test_a_folder_that_cannot_be_written_is_only_said_to_be(tmp_path: Path) -> None:
    """The gateway goes on."""
    (tmp_path / "run").write_text("not a folder")
    with capture_logs() as logs:
        ClusterCopy(tmp_path).keep(KNOWN)
    assert [entry["event"] for entry in logs] == ["cluster_copy_not_kept"]
