"""Makes the API forget how its objects came to be, as a compaction of its database does: old watches hear 410 Gone."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable
from typing import Any

from tests.cluster.handle import ControlPlane

CALL_S = 30.0


def forget_history(plane: ControlPlane, meanwhile: Callable[[], None]) -> int:
    """Every revision of the database before the newest is gone; that one. The API serves it once it has started anew.

    A running API keeps the last events in memory besides: only one that starts afterwards knows nothing of them.
    `meanwhile` happens while none runs.
    """
    revision = int(_asked(plane, "range", {"key": base64.b64encode(b"/registry").decode()})["header"]["revision"])
    _asked(plane, "compaction", {"revision": str(revision), "physical": True})
    api = plane.component("kube-apiserver")
    api.kill()
    meanwhile()
    api.start()
    plane.until_ready()
    return revision


def _asked(plane: ControlPlane, what: str, body: dict[str, object]) -> dict[str, Any]:
    line = http.client.HTTPConnection("127.0.0.1", plane.probe.at.etcd_port, timeout=CALL_S)
    try:
        line.request("POST", f"/v3/kv/{what}", json.dumps(body), {"Content-Type": "application/json"})
        answer = line.getresponse()
        said = answer.read()
        assert answer.status == http.HTTPStatus.OK, f"etcd said {answer.status}: {said[:300]!r}"
        found: dict[str, Any] = json.loads(said)
        return found
    finally:
        line.close()
