"""How many replicas a pool should have: pure functions of (sample, state, policy, now)."""
