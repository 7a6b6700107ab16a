"""How well training-free scores rank the architectures of a benchmark.

Every score sees the same networks, images and weight seed; one that fails ranks the network last and is counted.
The trivial baselines are always beside: on the size space the number of parameters beats most published scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.objectives import Objective, split_direction
from engine.preparation import sample_scores
from engine.results.benchmark_sample import OnScored, raw_scores, sample_known
from engine.results.bootstrap import Interval, agreement_intervals
from engine.results.limits import Banded, Estimate, Limits, ranked_in_bands
from engine.results.regret import mean_regrets, regrets_of_random
from engine.results.statistics import kendall_tau_b, ndcg, spearman, top_k_overlap
from engine.score_cache import Column
from engine.setup import Setup
from spaces.errors import RunError, UsageError
from spaces.space import Space

__all__ = ["BASELINES", "MEASURES", "Asked", "Correlation", "Estimate", "Row", "baselines_of", "correlate"]

Floats = NDArray[np.float64]

BASELINES = ("params", "macs", "n_relu", "aleph")
SMALL_BASELINES = ("bottleneck", "flash_bytes", "peak_ram_bytes")  # of networks for microcontrollers
MEASURES = ("tau", "rho", "top_k", "ndcg")


@dataclass(frozen=True)
class Asked:
    """What to correlate with, and how.

    Attributes:
        metric: Column of the table, with an optional :min or :max.
        sample: Number of networks, or None for all that the table knows.
        k: Number of networks at the top, or a share of the sample: "10%".
        level: Of the intervals.
        resamples: Of the bootstrap; 0 for no intervals.
        by: Limits of bands within which the scores rank too, or None.
        budgets: Limits within which the best scored are trained, for the regret; or None.
        trained: How many are trained, each number in turn.
    """

    metric: str
    sample: int | None = 1000
    k: str = "10%"
    level: float = 0.95
    resamples: int = 1000
    by: Limits | None = None
    budgets: Limits | None = None
    trained: tuple[int, ...] = (1, 3)

    def __post_init__(self) -> None:
        if self.sample is not None and self.sample < 2:
            raise UsageError(f"sample of {self.sample} networks; expected at least 2, or all")
        if not 0 < self.level < 1:
            raise UsageError(f"level {self.level:g}; expected a share between 0 and 1, e.g. 0.95")
        if self.resamples != 0 and not 10 <= self.resamples <= 100_000:
            raise UsageError(f"{self.resamples} resamples; expected 10 to 100,000, or 0 for no intervals")
        if not self.trained or min(self.trained) < 1:
            given = ",".join(map(str, self.trained)) or "not given"
            raise UsageError(f"number of networks to train is {given}; expected 1 or more, or several: 1,3")
        self.places(100)

    def places(self, networks: int) -> int:
        """`k` as a number.

        Raises:
            UsageError: It is not one, or more than there are networks.
        """
        text = self.k.strip()
        try:
            share = float(text.removesuffix("%")) / 100 if text.endswith("%") else None
            k = int(text) if share is None else max(1, round(share * networks))
        except (ValueError, OverflowError):
            raise UsageError(
                f"k is {self.k[:40]!r}; expected a number such as 100 or a share such as 10%"
            ) from None
        if share is not None and not 0 < share <= 1:
            raise UsageError(f"k is {self.k!r}; expected a share from 0% to 100%")
        if k < 1:
            raise UsageError(f"k is {k}; expected at least 1")
        return k


@dataclass(frozen=True)
class Row:
    """One score.

    Attributes:
        name: The expression.
        kind: Whether it was asked for or stands beside.
        direction: Which way it was ranked.
        measures: By name, see `MEASURES`.
        failed: Number of networks it has no value of.
        reason: Why the first of them failed.
        seconds: Mean time for one network.
        values: (networks,) raw, nan where it failed.
        banded: Its tau within bands; None if none were asked for.
        regrets: (budgets, trained) see `engine.results.regret.mean_regrets`; None if they were not asked for.
    """

    name: str
    kind: Literal["score", "baseline"]
    direction: str
    measures: dict[str, Estimate]
    failed: int
    reason: str | None
    seconds: float
    values: Floats
    banded: Banded | None = None
    regrets: Floats | None = None


@dataclass(frozen=True)
class Correlation:
    """Scores against a metric on the same networks.

    Attributes:
        space: Name of the space.
        asked: What was asked for.
        metric: Name of the column.
        direction: Which way of the metric is better.
        k: Number of networks at the top.
        known: Number of architectures in the table.
        missing: Number of those tried whose metric the table does not know.
        whole: Whether these are all networks of the space.
        seed: Of the sample and the resamples.
        truth: (networks,) the metric.
        rows: The scores, of greatest tau first.
        random: (budgets, trained) regrets of training random networks; None if they were not asked for.
        figures: (networks,) what the limits are on, by name; nan where it is not known.
    """

    space: str
    asked: Asked
    metric: str
    direction: str
    k: int
    known: int
    missing: int
    whole: bool
    seed: int
    truth: Floats
    rows: tuple[Row, ...]
    random: Floats | None = None
    figures: Mapping[str, Floats] = field(default_factory=dict)


def baselines_of(space: Space) -> tuple[str, ...]:
    """Figures that stand beside the scores of a space: whatever is worth computing beats them."""
    return (*BASELINES, *SMALL_BASELINES) if space.name == "munas" else BASELINES


def correlate(setup: Setup, asked: Asked, on_scored: OnScored = lambda done, wanted: None) -> Correlation:
    """Correlate the setup's objectives, and the baselines, with a metric of its table.

    The networks are drawn by the setup's seed: a smaller sample is the beginning of a larger one. For a metric
    that is a cost, the baselines too are better when smaller.

    Args:
        setup: Space, table, scores (its objectives), images and seed.
        asked: Metric, sample and statistics.
        on_scored: Called with the number of values done and wanted.

    Raises:
        UsageError: No table, an unknown column, k exceeds the sample, or no network is within any of the limits.
        RunError: The table knows too little, or no score has a value.
    """
    name, turned = split_direction(asked.metric)
    metric = setup.fitness(f"table:{name}")
    direction = turned or metric.direction
    genotypes, truth, missing = sample_known(setup, name, asked.sample)
    if truth.min() == truth.max():
        raise RunError(
            f"{name} is {truth[0]:g} for all {len(truth)} networks: nothing to rank; choose another column"
        )
    k = asked.places(len(truth))
    if k > len(truth):
        raise UsageError(
            f"k is {k}; expected at most the {len(truth)} networks of the sample, or a share such as 10%"
        )
    asked_for = _asked_for(setup)
    objectives = asked_for | _beside(setup, asked_for, direction)
    limits = {limited.figure: setup.objective(limited.figure) for limited in (asked.by, asked.budgets) if limited}
    columns = raw_scores(setup, list(limits.values()), genotypes, on_scored) if limits else {}
    figures = {figure: _evaluated(setup, objective, columns)[0] for figure, objective in limits.items()}
    _check_limits(asked, figures)
    columns = raw_scores(setup, list(objectives.values()), genotypes, on_scored, columns)
    whole, seed = setup.space.size == len(truth), setup.config.seed
    merits = truth if direction == "max" else -truth
    baselines = baselines_of(setup.space)
    rows = []
    for text, objective in objectives.items():
        values, ranking, reason, seconds = _evaluated(setup, objective, columns)
        rows.append(
            Row(
                text,
                "baseline" if objective.text in baselines else "score",
                objective.direction,
                _measured(ranking, merits, k, asked, seed, whole),
                int(np.isnan(values).sum()),
                reason,
                seconds,
                values,
                _banded(ranking, merits, figures, asked, seed, whole),
                _regrets(ranking, merits, figures, asked, seed),
            )
        )
    mine = [row for row in rows if row.name in asked_for]
    if all(row.failed == len(truth) for row in mine):
        raise RunError(f"{mine[0].name} failed for all {len(truth)} networks: {mine[0].reason}")
    rows.sort(key=lambda row: np.nan_to_num(-row.measures["tau"].value, nan=2.0))
    return Correlation(
        setup.space.name,
        asked,
        name,
        direction,
        k,
        len(setup.table),
        missing,
        whole,
        seed,
        truth,
        tuple(rows),
        _regrets(None, merits, figures, asked, seed),
        figures,
    )


def _check_limits(asked: Asked, figures: Mapping[str, Floats]) -> None:
    """Refuse limits that say nothing of any network, before anything dearer is computed."""
    if asked.by is not None:
        empty = asked.by.without(figures[asked.by.figure], bands=True)
        if len(empty) == len(asked.by.between):
            raise UsageError(f"{empty[0]}; expected bands with two networks or more")
        if max(asked.by.in_bands(figures[asked.by.figure])) < 2:
            raise UsageError(f"no band of {asked.by.figure} has more than one network; expected wider ones")
    if asked.budgets is not None:
        empty = asked.budgets.without(figures[asked.budgets.figure], bands=False)
        if len(empty) == len(asked.budgets.numbers):
            raise UsageError(f"{empty[-1]}; expected a limit that some keep")


def _asked_for(setup: Setup) -> dict[str, Objective]:
    """The setup's objectives by their texts, directions included."""
    texts = setup.config.objectives or (setup.config.fitness,)
    return dict(zip(texts, setup.objectives.objectives, strict=True))


