"""Candidate -> outcome: cheap figures first, bounds next, the rest only for what keeps them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engine.objectives import Bound
from engine.records import Status
from fitness.base import Fitness
from spaces.space import Genotype, Space

_LONGEST_REASON = 300  # characters of an error's message that go into a record


class Outcome(NamedTuple):
    """What evaluating one candidate gave; see `Record` for the fields."""

    scores: dict[str, float]
    status: Status
    reason: str | None
    seconds: float


class Evaluator:
    """Computes all recorded scores of a genotype. Can be sent to another process.

    Args:
        space: Decodes genotypes.
        bounds: Tried before anything else, the cheapest first; the first that is broken ends the evaluation.
        scores: Further scores to record.

    Attributes:
        shareable: Whether networks of one key have all their scores in common.
    """

    def __init__(self, space: Space, bounds: Sequence[Bound], scores: Sequence[Fitness]) -> None:
        self._space = space
        self._bounds = tuple(sorted(bounds, key=lambda bound: _cost(bound.fitness)))
        named = {fitness.name: fitness for fitness in scores}
        self._scores = tuple(sorted(named.values(), key=_cost))
        every = [*self._scores, *(bound.fitness for bound in self._bounds)]
        self.shareable = all(fitness.needs != "genotype" for fitness in every)
        self._own = {fitness.name for fitness in every if fitness.needs == "genotype"}

    def __call__(self, genotype: Genotype, known: Mapping[str, float] | None = None) -> Outcome:
        """Evaluate, taking over from `known` what networks of one key share."""
        started = time.perf_counter()
        scores: dict[str, float] = {}
        if known:
            scores = {name: value for name, value in known.items() if name not in self._own}
        status: Status = "ok"
        reason: str | None = None
        for bound in self._bounds:
            reason = self._add(bound.fitness, genotype, scores)
            if reason is not None:
                status = "failed"
                break
            value = scores[bound.fitness.name]
            if not bound.holds(value):
                status, reason = "infeasible", f"{bound.fitness.name} is {value}; bound {bound}"
                break
        else:
            for fitness in self._scores:
                reason = self._add(fitness, genotype, scores)
                if reason is not None:
                    status = "failed"
                    break
        return Outcome(scores, status, reason, round(time.perf_counter() - started, 6))

    def _add(self, fitness: Fitness, genotype: Genotype, scores: dict[str, float]) -> str | None:
        """Record one score; returns why it could not be computed."""
        if fitness.name in scores:
            return None
        try:
            value = fitness(self._subject(fitness, genotype))
            value = int(value) if isinstance(value, int) else float(value)
            finite = math.isfinite(value)
        except (Exception, SystemExit) as error:  # foreign code: whatever it raises belongs into the record
            return f"{fitness.name} raised {type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_REASON]}"
        if not finite:
            return f"{fitness.name} is {value}"
        scores[fitness.name] = value
        return None

    def _subject(self, fitness: Fitness, genotype: Genotype) -> Any:
        if fitness.needs == "genotype":
            return genotype
        network = self._space.decode(genotype)
        if fitness.needs == "network":
            return network
        from fitness.lower import lower

        return lower(network)


def _cost(fitness: Fitness) -> int:
    """Rank of what a fitness costs: figures of shapes, then memory planning, then anything with weights."""
    if fitness.needs == "module":
        return 3
    name = fitness.name.partition("(")[0]
    return 2 if name == "munas_peak_memory" else 1 if "peak" in name else 0
