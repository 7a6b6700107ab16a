"""Strategies and fitness side by side: many runs under one budget, and what came out of them.

`plan` says which runs, `carrying_out` makes them, `outcome` reads what they found, `table` and `plot` show it.
"""

from engine.comparison.carrying_out import carry_out
from engine.comparison.outcome import Comparison, Row, compared
from engine.comparison.plan import Plan, PlannedRun

__all__ = ["Comparison", "Plan", "PlannedRun", "Row", "carry_out", "compared"]
