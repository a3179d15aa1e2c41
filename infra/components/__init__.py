"""One ComponentResource per file, each with a frozen Args of its own; `infra.stack` alone maps settings to them."""
