"""Run a search from Python; the command line calls the same functions."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

from engine.config import RunConfig, absolute_data
from engine.executors import Evaluations, evaluations
from engine.finding import checked_fitness
from engine.prediction.wiring import check_learnt
from engine.records import Record, RecordStore
from engine.results.front import Front, best_record, front_of, parse_objectives
from engine.run_folder import RunFolder
from engine.setup import Setup, StrategyFactory
from engine.study import Study, nothing_feasible
from fitness.base import Fitness
from spaces.errors import NothingFeasible, RunError, UsageError
from spaces.space import Space

OnRecord = Callable[[Record], None]


def _ignore(record: Record) -> None: ...


def _nothing() -> None: ...


@dataclass
class Result:
    """A finished run.

    Attributes:
        setup: Space, objectives and the other parts of the run.
        path: Run folder, None for a run that was not kept.
        exhausted: Whether a finite space ended before the budget did.
    """

    setup: Setup
    path: Path | None
    exhausted: bool
    _store: RecordStore
    _asking_seconds: float

    @property
    def records(self) -> Sequence[Record]:
        """All records in order, read from disk as they are asked for."""
        return _Records(self._store)

    @property
    def search_seconds(self) -> float:
        """What the search took: asking, its evaluations, and those for its reference sample and rankings.

        An evaluation counts what it took when it was made, here, on a cluster or by an earlier run that kept it.
        """
        return self._asking_seconds + self.setup.clock.seconds + sum(record.seconds for record in self.records)

    @property
    def front(self) -> list[Record]:
        """The non-dominated records over the run's default objectives (`engine.results.front`)."""
        return self.front_over().records

    def front_over(self, objectives: Iterable[str] = ()) -> Front:
        """The front over any recorded scores, e.g. ["trace", "flash_bytes:min"]."""
        return front_of(self._store, self.setup, parse_objectives(self.setup, objectives))

    @property
    def best(self) -> Record:
        """The feasible record of greatest merit in the first objective; the earlier one of equals."""
        return best_record(self._store, self.setup)


class _Records(Sequence[Record]):
    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._store)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self._store.read(number) for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"record {index}; the run has {len(self)}")
        return self._store.read(number)


