"""spillway.yaml: schema, loading, and refusals that name file, key, value and allowed range."""
