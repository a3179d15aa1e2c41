"""One row of the ledger as the database has it, for tests that put rows there themselves."""

from __future__ import annotations

AT_S = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
ROW: dict[str, object] = {
    "request_id": "r-1", "at_s": AT_S, "tenant": "acme", "key_id": "k1", "operation": "chat", "requested_model": "auto",
    "task": None, "complexity": "simple", "status": 200, "target_kind": "external", "target": "openai",
    "model_key": "gpt-4o-mini", "model_id": "gpt-4o-mini", "replica_id": None, "input_tokens": 100,
    "cached_input_tokens": 60, "output_tokens": 20, "usage_estimated": False, "cost_nanousd": 1_234, "spilled": True,
    "reason": 'pool full, "really"', "chain": "[]", "attempts": "[]", "predicted_ttft_s": None, "ttft_s": 0.3,
    "e2e_s": 0.4, "error": None, "simulated": False, "stream": False, "gpu_s": None, "outcome_unknown": False,
    "home_pool": "llama-8b",
}  # fmt: skip
