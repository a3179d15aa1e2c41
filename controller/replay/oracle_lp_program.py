"""One window of the mixed optimum as a mixed-integer program: variables in blocks of one per slot, rows built at once.

Called by `oracle_lp_windows`. Solved by HiGHS through scipy, which ships no types: what it returns is read in `solve`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]  # scipy ships no types
from scipy.optimize import Bounds, LinearConstraint, milp  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(slots=True)
class Program:
    """Costs, bounds and rows as they are gathered; `add_block` gives the places of new variables."""

    slots: int
    cost: list[Floats] = field(default_factory=list)
    lower: list[Floats] = field(default_factory=list)
    upper: list[Floats] = field(default_factory=list)
    whole: list[Floats] = field(default_factory=list)
    _rows: list[Places] = field(default_factory=list)
    _columns: list[Places] = field(default_factory=list)
    _values: list[Floats] = field(default_factory=list)
    _limits: list[Floats] = field(default_factory=list)
    _row_count: int = 0

    def add_block(
        self, cost: float | Floats, *, lower: float = 0.0, upper: float | Floats = np.inf, whole: bool = False
    ) -> Places:
        """One variable per slot."""
        first = self.slots * len(self.cost)
        ones = np.ones(self.slots)
        self.cost.append(cost * ones)
        self.lower.append(lower * ones)
        self.upper.append(upper * ones)
        self.whole.append(ones if whole else 0 * ones)
        return np.arange(first, first + self.slots)

    def at_most(self, limits: Floats, *terms: tuple[Places, Places, float]) -> None:
        """Rows `sum of value * variable <= limit`; a term tells for its entries the row (from 0) and the variable."""
        for rows, columns, value in terms:
            self._rows.append(rows + self._row_count)
            self._columns.append(columns)
            self._values.append(np.full(len(rows), value))
        self._limits.append(limits)
        self._row_count += len(limits)

    def window_terms(self, block: Places, back: int, ahead: int, value: float) -> tuple[Places, Places, float]:
        """For every slot the variables of the block from `back` slots before it to `ahead` slots after it."""
        rows = [np.arange(max(0, -shift), self.slots - max(0, shift)) for shift in range(-back, ahead + 1)]
        columns = [block[part + shift] for part, shift in zip(rows, range(-back, ahead + 1), strict=True)]
        return np.concatenate(rows), np.concatenate(columns), value

    def solve(self, gap_ratio: float) -> tuple[Floats, float] | None:
        """The values of all variables, and a bound that no solution is below; None where nothing keeps the rows."""
        rows, columns = np.concatenate(self._rows), np.concatenate(self._columns)
        shape = (self._row_count, self.slots * len(self.cost))
        matrix = sparse.csr_array((np.concatenate(self._values), (rows, columns)), shape=shape)
        found = milp(
            np.concatenate(self.cost),
            constraints=LinearConstraint(matrix, ub=np.concatenate(self._limits)),
            bounds=Bounds(np.concatenate(self.lower), np.concatenate(self.upper)),
            integrality=np.concatenate(self.whole),
            options={"mip_rel_gap": gap_ratio},
        )
        if found.x is None:
            return None
        bound = found.fun if found.mip_dual_bound is None else found.mip_dual_bound
        return np.asarray(found.x, dtype=np.float64), float(bound)
