"""Tree-structured Parzen estimator, Optuna's, behind ask and tell.

Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; Watanabe:
Tree-Structured Parzen Estimator, arXiv:2304.11127. Good candidates and the rest each get a density estimate; the
next candidate maximises their ratio.

The sampler is pinned (multivariate, constant liar) and made anew for every ask from (seed, ask), so nothing has to
be pickled and a resumed run goes on exactly. The first asks follow the space's own law. A candidate that breaks a
bound or fails counts as pruned, which ranks behind every complete one.

Cost: an ask grows with the number of candidates the estimator sees, to about a second at ten thousand on `munas`.
It therefore sees a window of at most `window` candidates, cut back to the 25 best (all that its good side uses) and
the newest ones whenever it is full. An ask on `munas` then takes 25 to 50 ms however long the run.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import Trial, TrialState, create_trial

from engine.objectives import Objectives
from engine.pareto import non_dominated
from engine.records import Candidate, Record
from engine.strategies.base import stream
from spaces.errors import UsageError
from spaces.space import Domain, Genotype, Integer, Space, Value

STARTUP = 20  # asks that follow the space's law
_BEST = 25  # TPE's default gamma never takes more candidates for good ones
_REDRAWS = 4  # draws before a genotype that was asked before is asked again
_Merits = tuple[float, ...] | None


class TreeParzen:
    """See the module.

    Args:
        space: Whose choices become the parameters.
        objectives: Any number; several use Optuna's multi-objective TPE.
        seed: Of the run.
        window: Most finished candidates that the estimator sees.
    """

    max_objectives: ClassVar[int | None] = None

    def __init__(self, space: Space, objectives: Objectives, seed: int, window: int = 200) -> None:
        if window < 2 * _BEST:
            raise UsageError(f"window {window}; expected at least {2 * _BEST}")
        self._space, self._objectives, self._seed, self._window = space, objectives, seed, window
        self._asked = 0
        self._open: dict[int, Genotype] = {}
        self._told: dict[int, tuple[Genotype, _Merits]] = {}  # by number, ascending; the window
        self._seen: set[int] = set()
        self._distributions: dict[str, BaseDistribution] = {}
        self._study: optuna.Study | None = None  # of the window; made when the next ask needs it
        self._trials: dict[int, int] = {}  # candidate number -> trial number in the study

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        number = self._asked
        rng = stream(self._seed, number)
        if number < STARTUP:
            candidate = Candidate(number, self._space.sample(rng))
            self.adopt(candidate)
            return candidate
        study = self._study or self._materialise()
        for attempt in range(_REDRAWS):
            study.sampler = _sampler(rng.getrandbits(32))
            trial = study.ask()
            genotype = self._space.record(_Suggest(trial, self._distributions))
            if hash(genotype) not in self._seen or attempt == _REDRAWS - 1:
                break
            study.tell(trial, state=TrialState.FAIL)  # forgotten: the estimator ignores failed trials
        self._trials[number] = trial.number
        self._enter(number, genotype)
        return Candidate(number, genotype)

    def tell(self, record: Record) -> None:
        """See `Strategy.tell`."""
        genotype = self._open.pop(record.number)
        merits = self._objectives.merits(record)
        if merits is not None and not np.isfinite(merits).all():
            merits = None
        self._told[record.number] = genotype, merits
        if self._study is not None:
            state = TrialState.PRUNED if merits is None else None
            self._study.tell(self._trials.pop(record.number), merits, state=state)
        if len(self._told) > self._window:
            self._cut_back()

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        if self._study is not None:
            self._add(self._study, candidate.number, candidate.genotype, TrialState.RUNNING, None)
        self._enter(candidate.number, candidate.genotype)

    def _enter(self, number: int, genotype: Genotype) -> None:
        self._open[number] = genotype
        self._seen.add(hash(genotype))
        self._asked += 1

    def _cut_back(self) -> None:
        """Forget all but the best and the newest; the study is made again from what is left."""
        finished = {number: merits for number, (_, merits) in self._told.items() if merits is not None}
        best = _best(finished)[:_BEST]
        newest = [number for number in reversed(self._told) if number not in set(best)]
        kept = sorted([*best, *newest[: 2 * self._window // 3 - len(best)]])
        self._told = {number: self._told[number] for number in kept}
        self._study = None

    def _materialise(self) -> optuna.Study:
        """An Optuna study of the window and the open asks, in ask order."""
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            directions = [optuna.study.StudyDirection.MAXIMIZE] * len(self._objectives.objectives)
            self._study = study = optuna.create_study(directions=directions)
        finally:
            optuna.logging.set_verbosity(verbosity)
        self._trials = {}
        for number in sorted([*self._told, *self._open]):
            if number in self._open:
                self._add(study, number, self._open[number], TrialState.RUNNING, None)
            else:
                genotype, merits = self._told[number]
                state = TrialState.PRUNED if merits is None else TrialState.COMPLETE
                self._add(study, number, genotype, state, merits)
        return study

    def _add(
        self, study: optuna.Study, number: int, genotype: Genotype, state: TrialState, merits: _Merits
    ) -> None:
        if any(name not in self._distributions for name in genotype):
            self._space.record(_Note(genotype, self._distributions))
        self._trials[number] = len(study.get_trials(deepcopy=False))
        study.add_trial(
            create_trial(
                state=state,
                values=merits,
                params=genotype.to_dict(),
                distributions={name: self._distributions[name] for name in genotype},
            )
        )


class _Suggest:
    """Answers a space's choices from an Optuna trial, and keeps the distributions."""

    def __init__(self, trial: Trial, distributions: dict[str, BaseDistribution]) -> None:
        self._trial, self._distributions = trial, distributions

    def __call__(self, name: str, domain: Domain) -> Value:
        distribution = self._distributions.setdefault(name, _distribution(domain))
        if isinstance(distribution, IntDistribution):
            return self._trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step)
        assert isinstance(distribution, CategoricalDistribution)
        value: Value = self._trial.suggest_categorical(name, distribution.choices)  # type: ignore[assignment]
        return value


class _Note:
    """Answers a space's choices from a genotype, and keeps the distributions."""

    def __init__(self, genotype: Genotype, distributions: dict[str, BaseDistribution]) -> None:
        self._genotype, self._distributions = genotype, distributions

    def __call__(self, name: str, domain: Domain) -> Value:
        self._distributions.setdefault(name, _distribution(domain))
        return self._genotype[name]


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Integer):
        return IntDistribution(domain.low, domain.low + (domain.count - 1) * domain.step, step=domain.step)
    return CategoricalDistribution(domain.values())


def _sampler(seed: int) -> optuna.samplers.TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=0,
            n_ei_candidates=24,
            multivariate=True,
            group=False,
            constant_liar=True,
        )


def _best(merits: dict[int, tuple[float, ...]]) -> list[int]:
    """Numbers from the best on; with several objectives those that no other beats, the newest first."""
    numbers: Iterable[int] = merits
    if merits and len(next(iter(merits.values()))) > 1:
        mask = non_dominated(np.array(list(merits.values())))
        return [number for number, keep in zip(merits, mask, strict=True) if keep][::-1]
    return sorted(numbers, key=lambda number: (-merits[number][0], number))