def _beside(setup: Setup, asked_for: dict[str, Objective], direction: str) -> dict[str, Objective]:
    """The baselines that were not asked for: larger ones are taken for better networks, or for dearer ones."""
    known = {objective.text for objective in asked_for.values()}
    beside = {}
    for name in baselines_of(setup.space):
        text = name if setup.objective(name).direction == direction else f"{name}:{direction}"
        if name not in known:
            beside[text] = setup.objective(text)
    return beside


def _evaluated(
    setup: Setup, objective: Objective, columns: dict[str, Column]
) -> tuple[Floats, Floats, str | None, float]:
    """Values as people see them, what is ranked, why the first one failed, and seconds a network."""
    expression = objective.expression
    used = {name: columns[name] for name in expression.recorded}
    if expression.needs_reference:
        expression.refer(sample_scores(setup, expression.scores))
    values, ranking = [], []
    reason = None
    for number, row in enumerate(zip(*(column.values for column in used.values()), strict=True)):
        scores = {name: value for name, value in zip(used, row, strict=True) if value is not None}
        if len(scores) == len(used):
            values.append(objective.value(scores))
            ranking.append(objective.merit(scores))
        else:
            values.append(math.nan)
            ranking.append(-math.inf)
            reason = reason or next(text for column in used.values() if (text := column.reasons[number]))
    seconds = sum(float(np.mean(column.seconds)) for column in used.values())
    return np.array(values, dtype=np.float64), np.array(ranking, dtype=np.float64), reason, seconds


