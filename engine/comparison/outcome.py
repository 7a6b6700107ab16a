"""What the runs of a comparison found, judged by a benchmark's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import cast

import numpy as np
from numpy.typing import NDArray

from engine.comparison.carrying_out import finished
from engine.comparison.plan import Method, Plan, PlannedRun, is_at_hand
from engine.results.statistics import average_ranks, holm, wilcoxon_signed_rank
from engine.run_folder import RunFolder
from engine.setup import Setup
from fitness.table import Table
from fitness.table_fitness import TableFitness
from spaces.errors import DamagedRun, RunError, UsageError
from spaces.space import Choose, Genotype, Space

__all__ = ["Comparison", "Reference", "Row", "RunOutcome", "SpaceComparison", "compared"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RunOutcome:
    """What one run found.

    Attributes:
        seed: Of the run.
        architecture: The one of greatest merit, in the benchmark's notation.
        values: Its metrics by column; nan where the table does not know it.
        params: Its number of parameters.
        seconds: The search took.
        simulated_seconds: Training what was looked up would have taken.
        evaluations: Number of records.
        steps: Record numbers at which the best changed.
        incumbents: Metrics of the best from each of these steps on, by column.
        spent: Simulated seconds after each record; empty if none are counted.
    """

    seed: int
    architecture: str
    values: Mapping[str, float]
    params: int
    seconds: float
    simulated_seconds: float
    evaluations: int
    steps: Sequence[int]
    incumbents: Mapping[str, Sequence[float]]
    spent: Floats

    def curve(self, column: str, length: int) -> Floats:
        """(length,) the metric of the best so far after each evaluation; nan before the first feasible one."""
        values = np.full(length, np.nan)
        for step, value in zip(self.steps, self.incumbents[column], strict=True):
            values[step:] = value
        return values

    def curve_over(self, column: str, seconds: Floats) -> Floats:
        """(n,) the metric of the best so far when that many simulated seconds were spent."""
        curve = self.curve(column, self.evaluations)
        done = np.searchsorted(self.spent, seconds, side="right")
        return np.where(done > 0, curve[np.maximum(done - 1, 0)], np.nan)


@dataclass(frozen=True)
class Row:
    """A method and its runs.

    Attributes:
        method: Space, strategy and fitness.
        runs: Those that found something, by seed.
        failures: Why others did not.
        rank: Mean over the complete seeds of its rank among the methods of the space in the first metric, 1 is
            best; nan if there are none.
        p: Probability that it differs from the best method by chance (Wilcoxon's signed-rank test over the complete
            seeds, two-sided, Holm's correction for the number of methods); nan for the best itself.
    """

    method: Method
    runs: tuple[RunOutcome, ...]
    failures: tuple[str, ...]
    rank: float = float("nan")
    p: float = float("nan")

    def values(self, column: str) -> Floats:
        """(known,) a metric of the chosen architectures, those that the table knows."""
        values = np.array([run.values[column] for run in self.runs], dtype=np.float64)
        return values[~np.isnan(values)]


@dataclass(frozen=True)
class Reference:
    """What anybody would get without a search.

    Attributes:
        name: "optimum", "random architecture", "most macs", ...
        values: Mean by metric.
        spread: Standard deviation by metric; nan where there is one value.
    """

    name: str
    values: Mapping[str, float]
    spread: Mapping[str, float]


@dataclass(frozen=True)
class SpaceComparison:
    """All methods on one space.

    Attributes:
        space: Its name.
        metrics: What counts, by column.
        rows: The methods, best first.
        references: What needs no search.
        complete: Number of seeds of which the table knows what every method chose.
        listed: Number of networks searched, where those are the ones of the table; None for the whole space.
    """

    space: str
    metrics: Mapping[str, TableFitness]
    rows: tuple[Row, ...]
    references: tuple[Reference, ...]
    complete: int
    listed: int | None = None

    @property
    def main(self) -> str:
        """The metric that methods are ranked by."""
        return next(iter(self.metrics))

    def regret(self, column: str, values: Floats) -> Floats:
        """How far values are from the best of the table, 0 is best; nan if that is not known."""
        best = next((item.values[column] for item in self.references if item.name == "optimum"), np.nan)
        return np.abs(best - values)


@dataclass(frozen=True)
class Comparison:
    """What a comparison found so far.

    Attributes:
        plan: Which runs.
        done: Number of runs that are finished.
        spaces: Results by space.
    """

    plan: Plan
    done: int
    spaces: tuple[SpaceComparison, ...]

    @cached_property
    def wanted(self) -> int:
        """Number of runs in all."""
        return self.plan.runs * len(self.plan.methods)


def compared(plan: Plan) -> Comparison:
    """Read what the finished runs of a plan found.

    Raises:
        RunError: None is finished, or all of them failed.
    """
    results = {result.name: result for result in finished(plan)}
    if not results:
        raise RunError(f"no run of {plan.path} is finished; make them with `engine resume {plan.path}`")
    reasons = [result.reason for result in results.values() if result.reason is not None]
    if len(reasons) == len(results):
        raise RunError(f"all {len(results)} runs failed; the first: {reasons[0]}")
    by_method: dict[Method, list[RunOutcome]] = {method: [] for method in plan.methods}
    failures: dict[Method, list[str]] = {method: [] for method in plan.methods}
    metrics = {space: plan.metrics_of(space) for space in plan.spaces}
    for planned in plan.planned():
        result = results.get(planned.name)
        if result is None:
            continue
        if result.seconds is None:
            failures[planned.method].append(f"seed {planned.seed}: {result.reason}")
        else:
            outcome = _outcome(planned, result.seconds, metrics[planned.method.space])
            by_method[planned.method].append(outcome)
    spaces = []
    for space in plan.spaces:
        rows = [
            Row(method, tuple(by_method[method]), tuple(failures[method]))
            for method in plan.methods
            if method.space == space
        ]
        judged, complete = _judged(rows, metrics[space])
        listed = plan.searched(space).size if plan.is_sampled(space) else None
        spaces.append(SpaceComparison(space, metrics[space], judged, references(plan, space), complete, listed))
    return Comparison(plan, len(results), tuple(spaces))


def _outcome(planned: PlannedRun, seconds: float, metrics: Mapping[str, TableFitness]) -> RunOutcome:
    folder = RunFolder.read(Path(str(planned.config.out)))
    setup = Setup(folder.config)
    setup.refer(folder.reference)
    objective = setup.objectives.objectives[0]
    best: Genotype | None = None
    best_merit = -np.inf
    steps: list[int] = []
    incumbents: dict[str, list[float]] = {column: [] for column in metrics}
    spent = []
    store = folder.records()
    for number, record in enumerate(store):
        spent.append(setup.simulated_seconds(record))
        if record.status != "ok":
            continue
        merit = objective.merit(record.scores)
        if best is not None and merit <= best_merit:
            continue
        best, best_merit = record.genotype, merit
        steps.append(number)
        for column, metric in metrics.items():
            incumbents[column].append(_known(metric, best))
    if best is None:
        raise DamagedRun(
            f"{folder.path} is finished but has no feasible record; put its records back, or remove it and resume"
        )
    values = {column: found[-1] for column, found in incumbents.items()}
    total = np.cumsum(spent) if setup.cost is not None else np.zeros(0)
    params = int(setup.fitness("params")(setup.space.decode(best)))
    return RunOutcome(
        planned.seed,
        setup.space.describe(best),
        values,
        params,
        seconds,
        float(sum(spent)),
        len(store),
        steps,
        incumbents,
        total,
    )


def _known(metric: TableFitness, genotype: Genotype) -> float:
    """What the table says of an architecture; nan where it does not know it."""
    try:
        return metric(genotype)
    except (RunError, UsageError):  # an empty cell, or a table of some of the architectures
        return float("nan")


def _judged(rows: Sequence[Row], metrics: Mapping[str, TableFitness]) -> tuple[tuple[Row, ...], int]:
    """Rank the methods over the seeds that all of them have, and test each against the best.

    Returns:
        The rows, best first, and the number of these seeds; without any the methods stand by their own means.
    """
    column = next(iter(metrics))
    sign = 1 if metrics[column].direction == "max" else -1
    found = [{run.seed: sign * run.values[column] for run in row.runs} for row in rows]
    results = [{seed: value for seed, value in of.items() if not np.isnan(value)} for of in found]
    present = [number for number, values in enumerate(results) if values]
    if not present:
        return tuple(rows), 0
    seeds = sorted(set.intersection(*(set(results[number]) for number in present)))
    means = {number: np.mean([results[number][seed] for seed in seeds or results[number]]) for number in present}
    order = sorted(present, key=lambda number: -means[number])
    judged = dict(enumerate(rows))
    if seeds:
        table = np.array([[results[number][seed] for number in order] for seed in seeds])
        for number, rank in zip(order, average_ranks(table), strict=True):
            judged[number] = replace(judged[number], rank=float(rank))
        tests = {number: wilcoxon_signed_rank(table[:, place], table[:, 0]).p for place, number in enumerate(order)}
        for number, p in holm({number: tests[number] for number in order[1:]}).items():
            judged[number] = replace(judged[number], p=p)
    rest = [number for number in range(len(rows)) if number not in order]
    return tuple(judged[number] for number in [*order, *rest]), len(seeds)


_LISTED = 20  # networks that somebody without a score would train, the largest first


def references(plan: Plan, space: str) -> tuple[Reference, ...]:
    """What a space gives without a search: its best, a random architecture, and the largest ones.

    Nothing of an archive that was not imported: reading all of it takes minutes.
    """
    metrics = plan.metrics_of(space)
    tables = plan.tables(space)
    if not all(map(is_at_hand, tables)):
        return ()
    table = Table.join(tables)
    columns = {name: np.array(table.column(name), dtype=np.float64) for name in metrics}
    nothing = dict.fromkeys(metrics, float("nan"))
    best = {name: float(_top(values, metrics[name].direction)) for name, values in columns.items()}
    mean = {name: float(np.nanmean(values)) for name, values in columns.items()}
    spread = {name: float(np.nanstd(values)) for name, values in columns.items()}
    found = [Reference("optimum", best, nothing), Reference("random architecture", mean, spread)]
    for figure, sizes in _sizes(plan, space).items():
        at = np.array([sizes[architecture] for architecture in table.architectures])
        largest = at == at.max()
        found.append(
            Reference(
                f"most {figure}",
                {name: float(np.nanmean(values[largest])) for name, values in columns.items()},
                {
                    name: float(np.nanstd(values[largest])) if largest.sum() > 1 else float("nan")
                    for name, values in columns.items()
                },
            )
        )
        first = np.argsort(-at, kind="stable")[:_LISTED]
        top = {name: float(_top(values[first], metrics[name].direction)) for name, values in columns.items()}
        found.append(Reference(f"best of the {_LISTED} with most {figure}", top, nothing))
    return tuple(found)


def _top(values: Floats, direction: str) -> float:
    return float(np.nanmax(values) if direction == "max" else np.nanmin(values))


def _sizes(plan: Plan, space: str) -> dict[str, dict[str, float]]:
    """Parameters and multiply-accumulates of every architecture that is searched, if they come at little cost.

    They do where figures split over the choices of a space, and among the networks of a table where asking for
    their choices builds them anyway.
    """
    from fitness.figures import macs, params
    from fitness.whole_space import figure_of_all
    from spaces.space import Additive

    made = plan.searched(space)
    figures = {"macs": macs, "params": params}
    if made.size is not None and isinstance(getattr(made, "additive", None), Additive):
        values = {name: figure_of_all(made, figure).tolist() for name, figure in figures.items()}
    elif plan.is_sampled(space) and _builds_when_asked(made):
        values = {
            name: [figure(made.decode(each)) for each in made.enumerate()] for name, figure in figures.items()
        }
    else:
        return {}
    architectures = [made.describe(genotype) for genotype in made.enumerate()]
    return {name: dict(zip(architectures, of, strict=True)) for name, of in values.items()}


def _builds_when_asked(space: Space) -> bool:
    """Whether the networks of a space are small enough to be built on the way; see `Space.ask`."""
    genotype = space.sample(Random(0))
    return space.ask(cast(Choose, lambda name, domain: genotype[name])) is not None
