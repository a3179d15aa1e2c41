"""What Docker and Compose ask containers: one of the URLs answers 200, or not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

CHECK = Path(__file__).parents[2] / "docker" / "healthcheck.py"


class Answers(BaseHTTPRequestHandler):
    """200 on /readyz, 503 elsewhere."""

    def do_GET(self) -> None:
        """One answer."""
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
        """Says nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server."""
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize(
    ("paths", "status"), [(["/readyz"], 0), (["/other"], 1), (["/other", "/readyz"], 0), ([], 1)], ids=str
)
def test_one_that_answers_is_enough(url: str, paths: list[str], status: int) -> None:
    """0 when one URL answers 200, else 1."""
    done = subprocess.run([sys.executable, CHECK, *(url + path for path in paths)], timeout=30, check=False)
    assert done.returncode == status


def test_it_says_who_did_not_answer() -> None:
    """`docker inspect` shows the words; port 9 is nobody's."""
    done = subprocess.run(
        [sys.executable, CHECK, "http://127.0.0.1:9/health"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "http://127.0.0.1:9/health" in done.stderr
