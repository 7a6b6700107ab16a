"""Tree-structured Parzen estimator, by Optuna.

Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter Optimization, NeurIPS 2011: one density for
the good candidates, one for the rest; of some draws from the first, the one with the largest ratio is asked.
Optuna's version: Watanabe: Tree-Structured Parzen Estimator, arXiv:2304.11127.

Differs from the papers: the first asks follow the space's own law; no genotype is asked twice; the estimator
sees a window of what was told; and of a genotype with many choices only some are drawn anew, the rest is
copied from a good one (Regis and Shoemaker, Engineering Optimization 45, 2013, do so with other models).

Measured on munas, trace+gdf without a target, eight open asks: an ask takes 14 to 18 ms of CPU at 100, 1,000
and 5,000 records, without a window 150 ms at 1,000; the best merit after 1,000 evaluations is 18.67 ± 0.13
with the window, 18.48 ± 0.08 without (4 seeds each), 18.06 ± 0.28 in random search (6 seeds). With the three
objectives of `nsga2.py` an ask takes 50 ms, most of it Optuna's ranking anew for every choice; of the box given
there 400 records of one seed cover .183, those of nsga2 .197, aging .171, random search .138.
"""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from engine.objectives import Objectives
from engine.pareto import non_dominated
from engine.records import Candidate, Record
from engine.strategies.base import check_count, stream
from engine.strategies.random import RandomSearch
from spaces.space import Domain, Genotype, Integer, Space, Value

_STARTUP = 10  # ok candidates told before anything is estimated
_TENTH = 10  # Optuna takes at most the best tenth of what it is shown for good
_TRIES = 4  # draws that repeat an earlier genotype before a random one is asked

_Merits = tuple[float, ...] | None  # None ranks behind everything: infeasible, failed or -inf


