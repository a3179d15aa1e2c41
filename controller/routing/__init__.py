"""Pure: what a request is, which targets may serve it in which order, and when a pool spills."""
