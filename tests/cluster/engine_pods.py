"""What the engine in a pod says itself: this machine reaches every pod."""

from __future__ import annotations

import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

PAGE_S = 10.0


def answers_under_way(pod: dict[str, Any]) -> float:
    """How many requests it answers at the moment."""
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8000/metrics", timeout=PAGE_S) as page:
        families = text_string_to_metric_families(page.read().decode())
        samples = [one for family in families for one in family.samples]
    return sum(one.value for one in samples if one.name == "vllm:num_requests_running")
