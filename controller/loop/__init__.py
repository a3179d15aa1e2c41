"""The control plane: observe, decide, act, publish."""
