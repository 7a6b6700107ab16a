"""A column of a benchmark's table as fitness: `table:cifar10_test_200ep_pct`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from fitness.base import Direction, Needs
from fitness.table import Table
from spaces.space import Genotype

_COSTS = ("latency", "energy", "cost", "seconds", "params", "macs", "flops", "bytes", "loss", "error", "perplexity")
_UNITS = {"pct": "%", "s": "s", "ms": "ms", "mJ": "mJ", "M": "millions"}
_UNNAMED_UNITS = {"latency": "ms", "energy": "mJ"}  # HW-NAS-Bench's (arXiv:2103.10584), whose columns name none


def cost_column(accuracy: str, columns: Iterable[str]) -> str | None:
    """The column with the seconds that an accuracy costs whoever trains for it.

    `cifar10_valid_12ep_pct` costs `cifar10_query12_cost_s`, training and validation as NATS-Bench accounts them, or
    where a table lacks it `cifar10_train12_cost_s`, training alone; in NAS-Bench-101 `train_108ep_cost_s`.

    Args:
        accuracy: Name of the column.
        columns: Of the table.

    Returns:
        None for a column that names no data set and epochs, or a table that knows no such cost.
    """
    match = re.match(r"(cifar100|cifar10|imagenet16)(?:valid)?_.*?(\d+)ep", accuracy)
    if not match:
        return None
    data, epochs = match.groups()
    likely = (f"{data}_query{epochs}_cost_s", f"{data}_train{epochs}_cost_s", f"train_{epochs}ep_cost_s")
    known = set(columns)
    return next((column for column in likely if column in known), None)


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
        self.unit = _unit(column)
        self._table, self._describe = table, describe

    def __call__(self, genotype: Genotype) -> float:
        """The recorded value of an architecture."""
        return self._table.value(self._describe(genotype), self.column)


def _unit(column: str) -> str:
    """What the words of a column's name say: "cifar10_train12_cost_s" is in seconds."""
    words = column.split("_")
    named = [_UNITS[word] for word in words if word in _UNITS]
    return named[-1] if named else _UNNAMED_UNITS.get(words[-1], "as in the table")
