"""The data plane: authenticates, classifies, chooses, relays and meters each request."""
