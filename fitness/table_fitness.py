"""A column of a benchmark's table as fitness: `table:cifar10_test_200ep_pct`."""

from __future__ import annotations

import re
from collections.abc import Callable

from fitness.base import Direction, Needs
from fitness.table import Table
from spaces.space import Genotype

_COSTS = ("latency", "energy", "cost", "seconds", "params", "macs", "flops", "loss")


def cost_column(accuracy: str) -> str | None:
    """The column with the seconds of the training that gave an accuracy.

    `cifar10_valid_12ep_pct` costs `cifar10_train12_cost_s`; None for a column that names no data set and epochs.
    """
    match = re.match(r"(cifar100|cifar10|imagenet16)(?:valid)?_.*?(\d+)ep", accuracy)
    return f"{match[1]}_train{match[2]}_cost_s" if match else None


class TableFitness:
    """The recorded value of an architecture; never shared, each one was trained separately.

    Args:
        column: Name of the column.
        table: The opened table.
        describe: Turns a genotype into the benchmark's architecture string.
    """

    def __init__(self, column: str, table: Table, describe: Callable[[Genotype], str]) -> None:
        self.name, self.column = f"table:{column}", column
        self.direction: Direction = "min" if any(word in column for word in _COSTS) else "max"
        self.needs: Needs = "genotype"
        self.unit = "%" if column.endswith("_pct") else "as in the table"
        self._table, self._describe = table, describe

    def __call__(self, genotype: Genotype) -> float:
        """The recorded value of an architecture."""
        return self._table.value(self._describe(genotype), self.column)
