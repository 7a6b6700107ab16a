"""Search by a predictor: learn the merits that were told, ask what is predicted to be best or is most in doubt.

White, Neiswanger, Savani: BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture Search,
AAAI 2021, arXiv:1910.11858, Algorithm 1, with any predictor in place of the ensemble. Upper confidence bound:
Srinivas, Krause, Kakade, Seeger, ICML 2010, arXiv:0912.3995, with a constant kappa. Thompson sampling here draws
every architecture on its own, the paper's independent Thompson sampling.

Differs from the paper: some of the first are the best by scores that need no training; of a finite space every
member that was not asked is a candidate; what computes the same as something asked before is passed over. Failed
and infeasible candidates are learnt as equal to the worst merit told.

Measured on nats-tss, table:cifar10_valid_200ep_pct, one ask open, 20 seeds, with predictor blend
(experiments/predictors/search.py): 15 % of the searches have asked the best cell, or one that computes the same,
after 20 cells, 60 % after 30 and 95 % after 50; aging evolution 5 %, random search none. A search of 50 takes
8 s of CPU, nearly all of it learning and predicting all 15,625 cells every five records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.base import Waiting, check_count, stream
from engine.strategies.random import RandomSearch
from spaces.errors import RunError, UnknownName, UsageError
from spaces.space import Genotype, Space

__all__ = ["Learner", "PredictorSearch"]

ACQUISITIONS = ("ucb", "thompson")
_LISTED = 100_000  # size up to which a finite space is listed
_BEST = 10  # whose neighbours are candidates in a space that is not listed
_RARER = 20  # later the share of the records that come between two fits is one in so many
_WARM_STREAM = 2**64 - 1  # of random numbers: that of an ask that never comes
_POOL_STREAM = 2**63  # of the first pool; later ones count on

Floats = NDArray[np.float64]


class Learner(Protocol):
    """What the strategy needs of a predictor; `fitness.predictors.base.Predictor` has it."""

    def fit(self, networks: Sequence[Genotype], accuracies: Sequence[float], /) -> None:
        """Learn merits of architectures, at least two."""

    def predict(self, networks: Sequence[Genotype], /) -> tuple[Floats, Floats]:
        """Means and standard deviations, (n,) and (n,)."""


class _Model(NamedTuple):
    """What was predicted after so many records."""

    told: int
    pool: list[tuple[Genotype, int | None]]  # with the number of the parent of those that have one
    mean: Floats
    std: Floats
    order: list[int]  # of the pool, by the upper confidence bound


class PredictorSearch:
    """See the module.

    Candidates are all members of a finite space of up to 100,000, elsewhere a pool: half of it moves from the ten
    best, the rest drawn at random. Until `startup` candidates are ok and told, no more are open than may complete
    them.

    Args:
        space: What to search.
        objectives: Exactly one objective.
        seed: Of the run.
        predictor: A fresh predictor, by its seed; fitted again and again, it keeps what it knows of architectures.
        rank: Scores of genotypes, larger is better, -inf for those that have none; these are not asked.
        acquisition: "ucb", the mean and kappa standard deviations, or "thompson", a draw from a normal law of kappa
            standard deviations.
        kappa: At least 0.
        startup: Candidates that are ok and told before anything is predicted, at least 2.
        warm: How many of these, the first ones asked, are the best by `rank`.
        ranked: Random architectures that are ranked for them; all of a finite space that is not larger.
        refit: Records told between two fits; of long searches a twentieth of those told.
        pool: Candidates in a space that is not listed.
    """

    max_objectives: ClassVar[int | None] = 1
    rank_by: ClassVar[str] = "params+macs"

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        predictor: Callable[[int], Learner],
        rank: Callable[[Sequence[Genotype]], Sequence[float]],
        acquisition: str = "ucb",
        kappa: float = 0.5,
        startup: int = 10,
        warm: int = 5,
        ranked: int = 1000,
        refit: int = 5,
        pool: int = 1000,
    ) -> None:
        if acquisition not in ACQUISITIONS:
            raise UnknownName("acquisition of strategy 'predictor'", acquisition, ACQUISITIONS)
        if not 0 <= kappa < math.inf:
            raise UsageError(f"kappa is {kappa!r}; expected a number of at least 0")
        check_count("startup", startup, least=2)
        check_count("warm", warm, least=0, most=startup)
        check_count("ranked", ranked, least=max(1, warm))
        check_count("refit", refit)
        check_count("pool", pool)
        self._space, self._objectives, self._seed = space, objectives, seed
        self._learner, self._rank = predictor(seed), rank
        self._thompson, self._kappa, self._refit, self._count = acquisition == "thompson", kappa, refit, pool
        self._startup, self._warm, self._ranked = startup, warm, ranked
        self._random = RandomSearch(space, objectives, seed)
        self._known: list[tuple[int, Genotype, float]] = []  # numbers, architectures, merits, in the order told
        self._asked: set[Genotype] = set()
        self._keys: dict[Genotype, str] = {}  # of what architectures compute, as far as that was wanted
        self._functions: set[str] = set()  # keys of the asked ones
        self._unread: list[Genotype] = []  # asked ones that are not among these yet
        self._ok = 0
        self._due = 0  # records that the model in force was fitted to; 0 for none
        self._model: _Model | None = None
        self._leaders: list[Genotype] | None = None  # the best by rank, best first

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        self._wait()
        candidate = self._random.ask_unless(self._propose())
        self._enter(candidate)
        return candidate

    def tell(self, record: Record) -> None:
        """See `Strategy.tell`."""
        merits = self._objectives.merits(record)
        merit = merits[0] if merits is not None and math.isfinite(merits[0]) else -math.inf
        self._ok += merit > -math.inf
        self._known.append((record.number, record.genotype, merit))
        told = len(self._known)
        if self._ok >= self._startup and (not self._due or told - self._due >= max(self._refit, told // _RARER)):
            self._due = told

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self._wait()
        self._random.adopt(candidate)
        self._enter(candidate)

    def _enter(self, candidate: Candidate) -> None:
        self._asked.add(candidate.genotype)
        self._unread.append(candidate.genotype)

    def _wait(self) -> None:
        missing = self._startup - self._ok
        if 0 < missing <= self._random.asked - len(self._known):
            raise Waiting

    def _propose(self) -> Candidate | None:
        """The next of the best by rank, or of those predicted to be; None if there is no new one."""
        number = self._random.asked
        if number < self._warm:
            return self._first(((genotype, None) for genotype in self._best_by_rank()), number)
        if not self._due:
            return None
        model = self._fitted()
        order = model.order
        if self._thompson:
            noise = np.random.default_rng(stream(self._seed, number).getrandbits(64))
            order = _descending(model.mean + self._kappa * model.std * noise.standard_normal(len(model.mean)))
        return self._first((model.pool[place] for place in order), number)

    def _first(self, candidates: Iterator[tuple[Genotype, int | None]], number: int) -> Candidate | None:
        """The first that computes something new."""
        self._functions.update(map(self._function, self._unread))
        self._unread.clear()
        for genotype, parent in candidates:
            if genotype not in self._asked and self._function(genotype) not in self._functions:
                return Candidate(number, genotype, parent)
        return None

    def _function(self, genotype: Genotype) -> str:
        if genotype not in self._keys:
            self._keys[genotype] = self._space.decode(genotype).simplified().key
        return self._keys[genotype]

    def _best_by_rank(self) -> Iterator[Genotype]:
        if self._leaders is None:
            size = self._space.size
            rng = stream(self._seed, _WARM_STREAM)
            if size is not None and size <= self._ranked:
                drawn = list(self._space.enumerate())
            else:
                drawn = list(dict.fromkeys(self._space.sample(rng) for _ in range(self._ranked)))
            scores = self._rank(drawn)
            if len(scores) != len(drawn):
                raise RunError(
                    f"rank gave {len(scores)} scores for {len(drawn)} architectures; expected one for each"
                )
            places = sorted(range(len(drawn)), key=lambda place: -scores[place])
            self._leaders = [drawn[place] for place in places if scores[place] > -math.inf]
        return iter(self._leaders)

    def _fitted(self) -> _Model:
        """What a predictor makes of the records that are due."""
        if self._model is None or self._model.told != self._due:
            known = self._known[: self._due]
            worst = min(merit for _, _, merit in known if merit > -math.inf)
            learner = self._learner
            learner.fit([genotype for _, genotype, _ in known], [max(merit, worst) for _, _, merit in known])
            pool = self._pool(known)
            mean, std = learner.predict([genotype for genotype, _ in pool])
            order = _descending(mean + self._kappa * std)
            self._model = _Model(self._due, pool, mean, std, order)
        return self._model

    def _pool(self, known: Sequence[tuple[int, Genotype, float]]) -> list[tuple[Genotype, int | None]]:
        if self._space.size is not None and self._space.size <= _LISTED:
            if self._model is not None:
                return self._model.pool
            return [(genotype, None) for genotype in self._space.enumerate()]
        rng = stream(self._seed, _POOL_STREAM + self._due)
        return list(self._drawn(known, rng).items())

    def _drawn(self, known: Sequence[tuple[int, Genotype, float]], rng: Random) -> dict[Genotype, int | None]:
        """Moves from the best, with their parents' numbers, and random members, each once."""
        ok = [one for one in known if one[2] > -math.inf]
        best = sorted(ok, key=lambda one: -one[2])[:_BEST]
        pool: dict[Genotype, int | None] = {}
        for place in range(self._count):
            near = place < self._count // 2
            number, genotype, _ = best[place % len(best)]
            drawn = self._space.move(genotype, rng) if near else self._space.sample(rng)
            pool.setdefault(drawn, number if near else None)
        return pool


def _descending(values: Floats) -> list[int]:
    """Places of values, the largest first; equal ones in their order."""
    order: list[int] = np.argsort(-values, kind="stable").tolist()
    return order
