"""A child process for tests: answers 200 on /health after a cold start; `deaf` ignores SIGTERM, `dead` ends at once."""

from __future__ import annotations

import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


class Health(BaseHTTPRequestHandler):
    """Every path is healthy."""

    def do_GET(self) -> None:
        """Answer 200."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


if __name__ == "__main__":
    mode, port, cold_start_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    if mode == "dead":
        sys.exit(1)
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(cold_start_s)
    HTTPServer(("127.0.0.1", port), Health).serve_forever()