def search(
    space: str | Space = "munas",
    strategy: str | StrategyFactory = "aging",
    fitness: str | Fitness = "trace+gdf",
    *,
    objectives: Iterable[str] = (),
    bounds: Iterable[str] = (),
    target: str = "default",
    table: str | Path | Iterable[str | Path] = (),
    within_table: bool = False,
    budget: int = 1000,
    simulated_seconds: float | None = None,
    cost: str | None = None,
    open: int = 8,
    population: int | None = None,
    tournament: int | None = None,
    rank: str | None = None,
    predictor: str | None = None,
    metric: str | None = None,
    known: int | None = None,
    known_run: str | Path | None = None,
    seed: int = 0,
    workers: int = 1,
    cluster: str | None = None,
    data: str = "auto",
    batch: int | None = None,
    score_seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    out: str | Path | None = None,
    scores: Sequence[Fitness] = (),
    on_record: OnRecord = _ignore,
) -> Result:
    """Search a space without training anything.

    Args:
        space: Name of a registered space, or a space of your own.
        strategy: Name of a registered strategy, or a class made as `strategy(space, objectives, seed)`.
        fitness: Expression such as "trace+gdf", or a fitness of your own.
        objectives: Expressions with an optional :min or :max, instead of the fitness alone.
        bounds: Such as "peak_ram_bytes<=65536".
        target: Microcontroller that bounds the search, by name or as FILE.toml; "none", or "default": mcu-256k for
            munas.
        table: Benchmark table that "table:COLUMN" reads, or several; the imported one of the space if not given.
        within_table: Whether only networks of the table are searched.
        budget: Number of records, those of every status counted.
        simulated_seconds: Ends the search when training what was looked up would have taken that long.
        cost: Column of the table with those seconds; that of the looked-up accuracy if not given.
        open: Number of asks kept open; part of the run's identity.
        population: Of evolution.
        tournament: Of evolution.
        rank: Expression by which a strategy such as area ranks candidates; naswot if not given, mrs of time series,
            params+macs for strategy predictor.
        predictor: What strategy predictor learns by, e.g. "forest(features=onehot+graph)".
        metric: Column of the table, or score of trainings, that "predict:PREDICTOR" learns.
        known: Number of random networks of the table whose metric it is told; all of them if not given.
        known_run: Run whose trained candidates it learns instead.
        seed: Of every random choice.
        workers: Processes that evaluate; they change nothing but the time it takes.
        cluster: Address of a Dask scheduler whose workers evaluate instead; likewise.
        data: Images that scores of weights are computed on, e.g. "cifar10:DIR", or the time series that networks
            forecast, e.g. "csv(target=load):FILE"; "auto" takes digits where labels are needed, noise elsewhere,
            and the sine for time series.
        batch: Number of images for every such score, instead of its published one.
        score_seed: Of images and weights, the same for every architecture.
        device: "cpu", "cuda", or "auto": a GPU if there is one.
        threads: Of torch in each process; values are the same only for the same number.
        out: Folder to keep the run in; a temporary file if not given.
        scores: Fitness objects of your own that `fitness`, `objectives` and `bounds` may name.
        on_record: Called with every record as it is made.

    Returns:
        Records, front and best network.

    Raises:
        UsageError: Something is asked for that cannot be.
        RunError: The run could not be carried out, or nothing in it was feasible.
    """
    own = tuple(scores)
    if not isinstance(fitness, str):
        own, fitness = (*own, fitness), checked_fitness("fitness", fitness).name
    tables = (table,) if isinstance(table, str | Path) else table
    config = RunConfig(
        space=space if isinstance(space, str) else space.name,
        strategy=strategy if isinstance(strategy, str) else getattr(strategy, "__name__", "own"),
        fitness=fitness,
        objectives=objectives,  # type: ignore[arg-type]  # the config makes tuples of them
        bounds=bounds,  # type: ignore[arg-type]
        target=target,
        table=tuple(str(Path(each).resolve()) for each in tables),
        within_table=within_table,
        budget=budget,
        simulated_seconds=simulated_seconds,
        cost=cost,
        open=open,
        population=population,
        tournament=tournament,
        rank=rank,
        predictor=predictor,
        metric=metric,
        known=known,
        known_run=None if known_run is None else str(Path(known_run).resolve()),
        seed=seed,
        workers=workers,
        cluster=cluster,
        data=absolute_data(data),
        batch=batch,
        score_seed=score_seed,
        device=device,
        threads=threads,
        out=str(out) if out else None,
    )
    if isinstance(space, Space) and space.reads == "images":
        shape = "x".join(map(str, space.input_shape))
        config = replace(config, input_shape=shape, classes=space.num_classes)
    setup = Setup(
        config,
        None if isinstance(space, str) else space,
        None if isinstance(strategy, str) else strategy,
        own,
    )
    check_learnt(setup)
    return run(setup, on_record)


def run(setup: Setup, on_record: OnRecord = _ignore, on_start: Callable[[], None] = _nothing) -> Result:
    """Start the run of a setup; see `search`.

    Args:
        setup: What to run.
        on_record: Called with every record as it is made.
        on_start: Called when everything that a user may have got wrong has been checked.

    Raises:
        UsageError: See `search`.
        RunError: See `search`.
    """
    setup.strategy()  # a wrong option is found before the folder is made, and so is
    if setup.config.table:
        _ = setup.table  # a wrong table, even if no score of this run reads it
    names = [score.name for score in setup.computed]
    if any(name.startswith("table:") for name in names):
        from fitness.table_space import check_looked_up

        check_looked_up(setup.space, names)
    setup.check_series()
    reference = setup.reference()
    setup.refer(reference)
    with closing(_evaluations(setup)) as runner:
        if setup.config.out is None:
            on_start()
            return _continue(setup, runner, None, RecordStore(), on_record)
        folder, store = RunFolder.create(Path(setup.config.out), setup.resolved, reference)
        on_start()
        return _continue(setup, runner, folder, store, on_record)