class TreeParzen:
    """See the module.

    What is shown to Optuna is kept here, in the order told; its study is a mirror of that, made when an ask
    needs one. So adopting and telling thousands of records only takes notes, and nothing is pickled.

    Args:
        space: Whose choices are Optuna's parameters.
        objectives: Any number; several are pursued by Optuna's multi-objective TPE.
        seed: Of the run.
        window: Most candidates shown to the estimator. When there are more, the best eighth of it and the
            newest are kept, two thirds of it in all.
        redrawn: Expected number of choices drawn anew per ask. Spaces with no more choices than that, such as
            those of NATS-Bench, get TPE as published.
    """

    max_objectives: ClassVar[int | None] = None

    def __init__(
        self, space: Space, objectives: Objectives, seed: int, window: int = 200, redrawn: int = 10
    ) -> None:
        check_count("window", window, least=_TENTH)
        check_count("redrawn", redrawn)
        self._space, self._objectives, self._seed = space, objectives, seed
        self._window, self._redrawn = window, redrawn
        self._random = RandomSearch(space, objectives, seed)
        self._ok = 0
        self._shown: dict[int, tuple[Genotype, _Merits]] = {}  # by number, in the order told
        self._study: Study | None = None
        self._distributions: dict[str, BaseDistribution] = {}  # a choice's domain depends on its name only

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        return self._random.ask_unless(self._estimate() if self._ok >= _STARTUP else None)

    def tell(self, record: Record) -> None:
        """See `Strategy.tell`."""
        merits = self._objectives.merits(record)
        if merits is not None and not all(merit > -math.inf for merit in merits):
            merits = None
        self._ok += merits is not None
        self._shown[record.number] = record.genotype, merits
        if self._study is not None:
            self._show(self._study, record.genotype, merits)
        self._forget()

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self._random.adopt(candidate)

    def _estimate(self) -> Candidate | None:
        """What TPE suggests; None if it keeps suggesting what was asked before."""
        rng = stream(self._seed, self._random.asked)
        study = self._study = self._study or self._materialise()
        good, common = self._best(-(-len(self._shown) // _TENTH)), self._common()
        for _ in range(_TRIES):
            parent = good[int(rng.random() * len(good))]
            choices = self._shown[parent][0]
            kept = {name: choices[name] for name in choices if rng.random() * len(choices) >= self._redrawn}
            together = {name: self._distributions[name] for name in common if name not in kept}
            study.sampler = _Sampler(rng.getrandbits(32), together)
            trial = study.ask()
            genotype = self._space.record_new(partial(self._suggest, trial, kept), self._random.fingerprints)
            study.tell(trial, state=TrialState.FAIL)  # to TPE it never was; what is told is added whole
            if hash(genotype) not in self._random.fingerprints:
                return Candidate(self._random.asked, genotype, parent if kept else None)
        return None

    def _suggest(self, trial: optuna.Trial, kept: dict[str, Value], name: str, domain: Domain, /) -> Value:
        if name in kept:
            return kept[name]
        distribution = self._distribution(name, domain)
        if isinstance(distribution, IntDistribution):
            return trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step)
        return cast(Value, trial.suggest_categorical(name, domain.values()))

    def _common(self) -> list[str]:
        """The choices that every shown genotype has: what can be drawn from a joint density."""
        genotypes = [genotype for genotype, _ in self._shown.values()]
        names = sorted(genotypes[0])
        for genotype in genotypes:
            names = [name for name in names if name in genotype]
        return [name for name in names if not self._distributions[name].single()]

    def _best(self, count: int) -> list[int]:
        """Numbers of the best that are shown, front by front; a front too long is thinned out evenly."""
        ok = {number: merits for number, (_, merits) in self._shown.items() if merits is not None}
        numbers, merits = np.array([*ok]), np.array([*ok.values()])
        best: list[int] = []
        while len(best) < count and len(numbers):
            front = non_dominated(merits)
            order = np.lexsort(merits[front].T)
            places = np.linspace(0, len(order) - 1, min(count - len(best), len(order))).round().astype(int)
            best += numbers[front][order[places]].tolist()
            numbers, merits = numbers[~front], merits[~front]
        return best

    def _forget(self) -> None:
        """Keep to the window, and to nine rejected for every ok one: TPE's best tenth is then always ok."""
        ok = sum(merits is not None for _, merits in self._shown.values())
        limit = min(self._window, _TENTH * max(ok, 1))
        if len(self._shown) > limit:
            kept = set(self._best(limit // 8 + 1))
            others = [number for number in self._shown if number not in kept]
            kept.update(others[len(kept) - 2 * limit // 3 :])
            self._shown = {number: entry for number, entry in self._shown.items() if number in kept}
            self._study = None

    def _materialise(self) -> Study:
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study on stderr
        try:
            directions = [StudyDirection.MAXIMIZE] * len(self._objectives.objectives)
            study = optuna.create_study(directions=directions, study_name="tpe")
        finally:
            optuna.logging.set_verbosity(verbosity)
        for genotype, merits in self._shown.values():
            self._show(study, genotype, merits)
        return study

    def _show(self, study: Study, genotype: Genotype, merits: _Merits) -> None:
        if not self._distributions.keys() >= genotype.keys():
            self._space.record(partial(self._note, genotype))
        study.add_trial(
            create_trial(
                state=TrialState.PRUNED if merits is None else TrialState.COMPLETE,
                values=merits,
                params=genotype.to_dict(),
                distributions={name: self._distributions[name] for name in genotype},
            )
        )

    def _note(self, genotype: Genotype, name: str, domain: Domain, /) -> Value:
        self._distribution(name, domain)
        return genotype[name]

    def _distribution(self, name: str, domain: Domain) -> BaseDistribution:
        if name not in self._distributions:
            if isinstance(domain, Integer):
                high = domain.low + (domain.count - 1) * domain.step
                self._distributions[name] = IntDistribution(domain.low, high, step=domain.step)
            else:
                self._distributions[name] = CategoricalDistribution(domain.values())
        return self._distributions[name]


class _Sampler(optuna.samplers.TPESampler):
    """Optuna's, made anew for every ask, and told which choices have a joint density.

    Multivariate: the best accuracy of nats-tss came up in 150 to 200 evaluations (8 seeds); univariate, 300
    did not always do. No group decomposition: it draws every group of choices, active or not, at several times
    the cost. No constant liar: on nats-tss with eight open asks it made no difference (10 seeds).
    """

    def __init__(self, seed: int, together: dict[str, BaseDistribution]) -> None:
        super().__init__(
            seed=seed,
            n_startup_trials=0,
            n_ei_candidates=24,
            multivariate=True,
            group=False,
            constant_liar=False,
        )
        self._together = together

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The choices to draw together; Optuna would compare the distributions of all trials to find them."""
        return self._together
