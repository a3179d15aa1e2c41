"""Digests of charts of others: recorded once from the index of their repository, compared ever after."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DIGEST = "ab" * 32


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_words: object) -> None:
        return


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """An index with one version of one chart."""
    index = {"entries": {"tool": [{"version": "1.2.3", "digest": DIGEST}]}}
    (tmp_path / "index.yaml").write_text(yaml.safe_dump(index), encoding="utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("version", "recorded", "words", "code", "after"),
    [
        pytest.param("1.2.3", "null", [], 0, DIGEST, id="recorded"),
        pytest.param("1.2.3", "null", ["--check"], 0, None, id="only-looked-at"),
        pytest.param("1.2.3", DIGEST, ["--check"], 0, DIGEST, id="the-same"),
        pytest.param("1.2.3", "cd" * 32, [], 1, "cd" * 32, id="another-chart-in-its-place"),
        pytest.param("1.2.4", "null", [], 1, None, id="no-such-version"),
    ],
)
def test_a_digest_is_recorded_once(  # noqa: PLR0917
    tmp_path: Path, repository: str, version: str, recorded: str, words: list[str], code: int, after: str | None
) -> None:
    """And what is recorded is never written over: the exit code tells instead. Registries are left out."""
    pins = tmp_path / "charts.yaml"
    lines = (
        f'tool: {{repository: "{repository}", version: {version}, sha256: {recorded}}}',
        'other: {repository: "oci://registry.example/charts", version: 1.0.0, sha256: null}',
    )
    pins.write_text("\n".join(lines), encoding="utf-8")
    script = [sys.executable, str(ROOT / "scripts/chart_pins.py"), *words, str(pins)]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == code, done.stderr
    found = yaml.safe_load(pins.read_text(encoding="utf-8"))
    assert (found["tool"]["sha256"], found["other"]["sha256"]) == (after, None)
