"""Placement, memory fit and cost of a stack before anything is built."""
