"""Pure: the engine model that the simulator process and the policy benches share."""
