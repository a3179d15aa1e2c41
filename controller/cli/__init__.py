"""One file per subcommand; wiring.py alone constructs adapters."""
