"""What a run computes besides its records, and how long that takes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from engine.score_cache import Column, scores_of
from fitness.base import Fitness
from fitness.figure_fitness import FigureFitness
from fitness.reference import SAMPLE, SEED
from fitness.scores.base import Score
from spaces.errors import RunError

if TYPE_CHECKING:
    from engine.objectives import Objective
    from engine.setup import Setup
    from spaces.space import Genotype

__all__ = ["Clock", "merits_of", "sample_scores", "without_bounded"]


@dataclass
class Clock:
    """Adds up evaluations that are in no record.

    Attributes:
        seconds: What they took when they were made, perhaps by an earlier run that kept them.
    """

    seconds: float = 0.0


def sample_scores(setup: Setup, scores: Sequence[Fitness]) -> dict[str, list[float]]:
    """Raw scores of 256 random networks, always the same ones for one space; what fails is left out.

    Raises:
        RunError: All networks fail; says why the first one did.
    """
    if not scores:
        return {}
    rng = Random(SEED)
    genotypes = [setup.space.sample(rng) for _ in range(SAMPLE)]
    samples: dict[str, list[float]] = {}
    together = [score for score in scores if isinstance(score, Score)]
    for group in ([together] if together else []) + [[score] for score in scores if score not in together]:
        evaluate = setup.evaluator_of(group)
        outcomes = [evaluate(genotype) for genotype in genotypes]
        setup.clock.seconds += sum(outcome.seconds for outcome in outcomes)
        for score in group:
            samples[score.name] = [o.scores[score.name] for o in outcomes if score.name in o.scores]
            if not samples[score.name]:
                raise RunError(f"none of the {SAMPLE} reference networks has a score: {outcomes[0].reason}")
    return samples


def merits_of(setup: Setup, objective: Objective, genotypes: Sequence[Genotype]) -> list[float]:
    """What an objective makes of many architectures: larger is better, -inf where a score failed.

    Raises:
        RunError: All of them failed; says why the first one did.
    """
    expression = objective.expression
    if expression.needs_reference and not expression.quantiles:
        expression.refer(sample_scores(setup, expression.scores))
    columns = _timed(setup, setup.raw(objective), genotypes)
    merits = []
    for row in range(len(genotypes)):
        scores = {name: column.values[row] for name, column in columns.items()}
        known = {name: value for name, value in scores.items() if value is not None}
        merits.append(objective.merit(known) if len(known) == len(scores) else -math.inf)
    if merits and max(merits) == -math.inf:
        reasons = (reason for column in columns.values() for reason in column.reasons if reason is not None)
        why = next(reasons, "all are -inf")
        raise RunError(f"none of {len(merits)} candidates can be ranked by {objective.text}: {why}")
    return merits


def without_bounded(setup: Setup, genotypes: Sequence[Genotype], merits: Sequence[float]) -> list[float]:
    """Merits of architectures, -inf for those that break a bound on a figure: asking for them would be in vain.

    Other bounds are left to the evaluation: images, or what a table knows, are not there before it.
    """
    kept = list(merits)
    for bound in setup.bounds:
        if isinstance(bound.fitness, FigureFitness):
            left = [place for place, merit in enumerate(kept) if merit > -math.inf]
            columns = _timed(setup, [bound.fitness], [genotypes[place] for place in left])
            for place, value in zip(left, columns[bound.fitness.name].values, strict=True):
                if value is None or not bound.holds(value):
                    kept[place] = -math.inf
    return kept


def _timed(setup: Setup, scores: Sequence[Fitness], genotypes: Sequence[Genotype]) -> dict[str, Column]:
    """Scores whose seconds are on the setup's clock, less the asking that waits for them: it is counted already."""
    started = time.perf_counter()
    columns = scores_of(setup, scores, genotypes, workers=setup.config.workers)
    taken = sum(sum(column.seconds) for column in columns.values())
    setup.clock.seconds += taken - (time.perf_counter() - started)
    return columns
