"""What is exported: networks that a user names in any of the ways they are named, and their weights."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.config import RunConfig
from engine.reading import check_columns
from engine.records import Record
from engine.results.front import front_in
from engine.results.pick import picked
from engine.results.scores import parse_architecture
from engine.run_folder import RunFolder
from engine.setup import Setup
from engine.training.candidate import described
from engine.training.measured import MEASURED
from engine.training.store import has_trainings, newest, trained_store, weights_of
from spaces.errors import UsageError
from spaces.network import Network
from spaces.space import Genotype

if TYPE_CHECKING:
    from fitness.lower import LoweredNetwork
    from fitness.series import SeriesSource

__all__ = ["Subject", "Wanted", "subjects"]


@dataclass(frozen=True)
class Wanted:
    """Which networks somebody asks for.

    Attributes:
        architecture: A run folder, DIR:NUMBER or DIR:best of one, genotype JSON, a benchmark's string or index.
        picks: Of a run folder: each "knee", "best" or a record's number.
        top: Of a run folder: so many spread along its front.
        objectives: Of that front; the run's own if there are none.
        seed: Fresh weights of that seed; None for trained ones where there are any, else of seed 0.
    """

    architecture: str
    picks: Sequence[str] = ()
    top: int | None = None
    objectives: Sequence[str] = ()
    seed: int | None = None


class Training(NamedTuple):
    """What training a candidate came to: its scores, and the file of its weights."""

    scores: Mapping[str, float]
    weights: Path


@dataclass(frozen=True)
class Subject:
    """One network to be exported.

    Attributes:
        name: Of its files, without an ending; a valid name in Python.
        title: What it is, for people.
        config: Of its space.
        genotype: What makes it.
        network: The layers.
        scores: Recorded by its run and its training.
        folder: Where files go if nothing else is said.
        seed: Of its weights where none are trained.
        trained: File of trained weights, if there is one.
        series: What it forecasts, if that is known.
    """

    name: str
    title: str
    config: RunConfig
    genotype: Genotype
    network: Network
    scores: Mapping[str, float]
    folder: Path
    seed: int
    trained: Path | None = None
    series: SeriesSource | None = None

    @property
    def weights(self) -> str:
        """Where its weights come from, for people."""
        return f"trained, {self.trained}" if self.trained else f"untrained, seed {self.seed}"

    @cached_property
    def module(self) -> LoweredNetwork:
        """The network with its weights, ready to be used.

        Raises:
            RunError: The file of weights cannot be read, or is of another network.
        """
        from fitness.training.checkpoint import load_weights
        from fitness.training.fit import lower_seeded

        if self.trained is not None:
            return load_weights(self.trained, self.network)
        return lower_seeded(self.network, self.seed).eval()


def subjects(wanted: Wanted, config: RunConfig, given: Collection[str]) -> list[Subject]:
    """The networks that are asked for.

    Args:
        wanted: Which.
        config: Space and table of an architecture that is of no run; its data, if that is a time series, are those
            of every network that forecasts.
        given: Fields of `config` that the user set, but for the data.

    Raises:
        UsageError: There is no such network, or an option has nothing to act upon.
        RunError: The run cannot be read, or has no feasible record.
    """
    if wanted.seed is not None and not 0 <= wanted.seed < 2**63:
        raise UsageError(f"seed is {wanted.seed}; expected a whole number from 0 to {2**63 - 1:,}")
    text = wanted.architecture
    run, colon, which = text.rpartition(":")
    if colon and not os.path.isdir(text) and (which == "best" or os.path.isdir(run)):
        if wanted.picks or wanted.top is not None:
            raise UsageError(f"{text} names a record, and so do --pick and --top; leave out one of them")
        wanted = replace(wanted, architecture=run, picks=[which])
    elif not os.path.isdir(text):
        return [_of_no_run(wanted, config)]
    if given:
        flag = "--" + sorted(given)[0].replace("_", "-")
        raise UsageError(f"{flag} changes nothing about the networks of run {wanted.architecture}; leave it out")
    return _of_run(wanted, config.data)


def _of_no_run(wanted: Wanted, config: RunConfig) -> Subject:
    if wanted.picks or wanted.top is not None or wanted.objectives:
        raise UsageError(
            f"{wanted.architecture[:80]!r} is not a run folder, so there is nothing to pick from; expected what "
            "`engine run --out` made, or leave out --pick, --top and --objective"
        )
    setup = Setup(config)
    genotype = parse_architecture(wanted.architecture, setup)
    network = setup.space.decode(genotype)
    return Subject(
        f"network_{network.key[:8]}",
        f"Network {network.key[:8]} of space {setup.space.name}",
        config,
        genotype,
        network,
        {},
        Path("exported"),
        wanted.seed or 0,
        series=None if config.data == "auto" else _series(setup, config.data),
    )


def _of_run(wanted: Wanted, data: str) -> list[Subject]:
    folder = RunFolder.read(Path(wanted.architecture))
    setup = Setup(folder.config, own_scores=MEASURED)
    setup.refer(folder.reference)
    front = front_in(folder, setup, wanted.objectives)[1] if wanted.objectives else None
    records = picked(folder.records(), setup, wanted.picks, wanted.top, front)
    trained = _trainings(folder.path) if wanted.seed is None else {}
    return [
        _of_record(record, folder, setup, trained.get(record.number), wanted.seed or 0, data) for record in records
    ]


def _of_record(
    record: Record, folder: RunFolder, setup: Setup, training: Training | None, seed: int, data: str
) -> Subject:
    return Subject(
        f"network_{record.number}",
        f"Network {record.number} of run {folder.path.resolve().name}, space {setup.space.name}",
        folder.config,
        record.genotype,
        setup.space.decode(record.genotype),
        record.scores if training is None else {**record.scores, **training.scores},
        folder.path / "exported",
        seed,
        None if training is None else training.weights,
        None if setup.space.reads == "images" else _recorded_series(record, setup, training, data),
    )


def _recorded_series(record: Record, setup: Setup, training: Training | None, data: str) -> SeriesSource | None:
    """The series that is named, or that the weights were trained on, or that of the run."""
    found = described(training.weights.parent) if training is not None else None
    own = setup.data if found is None else str(found.plan.get("data"))
    if data != "auto" and found is not None and not _same(data, own):
        raise UsageError(
            f"{data} is not what network {record.number} was trained on, {own}; expected the same rows, columns, "
            "split and scale, or --seed 0 for weights that are not trained"
        )
    return _series(setup, own if data == "auto" else data)


def _same(series: str, own: str) -> bool:
    """Whether a series is another one, wherever its file lies."""
    from fitness.series import SeriesText, load_series

    given, known = SeriesText.parse(series), SeriesText.parse(own)
    if replace(given, path="", digest="") != replace(known, path="", digest=""):
        return False
    return known.digest in ("", load_series(series).digest)


def _series(setup: Setup, data: str) -> SeriesSource | None:
    """What the networks of a setup forecast; None if they read images."""
    from fitness.series import SeriesSource

    if setup.space.reads != "series":
        return None
    check_columns(data, setup.space)
    return SeriesSource(data)


def _trainings(run: Path) -> dict[int, Training]:
    """The newest finished training of every candidate that has one, by the candidate's number."""
    if not has_trainings(run):
        return {}
    return {
        number: Training(record.scores, weights_of(run, record.number))
        for number, record in newest(trained_store(run)).items()
    }
