"""A process that speaks vLLM's API and metrics with the engine model's timing."""
