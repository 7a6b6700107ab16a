"""A run as an Optuna study: a trial for each record, for optuna-dashboard and whatever else reads studies."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from engine.objectives import Objective
from engine.records import Record, RecordStore
from engine.results.front import Front
from engine.results.output import tell
from engine.setup import Setup
from spaces.errors import MissingExtra, RunError, UsageError
from spaces.space import Domain, Genotype, Integer, Space, Value

__all__ = ["chosen", "export_study", "fill", "serve_study"]

_HOST = "127.0.0.1"  # a dashboard lets everybody who reaches it delete the study
_STATES = {"ok": TrialState.COMPLETE, "infeasible": TrialState.PRUNED, "failed": TrialState.FAIL}


def chosen(store: RecordStore, front: Front, most: int) -> list[int]:
    """Numbers of the records to show: the front and, evenly over the run, as many others as there is room for.

    Args:
        store: The records.
        front: The front, which may be larger than there is room for.
        most: How many.
    """
    keys = {record.key for record in front.records}
    members = [record.number for record in store if record.key in keys and not record.cached]
    left = len(store) - len(members)
    room = min(max(most - len(members), 0), left)
    kept = set(members)
    others = [number for number in range(len(store)) if number not in kept]
    return sorted([*members[:most], *(others[place * left // room] for place in range(room))])


def fill(
    storage: BaseStorage, name: str, store: RecordStore, setup: Setup, front: Front, numbers: list[int]
) -> None:
    """Make a study in a storage, with a trial for every record of these numbers.

    Choices become parameters, objectives values, and all else that a record says user attributes. Infeasible
    records become pruned trials with constraints, failed ones failed trials. Records do not say when they were
    evaluated, but how long: trials follow each other up to now.

    Args:
        storage: Where to.
        name: Of the study.
        store: The records.
        setup: Of their run.
        front: Whose objectives are the values; its members are marked.
        numbers: Which records, rising.

    Raises:
        DamagedRun: A record that no run writes.
    """
    objectives = front.objectives
    members = {record.key for record in front.records}
    with _quiet():
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["maximize" if objective.direction == "max" else "minimize" for objective in objectives],
        )
        study.set_metric_names([objective.text for objective in objectives])
    study.set_user_attr("config", setup.config.to_dict())
    study.set_user_attr("records", len(store))
    distributions: dict[str, BaseDistribution] = {}
    records = [store.read(number) for number in numbers]
    end = datetime.now() - timedelta(seconds=sum(record.seconds for record in records))
    for record in records:
        if not distributions.keys() >= record.genotype.keys():
            _note_domains(setup.space, record.genotype, distributions)
        trial = _trial(record, objectives, setup, distributions, record.key in members)
        trial.datetime_start, end = end, end + timedelta(seconds=record.seconds)
        trial.datetime_complete = end
        study.add_trial(trial)


def export_study(path: Path, name: str, store: RecordStore, setup: Setup, front: Front, numbers: list[int]) -> None:
    """Write the study of `fill` as a journal file, which `optuna-dashboard FILE` shows.

    Raises:
        UsageError: The file is there already.
        RunError: It cannot be written.
    """
    if path.exists():
        raise UsageError(f"{path} is there already; a study is written to a new file: choose another --export")
    try:
        fill(JournalStorage(JournalFileBackend(str(path))), name, store, setup, front, numbers)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def serve_study(port: int, name: str, store: RecordStore, setup: Setup, front: Front, numbers: list[int]) -> None:
    """Show the study of `fill` in optuna-dashboard until somebody interrupts.

    Args:
        port: Of the local machine; 0 takes a free one.
        name: See `fill`, as the rest.
        store: Likewise.
        setup: Likewise.
        front: Likewise.
        numbers: Likewise.

    Raises:
        MissingExtra: optuna-dashboard is not installed.
        RunError: The port is taken.
    """
    try:
        import optuna_dashboard
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"the dashboard needs {error.name}, which is not installed; get it with "
            '`pip install "nas-engine[dashboard]"`, or keep the study as a file with --export FILE'
        ) from error
    storage = InMemoryStorage()
    fill(storage, name, store, setup, front, numbers)
    try:
        server = make_server(_HOST, port, optuna_dashboard.wsgi(storage), _Server, _Handler)
    except OSError as error:
        raise RunError(
            f"cannot use port {port} of {_HOST}: {error.strerror or error}; choose another with --port"
        ) from error
    with server, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Optuna has to say of importances that the page asks for
        tell(f"http://{_HOST}:{server.server_port}/ shows {len(numbers):,} of {len(store):,} records; Ctrl-C ends")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a browser keeps connections open, which must not keep us from ending


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the page asks for news every few seconds."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing every study on stderr, and what it calls experimental."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _trial(
    record: Record,
    objectives: tuple[Objective, ...],
    setup: Setup,
    distributions: dict[str, BaseDistribution],
    member: bool,
) -> FrozenTrial:
    values = [objective.value(record.scores) for objective in objectives] if record.status == "ok" else None
    told: dict[str, object] = {"record": record.number, "parent": record.parent, "key": record.key, "front": member}
    told |= {"cached": record.cached, "reason": record.reason, **record.scores}
    # A bound whose score is not known was not tried: another one was broken before.
    broken = [
        (1 if bound.sign == "<=" else -1) * (record.scores.get(bound.fitness.name, bound.limit) - bound.limit)
        for bound in setup.bounds
    ]
    return create_trial(
        state=_STATES[record.status],
        values=values,
        params=record.genotype.to_dict(),
        distributions={name: distributions[name] for name in record.genotype},
        user_attrs={name: value for name, value in told.items() if value is not None},
        system_attrs={"constraints": broken} if broken and record.status != "failed" else {},
    )


def _note_domains(space: Space, genotype: Genotype, distributions: dict[str, BaseDistribution]) -> None:
    """Learn the domains of a genotype's choices from the space; a domain depends on the choice's name only."""
    space.record(partial(_note, genotype, distributions))


def _note(genotype: Genotype, distributions: dict[str, BaseDistribution], name: str, domain: Domain, /) -> Value:
    if isinstance(domain, Integer):
        high = domain.low + (domain.count - 1) * domain.step
        distributions[name] = IntDistribution(domain.low, high, step=domain.step)
    else:
        distributions[name] = CategoricalDistribution(domain.values())
    return genotype[name]
