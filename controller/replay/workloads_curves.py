"""Demand curves: counted from recorded requests, drawn through published windows, or made to hurt. And their scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from controller.core.errors import SimulationError
from controller.replay.simulation_types import Curve
from controller.replay.trace_files_types import Floats, RateSeries, RateTrace, RequestTrace, TokenTrace, Trace

SLOT_S = 10.0
SLOTS_MAX = 5_000_000
BUSY_QUANTILE = 0.995  # of slots: what a workload's size is named after
_MINUTE = 6  # slots


def curve_of(trace: Trace, name: str, kind: str = "bursty", slot_s: float = SLOT_S) -> Curve:
    """The rate of a trace slot by slot, all its services together; where it says nothing the rate is 0.

    Of requests the last, begun slot is left out where there are others.
    """
    if isinstance(trace, TokenTrace):
        raise SimulationError(f"{name} holds token counts; it must hold requests or rates")
    if not slot_s > 0:
        raise SimulationError(f"slot_s is {slot_s:g}; it must be a number > 0")
    rates = _counted(trace, name, slot_s) if isinstance(trace, RequestTrace) else _held(trace, name, slot_s)
    return Curve(name=name, slot_s=slot_s, rates_per_s=rates.tolist(), kind=kind)


def busy_rate_per_s(curve: Curve) -> float:
    """The rate of its busy moments: the 99.5th percentile of slots, or the greatest where that is 0."""
    rates = np.asarray(curve.rates_per_s, dtype=np.float64)
    busy = float(np.quantile(rates, BUSY_QUANTILE)) or float(rates.max())
    if not busy > 0:
        raise SimulationError(f"the greatest rate of {curve.name} is 0; a workload must have a request")
    return busy


def scaled_to(curve: Curve, busy_per_s: float) -> Curve:
    """The same curve with that rate in its busy moments."""
    rates = np.asarray(curve.rates_per_s, dtype=np.float64)
    return replace(curve, rates_per_s=(rates * (busy_per_s / busy_rate_per_s(curve))).tolist())


def interpolated(series: RateSeries, window_s: float, slot_s: float) -> Floats:
    """Rates straight between the middles of windows; windows that are missing or without a request are bridged."""
    filled = series.rates_per_s > 0
    starts = series.starts_s[filled]
    times = np.arange(series.starts_s[0], series.starts_s[-1] + window_s, slot_s) + slot_s / 2
    return np.interp(times, starts + window_s / 2, series.rates_per_s[filled])


def step(factor: float) -> Floats:
    """Half an hour of 1, an hour of so many, half an hour of 1."""
    return np.array([1.0] * (30 * _MINUTE) + [factor] * (60 * _MINUTE) + [1.0] * (30 * _MINUTE))


def ramp() -> Floats:
    """From 1 to 10 in an hour, and back."""
    up = np.linspace(1.0, 10.0, 60 * _MINUTE)
    flat = np.ones(30 * _MINUTE)
    return np.concatenate((flat, up, 10.0 * flat, up[::-1], flat))


def spikes() -> Floats:
    """Six times: 29 minutes of 1 and one of 10."""
    return np.array(([1.0] * (29 * _MINUTE) + [10.0] * _MINUTE) * 6)


def square_wave(cold_start_s: float) -> Floats:
    """20 times 1 and 5, each as long as a cold start: a replica ordered at the rise comes at the fall."""
    half = max(1, round(cold_start_s / SLOT_S))
    return np.array(([1.0] * half + [5.0] * half) * 20)


def zero_to_n() -> Floats:
    """Nothing, an hour of work, nothing."""
    return np.array([0.0] * (30 * _MINUTE) + [1.0] * (60 * _MINUTE) + [0.0] * (60 * _MINUTE))


def _counted(trace: RequestTrace, name: str, slot_s: float) -> Floats:
    slots = _slots(name, float(trace.arrivals_s[-1]), slot_s)
    whole = trace.arrivals_s[trace.arrivals_s < slots * slot_s]  # the last bin would take its upper edge in
    counts, _ = np.histogram(whole, bins=slots, range=(0.0, slots * slot_s))
    return counts / slot_s


def _held(trace: RateTrace, name: str, slot_s: float) -> Floats:
    first_s = min(float(one.starts_s[0]) for one in trace.series.values())
    end_s = max(float(one.starts_s[-1]) for one in trace.series.values()) + trace.window_s
    times = first_s + (np.arange(_slots(name, end_s - first_s, slot_s)) + 0.5) * slot_s
    total = np.zeros(len(times))
    for one in trace.series.values():
        window = np.searchsorted(one.starts_s, times, side="right") - 1
        inside = (window >= 0) & (times < one.starts_s[window] + trace.window_s)
        total += np.where(inside, one.rates_per_s[window], 0.0)
    return total


def _slots(name: str, duration_s: float, slot_s: float) -> int:
    slots = max(1, int(duration_s // slot_s))
    if slots > SLOTS_MAX:
        raise SimulationError(
            f"{name} lasts {duration_s / 86_400:.0f} days, {slots} slots of {slot_s:g} s; it must have at most "
            f"{SLOTS_MAX}"
        )
    return slots
