"""Which runs a comparison consists of; kept in its folder as `comparison.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from engine.config import RunConfig
from engine.objectives import split_direction
from engine.setup import Setup
from fitness.table import Table
from fitness.table_fitness import TableFitness
from fitness.table_space import holds, is_sample, tables_of
from spaces.errors import DamagedRun, RunError, UnknownName, UsageError
from spaces.registry import takes
from spaces.space import Space

__all__ = ["FILE", "FORMAT", "Method", "Plan", "PlannedRun", "is_at_hand"]

FILE = "comparison.json"
FORMAT = 1
_LISTS = ("spaces", "strategies", "fitness", "metrics")


class Method(NamedTuple):
    """What is compared within a space."""

    space: str
    strategy: str
    fitness: str


class PlannedRun(NamedTuple):
    """One run: a method with a seed, and where its folder is."""

    method: Method
    seed: int
    config: RunConfig

    @property
    def name(self) -> str:
        """Its folder within the comparison's, unique among the runs."""
        return Path(str(self.config.out)).name


@dataclass(frozen=True)
class Plan:
    """A comparison: every strategy with every fitness on every space, with as many seeds.

    Attributes:
        path: Folder of the comparison.
        base: What all runs have in common: budget, images, tables of all spaces, first seed.
        spaces: Names of spaces, with options.
        strategies: Names of strategies, with options.
        fitness: Expressions.
        metrics: Columns of the tables that the chosen architectures are judged by, with an optional :min or :max. A
            space is judged by those that its own tables have.
        runs: Number of seeds.
    """

    path: Path
    base: RunConfig
    spaces: tuple[str, ...]
    strategies: tuple[str, ...]
    fitness: tuple[str, ...]
    metrics: tuple[str, ...]
    runs: int

    def __post_init__(self) -> None:
        if type(self.runs) is not int or not 1 <= self.runs <= 100_000:
            raise UsageError(f"runs is {self.runs!r}; expected a whole number from 1 to 100,000")
        for name in _LISTS:
            listed = getattr(self, name)
            if not listed:
                raise UsageError(f"a comparison without {name}; expected at least one")
            for text in listed:
                if listed.count(text) > 1:
                    raise UsageError(f"{name} lists {text!r} twice; expected each once")

    @property
    def methods(self) -> list[Method]:
        """Every method, space by space."""
        return [Method(*names) for names in product(self.spaces, self.strategies, self.fitness)]

    def planned(self) -> Iterator[PlannedRun]:
        """Every run, seed by seed, so that a comparison cut short has some of every method."""
        for place in range(self.runs):
            for number, method in enumerate(self.methods):
                yield self._planned(number, method, self.base.seed + place)

    def _planned(self, number: int, method: Method, seed: int) -> PlannedRun:
        strategy = method.strategy.partition("(")[0]
        name = f"{number:03}-{method.space.partition('(')[0]}-{strategy}-{seed}"
        config = replace(
            self.base,
            space=method.space,
            strategy=method.strategy,
            fitness=method.fitness,
            table=tuple(str(table.path) for table in self.tables(method.space)),
            within_table=self.is_sampled(method.space),
            seed=seed,
            out=str(self.path / "runs" / name),
        )
        factory = Setup(config).strategy_factory
        for option in ("population", "tournament", "rank"):  # each is for the strategies that take it
            if not takes(factory, option):
                config = replace(config, **{option: None})  # type: ignore[arg-type]
        return PlannedRun(method, seed, config)

    def space(self, name: str) -> Space:
        """A whole space by its name, with the images' shape and classes."""
        return _space(replace(self.base, space=name, table=(), rank=None, within_table=False))

    def is_sampled(self, space: str) -> bool:
        """Whether the table of a space holds only some of its networks; then only those are searched."""
        return self.base.within_table or is_sample(self.space(space))

    def searched(self, name: str) -> Space:
        """What the runs of a space search: it, or the networks of its table.

        Raises:
            UsageError: The table lists a network twice, or one that is not of the space.
        """
        if not self.is_sampled(name):
            return self.space(name)
        tables = tuple(str(table.path) for table in self.tables(name))
        return _space(replace(self.base, space=name, table=tables, rank=None, within_table=True))

    def tables(self, space: str) -> list[Table]:
        """The given tables that hold architectures of a space; the imported ones if none were given.

        Raises:
            UsageError: There is none.
        """
        return _tables(self.space(space), self.base.table)

    def metrics_of(self, space: str) -> dict[str, TableFitness]:
        """The metrics of a space by column.

        Raises:
            UnknownName: None of the tables of the space has any of them.
        """
        table, describe = Table.join(self.tables(space)), self.searched(space).describe
        found = {}
        for name, direction in map(split_direction, self.metrics):
            if name in table.columns:
                found[name] = metric = TableFitness(name, table, describe)
                metric.direction = direction or metric.direction  # type: ignore[assignment]  # "min" or "max"
        if not found:
            raise UnknownName(f"metric of space {space}", split_direction(self.metrics[0])[0], table.columns)
        return found

    def check(self) -> None:
        """Find what is wrong with any of the methods before anything runs.

        Raises:
            UsageError: See `engine.api.search`; or a metric that no table has.
        """
        judged = {space: self.metrics_of(space) for space in self.spaces}
        for name in (split_direction(metric)[0] for metric in self.metrics):
            if not any(name in metrics for metrics in judged.values()):
                known = {
                    column for space in self.spaces for table in self.tables(space) for column in table.columns
                }
                raise UnknownName("metric", name, known)
        for space in self.spaces:
            for table in filter(is_at_hand, self.tables(space)):
                for column in set(judged[space]) & set(table.columns):
                    if not any(isfinite(value) for value in table.column(column)):
                        raise UsageError(
                            f"metric {column!r} is empty in {table.path}; expected known values to judge by"
                        )
        strategies = {run.method: run.config for run in self.planned() if run.seed == self.base.seed}
        for option in ("population", "tournament", "rank"):
            if getattr(self.base, option) is not None and not any(getattr(c, option) for c in strategies.values()):
                raise UsageError(f"{option} is given, but none of {', '.join(self.strategies)} takes it")
        for config in strategies.values():
            setup = Setup(config)
            setup.strategy()
            _ = setup.recorded, setup.data, setup.device

    def create(self) -> None:
        """Make the folder and write `comparison.json`.

        Raises:
            UsageError: The folder holds something already.
            RunError: It cannot be made or written.
        """
        try:
            if os.path.lexists(self.path) and os.listdir(self.path):
                held = "a comparison" if (self.path / FILE).exists() else "other files"
                more = f", or continue with `engine resume {self.path}`" if held == "a comparison" else ""
                raise UsageError(
                    f"{self.path} is not empty, it holds {held}; expected a new folder: choose another --out{more}"
                )
            (self.path / "runs").mkdir(parents=True)
            plan = {"format": FORMAT, "runs": self.runs, "base": self.base.to_dict()}
            plan |= {name: list(getattr(self, name)) for name in _LISTS}
            draft = self.path / f"{FILE}.new"
            draft.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
            os.replace(draft, self.path / FILE)
        except OSError as error:
            raise RunError(f"cannot make the comparison {self.path}: {error.strerror or error}") from error

    @staticmethod
    def read(path: Path) -> Plan:
        """Read `comparison.json`.

        Raises:
            UsageError: Not a comparison.
            DamagedRun: `comparison.json` is not what a comparison writes.
        """
        file = path / FILE
        if not os.path.isfile(file):
            what = f"holds no {FILE}" if os.path.isdir(path) else "is not a folder"
            raise UsageError(f"{path} is not a comparison: it {what}; expected what `engine compare --out` made")
        try:
            plan = json.loads(file.read_bytes())
            if not isinstance(plan, dict) or plan.get("format") != FORMAT:
                raise ValueError(f"expected format {FORMAT}")
            lists = {name: tuple(map(str, plan[name])) for name in _LISTS}
            base = RunConfig.from_dict(plan["base"], str(file))
            return Plan(path, base, runs=plan["runs"], **lists)
        except OSError as error:
            raise RunError(f"cannot read {file}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, UsageError, RecursionError) as error:
            raise DamagedRun(
                f"{file} is not what a comparison writes ({type(error).__name__}: {error}); the runs are not "
                "touched: put the file back, or compare again into another --out"
            ) from error


@cache
def _space(config: RunConfig) -> Space:
    return Setup(config).space


@cache
def _tables(space: Space, paths: tuple[str, ...]) -> list[Table]:
    tables = [table for table in map(_opened, paths) if holds(table, space)]
    if tables:
        return tables
    if paths:
        raise UsageError(
            f"none of the tables holds architectures of space {space.name!r}: {', '.join(paths)}; "
            "add one that does, or give none to use those that were imported"
        )
    return [_opened(str(path)) for path in tables_of(space)]


def is_at_hand(table: Table) -> bool:
    """Whether all of a table can be read in no time: an archive that was not imported takes minutes."""
    return not table.path.is_dir()


@cache
def _opened(path: str) -> Table:
    return Table.open(path)
