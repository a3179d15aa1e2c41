"""The second half of the contract: metric names, types and bounds, and what moves them, on both servers."""

from __future__ import annotations

import json
import re

from tests.contract.engines import CHAT, ask
from tests.engine_sim.sim_servers import Server, eventually, raw_chat

METRIC_TYPES = {
    "vllm:num_requests_running": "gauge",
    "vllm:num_requests_waiting": "gauge",
    "vllm:num_requests_waiting_by_reason": "gauge",
    "vllm:kv_cache_usage_perc": "gauge",
    "vllm:prefix_cache_queries_total": "counter",
    "vllm:prefix_cache_hits_total": "counter",
    "vllm:num_preemptions_total": "counter",
    "vllm:prompt_tokens_total": "counter",
    "vllm:prompt_tokens_cached_total": "counter",
    "vllm:generation_tokens_total": "counter",
    "vllm:request_success_total": "counter",
    "vllm:admission_rejections_total": "counter",
    "vllm:request_prompt_tokens": "histogram",
    "vllm:request_generation_tokens": "histogram",
    "vllm:time_to_first_token_seconds": "histogram",
    "vllm:inter_token_latency_seconds": "histogram",
    "vllm:request_time_per_output_token_seconds": "histogram",
    "vllm:e2e_request_latency_seconds": "histogram",
    "vllm:request_queue_time_seconds": "histogram",
    "vllm:request_inference_time_seconds": "histogram",
    "vllm:request_prefill_time_seconds": "histogram",
    "vllm:request_decode_time_seconds": "histogram",
}


def test_metric_names_and_types(server: Server) -> None:
    """Every metric that is relied on is there with its type, labelled with the model's name."""
    text = server.get("/metrics")
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert {name: types.get(name) for name in METRIC_TYPES} == METRIC_TYPES
    for name in METRIC_TYPES:
        assert re.search(rf'^{name}(_bucket)?{{[^}}]*model_name="{re.escape(server.model)}"', text, re.MULTILINE), name


def test_histogram_bounds(server: Server) -> None:
    """Time to first token, per token and request durations share their bucket bounds with the real server."""
    text = server.get("/metrics")
    bounds = {
        name: re.findall(rf'^vllm:{name}_bucket{{.*le="([^"]+)"', text, re.MULTILINE)
        for name in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds")
    }
    assert bounds["time_to_first_token_seconds"][:3] == ["0.001", "0.005", "0.01"]
    assert bounds["time_to_first_token_seconds"][-2:] == ["2560.0", "+Inf"]
    assert bounds["inter_token_latency_seconds"][0] == "0.01"
    assert bounds["inter_token_latency_seconds"][-2] == "80.0"
    assert bounds["e2e_request_latency_seconds"][0] == "0.3"
    assert [len(found) for found in bounds.values()] == [23, 20, 22]


def test_counters_move_by_what_was_told(server: Server) -> None:
    """Prompt and generation tokens, successes and TTFT counts follow the usage of one answer."""
    names = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:time_to_first_token_seconds_count")
    before = {name: server.metric(name) for name in names}
    usage = json.loads(server.post(CHAT, ask(server, max_tokens=11))[2])["usage"]
    expected = dict(zip(names, (usage["prompt_tokens"], 11, 1), strict=True))
    eventually(lambda: {name: server.metric(name) - before[name] for name in names} == expected, within_s=3)


def test_a_long_prompt_seen_before_is_cached(server: Server) -> None:
    """The second of two equal long prompts reports cached tokens."""
    long = [{"role": "user", "content": "the pool is full and nobody waits " * 12}]
    cached = [
        json.loads(server.post(CHAT, ask(server, messages=long))[2])["usage"]["prompt_tokens_details"]["cached_tokens"]
        for _ in range(2)
    ]
    assert cached[0] < cached[1]
    assert cached[1] >= 32


def test_more_requests_than_slots_wait_in_line(server: Server) -> None:
    """40 streams on 32 slots: some wait, none is refused, all leave."""
    connections = [raw_chat(server, stream=True, tokens=1500) for _ in range(40)]
    eventually(lambda: server.metric("vllm:num_requests_waiting") > 0, within_s=10)
    assert server.metric("vllm:num_requests_running") <= 32
    assert 0 < server.metric("vllm:kv_cache_usage_perc") <= 1
    for connection in connections:
        connection.close()
    eventually(
        lambda: server.metric("vllm:num_requests_running") + server.metric("vllm:num_requests_waiting") == 0, within_s=5
    )
