"""From names to parts: what a config calls by name, built and checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from engine.config import RunConfig
from engine.evaluation import Evaluator
from engine.finding import Ends, checked_fitness, named, registered_space, sampled_space
from engine.objectives import Bound, Objective, Objectives, check_bounds, read_objective, split_bound
from engine.prediction.known import Known, known_of
from engine.prediction.wiring import learner_of, predicted, predictor_of, reads_table
from engine.preparation import Clock, merits_of, sample_scores, without_bounded
from engine.reading import (
    check_columns,
    check_look_back,
    check_thresholds,
    data_of,
    ends_of,
    of_series,
    pinned,
    space_with_ends,
    suited,
)
from engine.records import Record
from engine.score_cache import ScoreCache
from engine.strategies import STRATEGIES
from engine.strategies.base import Strategy
from engine.targets import Target, find_target, kept_target
from fitness import FITNESS
from fitness.base import Fitness
from fitness.expression import Expression, Term, parse
from fitness.latency import Rates
from fitness.penalties import PENALTY_NAMES
from fitness.probing.source import ProbeSource, usable_device
from fitness.scores.base import Score
from fitness.series import SeriesSource
from spaces.errors import DamagedRun, UnknownName, UsageError
from spaces.registry import construct, takes
from spaces.space import Genotype, Space
from spaces.supernet import spaces_that_offer
from spaces.tabular import Sampled

if TYPE_CHECKING:
    from fitness.table import Table

StrategyFactory = Callable[..., Strategy]


@dataclass(frozen=True)
class Setup:
    """The parts of a run.

    Args:
        config: Names and numbers.
        own_space: Used instead of the registered space.
        own_strategy: Used instead of the registered strategy.
        own_scores: Fitness objects that expressions may name, before registered ones.
        cache: Where scores of modules are kept between runs.
        clock: Adds up what is computed besides the records.
    """

    config: RunConfig
    own_space: Space | None = None
    own_strategy: StrategyFactory | None = None
    own_scores: tuple[Fitness, ...] = ()
    cache: ScoreCache | None = None
    clock: Clock = field(default_factory=Clock, repr=False, compare=False)

    def __post_init__(self) -> None:
        names: list[str] = []
        for own in self.own_scores:
            name = checked_fitness("own score", own).name
            if not isinstance(name, str) or len(terms := parse(name)) != 1 or terms[0].name in PENALTY_NAMES:
                raise UsageError(f"own score is named {name!r}; expected a name that no penalty has, without +")
            if name in names:
                raise UsageError(f"two own scores are named {name!r}; expected different names")
            names.append(name)

    @cached_property
    def space(self) -> Space:
        """What is searched: the space, or its supernets for a strategy that relaxes."""
        plain = self._plain_space
        if not getattr(self.strategy_factory, "relaxes", False):
            return plain
        if not hasattr(plain, "relaxed"):
            raise UsageError(
                f"strategy {self.config.strategy!r} searches supernets, which space {plain.name!r} "
                f"does not offer; expected one of {', '.join(spaces_that_offer('relaxed'))}"
            )
        return plain.relaxed()  # type: ignore[no-any-return]

    @cached_property
    def _plain_space(self) -> Space:
        """The space, or the networks of it in the table if only those are searched."""
        config = self.config
        if not config.within_table:
            return self._whole_space
        if self.own_space is not None:
            return Sampled(self.own_space, self.table.architectures)
        return sampled_space(config.space, self._ends, self.table.architectures)

    @cached_property
    def _whole_space(self) -> Space:
        """The space, for the config's images or time series."""
        return self.own_space if self.own_space is not None else registered_space(self.config.space, self._ends)

    @cached_property
    def _ends(self) -> Ends:
        return ends_of(self.config)

    @cached_property
    def target(self) -> Target | None:
        """The microcontroller whose memory bounds the search."""
        return find_target(self._target)

    @cached_property
    def _target(self) -> str:
        """What is kept of the target."""
        if self.config.target == "default":
            return "mcu-256k" if self.space.name == "munas" else "none"
        return kept_target(self.config.target)

    @property
    def resolved(self) -> RunConfig:
        """The config with the defaults named that another version or machine, resuming the run, would choose."""
        looked_up = any(reads_table(self.config, score.name) for score in self.computed)
        predicts = any(score.name.startswith("predict:") for score in self.computed)
        table = self.table_paths if looked_up or self.config.within_table else self.config.table
        rank = self._rank if self.ranking is not None else None
        space = self.config.space if self.own_space is not None else space_with_ends(self.config.space, self._ends)
        return replace(
            self.config,
            space=space,
            target=self._target,
            table=table,
            rank=rank,
            predictor=self._predictor,
            known_digest=self.known.digest(self.space) if predicts else None,
            data=self.data,
            device=self.device,
        )

    @cached_property
    def table(self) -> Table:
        """The benchmark tables as one; opened when a score first needs them.

        Raises:
            UsageError: There is none, or one is of another space.
            RunError: One cannot be read.
        """
        from fitness.table import Table
        from fitness.table_space import check_holds

        table = Table.join([Table.open(path) for path in self.table_paths])
        check_holds(table, self._whole_space)
        return table

    @cached_property
    def table_paths(self) -> tuple[str, ...]:
        """The tables given, or else the imported ones of the space.

        Raises:
            UsageError: None was given or imported, or one has to be chosen; says how.
        """
        from fitness.table_space import tables_of

        return self.config.table or tuple(map(str, tables_of(self._whole_space)))

    @cached_property
    def known(self) -> Known:
        """The networks that are learnt from."""
        return known_of(self)

    def fitness(self, name: str, options: Mapping[str, object] | None = None) -> Fitness:
        """One score by name and options.

        Raises:
            UsageError: An unknown name or option.
        """
        term = Term(name, dict(options or {}))
        for own in self.own_scores:
            if parse(own.name) == (term,):
                return suited(own, self.space)
        if name.startswith("table:"):
            return self._look_up(name.removeprefix("table:"))
        if name == "table":
            raise UsageError("fitness 'table' names no column; expected table:COLUMN, a column of --table")
        if name.startswith("predict:"):
            return predicted(self, name.removeprefix("predict:"), term.options)
        if name not in FITNESS:
            known = [*FITNESS, *(own.name for own in self.own_scores), "table:COLUMN", "predict:PREDICTOR"]
            raise UnknownName("fitness", name, known)
        factory = FITNESS.load(name)
        parts: dict[str, object] = {"space": self.space} if takes(factory, "space") else {}
        if takes(factory, "rates"):
            parts["rates"] = self._rates(name)
        if takes(factory, "series"):
            parts["series"] = self._series(name)
        return suited(checked_fitness(f"fitness {name!r}", FITNESS.create(name, options or {}, parts)), self.space)

    def _rates(self, name: str) -> Rates:
        """How fast the target is.

        Raises:
            UsageError: There is no target, or nothing is known of its speed.
        """
        if self.target is not None and self.target.speed is not None:
            return self.target.speed.rates
        lack = f"target {self.target.name!r} has no rates" if self.target else "there is no target"
        raise UsageError(
            f"{name} is estimated from a board's rates, and {lack}; expected a board, e.g. --target nucleo-f746zg "
            "(`engine list targets`), or a TOML file of your own"
        )

    def _series(self, name: str) -> SeriesSource:
        """The time series that the networks forecast; it is not read yet.

        Raises:
            UsageError: They read images.
        """
        if self.space.reads != "series":
            raise UsageError(
                f"{name} is computed on a time series, and space {self.space.name!r} reads images; "
                "expected --space rnn"
            )
        config = self.config
        device = usable_device("auto") if config.device == "auto" else config.device
        return SeriesSource(self.data, config.score_seed, device, config.threads)

    def expression(self, text: str) -> Expression:
        """A fitness expression under this run's target."""
        budget = self.target.flash_budget_bytes if self.target else None
        return Expression(text, self.fitness, budget)

    def objective(self, text: str) -> Objective:
        """An expression with an optional direction: `flash_bytes:min`."""
        return read_objective(text, self.expression)

    @cached_property
    def objectives(self) -> Objectives:
        """What the search is after; quantiles are not set yet (`refer`)."""
        texts = self.config.objectives or (self.config.fitness,)
        return Objectives(tuple(self.objective(text) for text in texts), self.bounds)

    @cached_property
    def bounds(self) -> tuple[Bound, ...]:
        """The target's bounds, the user's, and for munas the bottleneck that lets an image through."""
        texts = [*(self.target.bounds_for(self.space) if self.target else ()), *self.config.bounds]
        limited_below = {name for name, sign, _ in map(split_bound, texts) if sign == ">="}
        if self.space.name == "munas" and "bottleneck" not in limited_below:
            texts.append(f"bottleneck>={-(-self.space.num_classes // 2)}")
        bounds: dict[str, Bound] = {}
        for text in texts:
            name, sign, limit = split_bound(text)
            term, *more = parse("".join(name.split()))
            if more or term.name in PENALTY_NAMES:
                raise UsageError(f"bound {text!r}; expected a bound on one score")
            bound = Bound(self.fitness(term.name, term.options), sign, limit)
            bounds[str(bound)] = bound
        check_bounds(tuple(bounds.values()))
        return tuple(bounds.values())

    @cached_property
    def recorded(self) -> tuple[Fitness, ...]:
        """Every score that goes into a record."""
        every = [score for objective in self.objectives.objectives for score in self.raw(objective)]
        if self.cost is not None:
            every.append(self.cost)
        return tuple({score.name: score for score in every}.values())

    @cached_property
    def cost(self) -> Fitness | None:
        """What training an architecture would have taken, in seconds; None for a run that simulates none.

        Raises:
            UsageError: Nothing is looked up, or the table has no such column.
        """
        if self.config.simulated_seconds is None:
            if self.config.cost is not None:
                raise UsageError(f"cost {self.config.cost!r} without simulated seconds to count; give both")
            return None
        column = self.config.cost
        if column is None:
            from fitness.table_fitness import cost_column

            looked_up = [
                score.name
                for objective in self.objectives.objectives
                for score in objective.expression.scores
                if score.name.startswith("table:")
            ]
            if not looked_up:
                raise UsageError(
                    f"{self.config.simulated_seconds:g} simulated seconds, but nothing is looked up; expected a "
                    "fitness such as table:cifar10_valid_12ep_pct, or a cost column to count"
                )
            column = cost_column(looked_up[0].removeprefix("table:"), self.table.columns)
            if column is None:
                costs = [name for name in self.table.columns if name.endswith("_s")]
                raise UsageError(
                    f"the table does not say what {looked_up[0]} cost; name a column of seconds as cost: "
                    f"{', '.join(costs) or 'it has none'}"
                )
        return self._look_up(column)

    def simulated_seconds(self, record: Record) -> float:
        """What training the architecture of a record would have taken; 0 for a run that simulates none."""
        return record.scores.get(self.cost.name, 0.0) if self.cost is not None else 0.0

    def raw(self, objective: Objective) -> list[Fitness]:
        """The raw scores that an objective is computed from."""
        expression = objective.expression
        return [*expression.scores, *(self.fitness(penalty.figure) for penalty in expression.penalties)]

    @property
    def computed(self) -> list[Fitness]:
        """Everything that a run computes, for its records, bounds and rankings."""
        ranked = self.raw(self.ranking) if self.ranking is not None else []
        return [*self.recorded, *(bound.fitness for bound in self.bounds), *ranked]

    @cached_property
    def data(self) -> str:
        """Where images or the time series come from.

        Raises:
            UsageError: No such source, or the space does not read it.
            RunError: The file of the series cannot be read.
        """
        reads = self.space.reads
        return pinned(data_of(self.config, reads, self.computed if reads == "images" else ()))

    def check_series(self) -> None:
        """Find out before a search that the time series, if one is read, is too short for some networks.

        Raises:
            UsageError: It is.
            RunError: It cannot be read.
        """
        if any(map(of_series, self.computed)):
            check_look_back(self.data, self.space)

    @cached_property
    def device(self) -> str:
        """Where modules run; left open if none do.

        Raises:
            UsageError: No such device here.
        """
        if not any(isinstance(score, Score) or of_series(score) for score in self.computed):
            return self.config.device
        return usable_device(self.config.device)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Computes the scores and tries the bounds."""
        return self.evaluator_of(self.recorded, self.bounds)

    def evaluator_of(self, scores: Sequence[Fitness], bounds: Sequence[Bound] = ()) -> Evaluator:
        """Computes some scores of this run's space, on its images or time series.

        Raises:
            UsageError: The images do not suit the scores, or the series not the space.
            RunError: They cannot be read.
        """
        config = self.config
        if any(map(of_series, scores)):
            check_columns(self.data, self.space)
            check_thresholds(scores)
        source = ProbeSource(
            self.data,
            self.space.channels_first,
            self.space.num_classes,
            config.score_seed,
            config.batch,
            self.device,  # "auto" may be another one where it is evaluated
        )
        made = Evaluator(self.space, bounds, scores, source, config.threads, self.cache)
        made.open()
        return made

    @cached_property
    def strategy_factory(self) -> object:
        """What makes the strategy; nothing is known of it but that it was found under its name."""
        return self.own_strategy or STRATEGIES.load(named("strategy", self.config.strategy, "bo(model=gp)")[0])

    @property
    def _strategy_options(self) -> dict[str, object]:
        if self.own_strategy is not None:
            return {}
        return named("strategy", self.config.strategy, "bo(model=gp)")[1]

    @cached_property
    def ranking(self) -> Objective | None:
        """What candidates are ranked by for a strategy that takes `rank`; None if it takes none.

        Raises:
            UsageError: The config ranks by something that the strategy does not ask for.
        """
        asked = takes(self.strategy_factory, "rank")
        if not asked and self.config.rank is not None:
            raise UsageError(
                f"strategy {self.config.strategy!r} ranks nothing; leave out rank {self.config.rank!r}"
            )
        return self.objective(self._rank) if asked else None

    @property
    def _rank(self) -> str:
        usual = "naswot" if self.space.reads == "images" else "mrs"
        return self.config.rank or str(getattr(self.strategy_factory, "rank_by", usual))

    @property
    def _predictor(self) -> str | None:
        return predictor_of(self.config, self.strategy_factory)

    def rank(self, genotypes: Sequence[Genotype]) -> list[float]:
        """Merits of candidates in the `ranking`, -inf for what cannot be ranked or breaks a bound on a figure."""
        assert self.ranking is not None, "only strategies that take it are given it"
        return without_bounded(self, genotypes, merits_of(self, self.ranking, genotypes))

    def strategy(self) -> Strategy:
        """A fresh strategy.

        Raises:
            UsageError: It cannot pursue that many objectives, or takes no such option.
        """
        what = f"strategy {self.config.strategy!r}"
        options = dict(self._strategy_options)
        for name in ("population", "tournament"):
            if (value := getattr(self.config, name)) is not None:
                if name in options:
                    raise UsageError(f"{what} has {name} in parentheses and as a field of its own; give it once")
                options[name] = value
        parts = {"space": self.space, "objectives": self.objectives, "seed": self.config.seed}
        if self.ranking is not None:
            parts["rank"] = self.rank
        if (learns_by := self._predictor) is not None:
            parts["predictor"] = learner_of(learns_by, self.space)
        made = construct(what, self.strategy_factory, options, parts)
        lacks = [name for name in ("ask", "tell", "adopt", "max_objectives") if not hasattr(made, name)]
        if lacks:
            raise UsageError(f"{what} lacks {', '.join(lacks)}; expected an engine.strategies.base.Strategy")
        count, most = len(self.objectives.objectives), made.max_objectives
        if most is not None and count > most:
            raise UsageError(
                f"{what} pursues at most {most} objective{'s' if most > 1 else ''}, got {count}; "
                "use nsga2, aging or tpe, or join them into one fitness with +"
            )
        strategy: Strategy = made
        return strategy

    def reference(self) -> dict[str, list[float]]:
        """Raw scores of the reference sample that combined expressions are measured against."""
        return sample_scores(self, self._referred)

    @property
    def sampled(self) -> list[str]:
        """Names of the scores whose reference sample takes long: networks have to be run for it."""
        return [score.name for score in self._referred if isinstance(score, Score) or of_series(score)]

    @property
    def _referred(self) -> list[Fitness]:
        wanted = {
            score.name: score
            for objective in self.objectives.objectives
            if objective.expression.needs_reference
            for score in objective.expression.scores
        }
        return list(wanted.values())

    def refer(self, reference: Mapping[str, Sequence[float]]) -> None:
        """Set the quantiles of the run's expressions.

        Raises:
            DamagedRun: The reference lacks a score.
        """
        for objective in self.objectives.objectives:
            if objective.expression.needs_reference:
                missing = [score.name for score in objective.expression.scores if not reference.get(score.name)]
                if missing:
                    raise DamagedRun(
                        f"the run's study.json has no reference sample of {missing[0]!r}; put back the file that "
                        "the run wrote, or run again"
                    )
                objective.expression.refer(reference)

    def _look_up(self, column: str) -> Fitness:
        from fitness.table_fitness import TableFitness

        if column not in self.table.columns:
            raise UnknownName("table column", column, self.table.columns)
        return TableFitness(column, self.table, self.space.describe)
