"""Prints what a pool without anywhere to spill does under many times its load: `python -m tests.bench.overload`.

The whole gateway in virtual time, so the figures are the same on every machine; of refusals the real time is that of
any refused request, which `python -m tests.bench` measures.
"""

from __future__ import annotations

from tests.gateway.overload_world import CAPACITY_PER_S, SLO_S, overloaded

LOADS = (0.5, 0.7, 0.9, 1.0, 1.2, 2.0, 5.0, 10.0)


def main() -> None:
    """One line per load; ratios are to the best goodput, and to the TTFT at capacity."""
    found = {ratio: overloaded(ratio) for ratio in LOADS}
    peak_per_s, ttft_s = max(one.goodput_per_s for one in found.values()), found[1.0].ttft_p99_s
    print(f"capacity {CAPACITY_PER_S:g} requests/s; good: first token within {SLO_S:g} s")
    print("load  offered/s  goodput/s  of peak  answered  refused  failed  ttft p99 s  to 1x  refusal p99 s")
    for ratio, one in found.items():
        print(
            f"{ratio:4g}x {one.offered_per_s:9.2f} {one.goodput_per_s:10.2f} {one.goodput_per_s / peak_per_s:8.0%}"
            f" {one.answered:9d} {one.refused:8d} {one.failed:7d} {one.ttft_p99_s:11.2f}"
            f" {one.ttft_p99_s / ttft_s:6.2f} {one.refused_p99_s:14.3f}"
        )


if __name__ == "__main__":
    main()
