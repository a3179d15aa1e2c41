"""Everything that runs: the pure core, the gateway, the controller loop, the engine simulator and the CLI."""