def _measured(ranking: Floats, truth: Floats, k: int, asked: Asked, seed: int, whole: bool) -> dict[str, Estimate]:
    values = {
        "tau": kendall_tau_b(ranking, truth),
        "rho": spearman(ranking, truth),
        "top_k": top_k_overlap(ranking, truth, k),
        "ndcg": ndcg(ranking, truth, k),
    }
    intervals: dict[str, Interval] = {}
    if asked.resamples and not whole and not math.isnan(values["tau"]):
        intervals = agreement_intervals(ranking, truth, k, level=asked.level, resamples=asked.resamples, seed=seed)
    return {name: Estimate(values[name], intervals.get(name)) for name in MEASURES}


def _banded(
    ranking: Floats, merits: Floats, figures: dict[str, Floats], asked: Asked, seed: int, whole: bool
) -> Banded | None:
    if asked.by is None:
        return None
    resamples = 0 if whole else asked.resamples
    figure = figures[asked.by.figure]
    return ranked_in_bands(ranking, merits, figure, asked.by, level=asked.level, resamples=resamples, seed=seed)


def _regrets(
    ranking: Floats | None, merits: Floats, figures: dict[str, Floats], asked: Asked, seed: int
) -> Floats | None:
    """Of a ranking, or of none: of random networks."""
    if asked.budgets is None:
        return None
    figure, numbers = figures[asked.budgets.figure], asked.budgets.numbers
    if ranking is None:
        return regrets_of_random(merits, figure, numbers, asked.trained, seed)
    return mean_regrets(ranking, merits, figure, numbers, asked.trained, seed)
