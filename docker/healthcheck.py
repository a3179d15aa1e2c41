"""Exits 0 when one of the URLs answers 200: what Docker and Compose ask (Kubernetes asks over HTTP itself).

python healthcheck.py http://127.0.0.1:8081/readyz [URL...]
"""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

TIMEOUT_S = 2.0


def answers(url: str) -> str | None:
    """None when the URL answers 200, else what it did, in words."""
    where = urlsplit(url)
    connection = HTTPConnection(where.hostname or "127.0.0.1", where.port or 80, timeout=TIMEOUT_S)
    try:
        connection.request("GET", where.path or "/")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{url}: {error}"
    finally:
        connection.close()
    return None if status == 200 else f"{url}: {status}"


def main(urls: list[str]) -> int:
    """0 when one of them answers."""
    refusals: list[str] = []
    for url in urls:
        refusal = answers(url)
        if refusal is None:
            return 0
        refusals.append(refusal)
    sys.stderr.write("; ".join(refusals) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
