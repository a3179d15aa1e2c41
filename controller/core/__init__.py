"""Frozen value types and the error tree; standard library only."""
