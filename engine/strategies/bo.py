"""Bayesian optimisation: ask where a model of what was told promises the largest improvement.

Expected improvement: Jones, Schonlau, Welch: Efficient Global Optimization of Expensive Black-Box Functions,
Journal of Global Optimization 13, 1998, eq. 15. Model "forest": Hutter, Hoos, Leyton-Brown: Sequential
Model-Based Optimization for General Algorithm Configuration (SMAC), LION 2011. Model "gp": Snoek, Larochelle,
Adams: Practical Bayesian Optimization of Machine Learning Algorithms, NeurIPS 2012, arXiv:1206.2944.

Differs from the papers: the models learn normal quantiles of the merits' ranks instead of the merits (failed and
infeasible ones share the lowest rank), so that only the order of merits counts; open asks are answered with the
mean, a constant liar (Ginsbourger, Le Riche, Carraro 2010); the kernel's length and noise come from a grid.

Measured on nats-tss, table:cifar10_valid_12ep_pct, eight open asks, mean and spread over 10 seeds of the best after
50, 100 and 150; the optimum is 84.89:

    gp                  84.37 ± 0.62   84.75 ± 0.26   84.78 ± 0.23
    forest              83.91 ± 1.00   84.69 ± 0.42   84.79 ± 0.27   (of 30 trees 84.48 ± 0.90 at the end)
    tpe                 84.17 ± 0.31   84.76 ± 0.19   84.84 ± 0.09
    local               84.15 ± 0.74   84.63 ± 0.40   84.79 ± 0.27
    area (convs)        83.69 ± 1.08   84.48 ± 0.45   84.59 ± 0.34
    aging               83.59 ± 0.80   83.80 ± 0.64   84.47 ± 0.30   (of 10, tournament 3: 84.36 ± 0.70)
    random              83.59 ± 0.80   83.80 ± 0.64   84.07 ± 0.41

At the end of 10 seeds gp, forest and local have found the optimum in 8, tpe in 7, random in none. Lies of the best
or worst value, or the model's own expectation, make no difference beyond the spread (8 seeds, 100 records); merits
instead of quantiles are no better. An ask takes 20 ms of CPU at 100 to 150 records, in spaces of NDS 30 to 100 ms
at 20, in munas 0.25 s: there its 500 candidates are built, so that it pays for scores dearer than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.base import check_count, stream
from engine.strategies.random import RandomSearch
from engine.strategies.surrogate import SURROGATES, Floats
from spaces.encoding import Encoding
from spaces.errors import UnknownName
from spaces.space import Genotype, Space

_STARTUP = 10  # ok candidates told before a model is fitted
_BEST = 10  # whose neighbours are candidates
_LISTED = 100_000  # size up to which a finite space is listed
_NORMAL = NormalDist()


class BayesianOptimisation:
    """See the module.

    Candidates of an ask are neighbours of the ten best and, for the rest, random members. A finite space is listed
    once: its candidates cost next to nothing. Elsewhere they are drawn, which costs as much as the space's `ask`.

    Args:
        space: Whose choices the models learn from.
        objectives: Exactly one objective.
        seed: Of the run.
        model: "gp" or "forest".
        candidates: Number of architectures among which the expected improvement is maximised.
        window: Most records the model is fitted to: the best quarter of it and the newest.
    """

    max_objectives: ClassVar[int | None] = 1

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        model: str = "gp",
        candidates: int = 500,
        window: int = 200,
    ) -> None:
        if model not in SURROGATES:
            raise UnknownName("model of strategy 'bo'", model, SURROGATES)
        check_count("candidates", candidates)
        check_count("window", window, least=_STARTUP)
        self._space, self._objectives, self._seed = space, objectives, seed
        self._model, self._count, self._window = SURROGATES[model], candidates, window
        self._encoding = Encoding(space)
        self._random = RandomSearch(space, objectives, seed)
        self._ok = 0
        self._open: dict[int, Genotype] = {}
        self._told: dict[int, tuple[Genotype, float]] = {}  # by number, in the order told; -inf if not ok
        self._members: list[Genotype] | None = None  # of a finite space

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        candidate = self._random.ask_unless(self._improve() if self._ok >= _STARTUP else None)
        self._open[candidate.number] = candidate.genotype
        return candidate

    def tell(self, record: Record) -> None:
        """See `Strategy.tell`."""
        merits = self._objectives.merits(record)
        merit = merits[0] if merits is not None else -math.inf
        self._ok += merit > -math.inf
        self._open.pop(record.number, None)
        self._told[record.number] = record.genotype, merit
        if len(self._told) > 1.25 * self._window:
            kept = {*self._best(self._window // 4), *list(self._told)[-(self._window - self._window // 4) :]}
            self._told = {number: entry for number, entry in self._told.items() if number in kept}

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self._random.adopt(candidate)
        self._open[candidate.number] = candidate.genotype

    def _improve(self) -> Candidate | None:
        """The candidate with the largest expected improvement; None if there is no new one."""
        rng = stream(self._seed, self._random.asked)
        listed = self._space.size is not None and self._space.size <= _LISTED
        proposals = self._listed(rng) if listed else self._drawn(rng)
        if not proposals:
            return None
        genotypes, merits = zip(*self._told.values(), strict=True)
        values = _normal_quantiles(merits)
        lies = np.full(len(self._open), values.mean())
        shown = [*genotypes, *self._open.values()]
        names = sorted({name for genotype in shown for name in genotype})  # others mean nothing to a model
        known = self._encoding.rows(shown, names)
        asked = self._encoding.rows([genotype for genotype, _ in proposals], names)
        mean, deviation = self._model(known, np.concatenate([values, lies]), asked, rng.getrandbits(32))
        gain = expected_improvement(mean, deviation, float(values.max()))
        for place in np.argsort(-gain, kind="stable").tolist():
            genotype, parent = proposals[place]
            if listed or parent is None or self._differs(genotype, self._told[parent][0]):
                return Candidate(self._random.asked, genotype, parent)
        return None

    def _differs(self, one: Genotype, other: Genotype) -> bool:
        """Whether their networks do; asked only of what is to be a candidate, since it takes building them."""
        return self._space.decode(one).key != self._space.decode(other).key

    def _listed(self, rng: Random) -> list[tuple[Genotype, int | None]]:
        """New candidates of a finite space, neighbours with the number of whose they are."""
        if self._members is None:
            self._members = list(self._space.enumerate())
            self._hashes = np.array([hash(genotype) for genotype in self._members])
            self._names = list(dict.fromkeys(name for genotype in self._members for name in genotype))
            self._codes = self._encoding.codes(self._members, self._names)
        fresh = np.flatnonzero(~np.isin(self._hashes, np.fromiter(self._random.fingerprints, np.int64)))
        near: dict[int, int] = {}
        for number in self._best(_BEST):
            code = self._encoding.codes([self._told[number][0]], self._names)
            for row in fresh[(self._codes[fresh] != code).sum(axis=1) == 1].tolist():
                near.setdefault(row, number)
        rows = list(near)[: self._count // 2]
        rows += rng.sample(fresh.tolist(), min(self._count - len(rows), len(fresh)))
        return [(self._members[row], near.get(row)) for row in rows]

    def _drawn(self, rng: Random) -> list[tuple[Genotype, int | None]]:
        """New candidates: half of them a move away from the best, with the numbers of their parents."""
        best = self._best(_BEST)
        drawn: list[tuple[Genotype, int | None]] = []
        for place in range(self._count // 2):
            parent = best[place % len(best)]
            drawn.append((self._space.move(self._told[parent][0], rng), parent))
        drawn += [(self._space.sample(rng), None) for _ in range(self._count - len(drawn))]
        return [(genotype, parent) for genotype, parent in drawn if hash(genotype) not in self._random.fingerprints]

    def _best(self, count: int) -> list[int]:
        """Numbers of the best that were told, the earlier of equals first."""
        ok = [number for number, (_, merit) in self._told.items() if merit > -math.inf]
        return sorted(ok, key=lambda number: -self._told[number][1])[:count]


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """How far above `best` normal variables are expected to be, counting 0 where they are below.

    (mu - best) Phi(u) + sigma phi(u) with u = (mu - best) / sigma: Jones et al. 1998, eq. 15, for a maximum.

    Args:
        mean: (n,) mu.
        deviation: (n,) sigma, at least 0.
        best: The largest value known.

    Returns:
        (n,) expectations, at least 0.
    """
    above = mean - best
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.where(deviation > 0, above / deviation, np.where(above > 0, np.inf, -np.inf))
    probability = np.array([_NORMAL.cdf(each) for each in u.tolist()])
    density = np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    expected: Floats = np.maximum(above * probability + deviation * density, 0.0)
    return expected


def _normal_quantiles(merits: Sequence[float]) -> Floats:
    """(n,) quantiles of the standard normal law at the merits' ranks; equals share their mean rank."""
    _, places, counts = np.unique(np.array(merits), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(merits)
    return np.array([_NORMAL.inv_cdf(rank) for rank in ranks.tolist()])[places]
