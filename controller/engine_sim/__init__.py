"""Pools and providers without a GPU or a bill: a process that speaks vLLM's API, and a stand-in for external ones."""
