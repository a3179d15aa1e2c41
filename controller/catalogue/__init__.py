"""The models, prices, lifetimes, GPU shapes and step times as dated data, and the memory-fit arithmetic."""

from __future__ import annotations

from controller.catalogue.fit import Fit, memory_fit
from controller.catalogue.lifetimes import is_alive, resolve
from controller.catalogue.load import Catalogue, load_catalogue, pool_step_times, step_times

__all__ = [
    "Catalogue",
    "Fit",
    "is_alive",
    "load_catalogue",
    "memory_fit",
    "pool_step_times",
    "resolve",
    "step_times",
]
