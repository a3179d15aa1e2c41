"""Regions, what they offer and what it costs: dated data."""
