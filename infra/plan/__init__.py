"""Placement, memory fit and cost of a stack before anything is built."""

from __future__ import annotations

from infra.plan.table import table
from infra.plan.values import CostRow, ModelRow, Plan, PoolRow
from infra.plan.whole import plan

__all__ = ["CostRow", "ModelRow", "Plan", "PoolRow", "plan", "table"]
