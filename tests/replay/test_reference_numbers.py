"""The reference numbers: the table is made from the files as published, and its columns stand in their order."""

import gzip
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.replay.reference_numbers import PRICES, public_rates, reference


def test_the_published_files_are_read_and_gaps_are_filled(tmp_path: Path) -> None:
    """Both services of the one, and of the other the windows of rate zero from their neighbours."""
    (tmp_path / "azure_llm_2024_rate_digitised_10min.csv").write_text(
        "service,t_s,rate_rps,rpm_lo_px,rpm_hi_px\ncode,0,20.5,1,2\ncode,600,21,1,2\nconv,0,40,1,2\n"
    )
    with gzip.open(tmp_path / "servegen_rate_10min.csv.gz", "wt") as lines:
        lines.write("model,t_s,rate_rps,active_clients\nm-small,0,8,1\nm-small,600,0,0\nm-small,1200,16,1\n")
    found = {name: rates.tolist() for name, rates in public_rates(tmp_path)}
    assert found == {"az24-code": [20.5, 21.0], "az24-conv": [40.0], "sg-m-small": [8.0, 12.0, 16.0]}


def test_a_day_of_waves_stands_in_its_order() -> None:
    """Floor < optimum < optimum without spilling < best constant < peak; hot targets with a valve near the optimum."""
    points = 100 * (1.2 + np.sin(np.arange(144) / 144 * 2 * math.pi))
    pool = PRICES["8B"]
    row = reference(points, pool, 60.0, seed=1)
    floor = 1000 * pool.replica_usd_per_s / pool.replica_requests_per_s
    assert floor < row.optimum < row.no_spill < row.constant_best < row.constant_peak
    assert row.hpa_100_ratio < row.hpa_95_ratio < row.hpa_70 / row.optimum
    assert row.hpa_95_spilled_ratio < row.hpa_100_spilled_ratio < 0.05
    assert 1 <= row.nearsighted_ratio < 1.1
    assert reference(points, replace(pool, spill_usd_per_request=0.01), 60.0, seed=1).optimum > row.optimum
