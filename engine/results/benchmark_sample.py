"""Architectures of a benchmark with a metric that its table knows, and their scores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from engine.objectives import Objective
from engine.score_cache import Column, scores_of
from engine.setup import Setup
from fitness.base import Fitness
from fitness.figure_fitness import FigureFitness
from fitness.trace import Trace
from spaces.errors import RunError, UntrustedFile
from spaces.space import Additive, Genotype

__all__ = ["OnScored", "raw_scores", "sample_known"]

OnScored = Callable[[int, int], None]

_SUMS = ("params", "macs", "n_relu", "trace", "aleph", "flash_bytes")  # over all layers, and exact: whole numbers
_MANY = 2000  # networks from which the sums of the whole space are quicker than one network after another


def sample_known(setup: Setup, metric: str, wanted: int | None) -> tuple[list[Genotype], NDArray[np.float64], int]:
    """Networks that the table knows the metric of, without repeats.

    They are drawn by the setup's seed, one after another: a smaller sample is the beginning of a larger one.

    Args:
        setup: Space, table and seed.
        metric: Column of the table.
        wanted: Number of networks; None for all, in the table's order.

    Returns:
        The networks, (networks,) values of the metric, and for how many the table was asked in vain.

    Raises:
        RunError: The table knows fewer than two.
    """
    table = setup.table
    column = table.column(metric)
    numbers = list(range(len(table)))
    if wanted is not None and wanted < len(numbers):
        Random(setup.config.seed).shuffle(numbers)
    chosen: list[int] = []
    truth: list[float] = []
    missing = 0
    for number in numbers:
        if len(chosen) == wanted:
            break
        try:
            value = column[number]
        except UntrustedFile:
            raise
        except RunError:  # an archive without this architecture's results
            value = math.nan
        if math.isnan(value):
            missing += 1
        else:
            chosen.append(number)
            truth.append(value)
    if len(chosen) < 2:
        raise RunError(f"{table.path} knows {metric} of {len(chosen)} architectures; expected at least 2")
    return _genotypes(setup, [table.architecture(number) for number in chosen]), np.array(truth), missing


def _genotypes(setup: Setup, texts: list[str]) -> list[Genotype]:
    """The architectures of some strings; many of a space that lists itself quickly, without building any."""
    if not _quickly_summed(setup, len(texts)):
        return [setup.space.parse(text) for text in texts]
    listed = {setup.space.describe(genotype): genotype for genotype in setup.space.enumerate()}
    return [listed[text] if text in listed else setup.space.parse(text) for text in texts]


def _quickly_summed(setup: Setup, networks: int) -> bool:
    return networks >= _MANY and isinstance(getattr(setup.space, "additive", None), Additive)


def raw_scores(
    setup: Setup,
    objectives: Sequence[Objective],
    genotypes: Sequence[Genotype],
    on_scored: OnScored,
    known: Mapping[str, Column] = MappingProxyType({}),
) -> dict[str, Column]:
    """Every raw score that the objectives are made of, by name.

    Args:
        setup: Space, images and workers.
        objectives: What is to be computed from them.
        genotypes: Of the setup's space.
        on_scored: Called with the number of values done and wanted.
        known: Those that are not to be computed again.

    Raises:
        UsageError: The images do not suit the scores.
        RunError: They cannot be read.
    """
    raw: dict[str, Fitness] = {}
    for objective in objectives:
        expression = objective.expression
        raw |= {score.name: score for score in expression.scores}
        raw |= {penalty.figure: setup.fitness(penalty.figure) for penalty in expression.penalties}
    columns = dict(known)
    if _quickly_summed(setup, len(genotypes)):
        own = [
            score for name, score in raw.items() if name not in known and isinstance(score, FigureFitness | Trace)
        ]
        columns |= _sums(setup, [score for score in own if score.name in _SUMS], genotypes)
    rest = [score for name, score in raw.items() if name not in columns]
    return columns | scores_of(setup, rest, genotypes, workers=setup.config.workers, on_scored=on_scored)


def _sums(setup: Setup, scores: Sequence[Fitness], genotypes: Sequence[Genotype]) -> dict[str, Column]:
    from fitness.whole_space import figure_of_all

    places = {genotype: place for place, genotype in enumerate(setup.space.enumerate())}
    wanted = [places[genotype] for genotype in genotypes]
    columns = {}
    for score in scores:
        started = time.perf_counter()
        everything = figure_of_all(setup.space, score)
        seconds = (time.perf_counter() - started) / len(everything)
        values: list[float | None] = everything[wanted].tolist()
        columns[score.name] = Column(values, [seconds] * len(values), [None] * len(values))
    return columns