def resume(
    path: str | Path,
    budget: int | None = None,
    *,
    simulated_seconds: float | None = None,
    workers: int = 1,
    cluster: str | None = None,
    space: Space | None = None,
    strategy: StrategyFactory | None = None,
    scores: Sequence[Fitness] = (),
    on_record: OnRecord = _ignore,
) -> Result:
    """Continue a run; it ends with the records that it would have had without the interruption.

    Args:
        path: The run folder.
        budget: New total number of records; the run's own if not given.
        simulated_seconds: Likewise of seconds of training.
        workers: Processes that evaluate.
        cluster: See `search`.
        space: The run's space, if it was one of your own; likewise strategy and scores.
        strategy: See `space`.
        scores: See `space`.
        on_record: Called with every record, those read back included.

    Raises:
        UsageError: Not a run, or a budget below what is recorded.
        RunError: See `search`.
    """
    folder, setup = reopen(Path(path), budget, simulated_seconds, workers, cluster, space, strategy, scores)
    return go_on(folder, setup, on_record)


def reopen(
    path: Path,
    budget: int | None = None,
    simulated_seconds: float | None = None,
    workers: int = 1,
    cluster: str | None = None,
    space: Space | None = None,
    strategy: StrategyFactory | None = None,
    scores: Sequence[Fitness] = (),
) -> tuple[RunFolder, Setup]:
    """A run folder and the setup to continue it with; see `resume`."""
    folder = RunFolder.read(path)
    config = replace(folder.config, workers=workers, cluster=cluster, out=str(path))
    if budget is not None:
        config = replace(config, budget=budget)
    if simulated_seconds is not None:
        config = replace(config, simulated_seconds=simulated_seconds)
    return folder, Setup(config, space, strategy, tuple(scores))


def go_on(
    folder: RunFolder, setup: Setup, on_record: OnRecord = _ignore, on_start: Callable[[], None] = _nothing
) -> Result:
    """Continue the run in a folder; see `resume` and `run`."""
    setup.strategy()
    setup.refer(folder.reference)
    store = folder.records(write=True)
    budget, held = setup.config.budget, len(store)
    if budget < held:
        store.finish()
        raise UsageError(f"budget {budget}, but {folder.path} holds {held} records; expected at least {held}")
    with closing(_evaluations(setup)) as runner:
        folder.config, folder.state = setup.resolved, "running"
        folder.save()
        on_start()
        return _continue(setup, runner, folder, store, on_record)


def _evaluations(setup: Setup) -> Evaluations:
    return evaluations(setup.evaluator, setup.config.workers, setup.config.cluster)


@contextmanager
def _unhurried_collector() -> Iterator[None]:
    """Look for cyclic garbage less often.

    A search makes many small tuples and no cycles; looking for some took a third of its time.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def _continue(
    setup: Setup, runner: Evaluations, folder: RunFolder | None, store: RecordStore, on_record: OnRecord
) -> Result:
    """Run the loop to the budget and leave the folder saying how it ended."""
    config = setup.config
    allowance = math.inf if config.simulated_seconds is None else config.simulated_seconds
    study = Study(
        setup.space,
        setup.strategy(),
        runner,
        setup.evaluator.shareable,
        store,
        config.open,
        setup.simulated_seconds,
        allowance,
    )
    try:
        with _unhurried_collector():
            study.run(config.budget, on_record)
        _leave(folder, "finished", store)
    except BaseException as error:
        # What ended the run is worth more to its user than that the folder could not be told.
        with suppress(RunError):
            _leave(folder, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed", store)
        raise
    if not study.feasible:
        raise NothingFeasible(nothing_feasible(study.rejections, len(store)))
    return Result(setup, folder.path if folder else None, study.exhausted, store, study.asking_seconds)


def _leave(folder: RunFolder | None, state: str, store: RecordStore) -> None:
    store.finish()
    if folder:
        folder.state = state
        folder.save()
