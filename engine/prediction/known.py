"""Known networks: random ones of a benchmark's table, or those that a run has trained."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from math import isfinite
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from fitness.base import Direction
from spaces.errors import RunError, UnknownName, UsageError
from spaces.nats import NatsTss
from spaces.space import Genotype, Space

if TYPE_CHECKING:
    from engine.setup import Setup

__all__ = ["Known", "function_of", "known_of", "others_of_table"]

_LEARNT = {"images": "validation_accuracy", "series": "validation_mae"}
"""What is learnt of trainings, by what networks read: what is chosen by it is judged by test scores, which stay
unseen."""


@dataclass(frozen=True)
class Known:
    """Networks and what is known of them.

    Attributes:
        source: Where from, for people.
        metric: Name of what is known.
        direction: Whether more of it is better.
        unit: Its unit.
        networks: Genotypes.
        values: One for each.
    """

    source: str
    metric: str
    direction: Direction
    unit: str
    networks: tuple[Genotype, ...]
    values: tuple[float, ...]

    def merits(self) -> list[float]:
        """The values, turned so that larger is better."""
        return [self.turned(value) for value in self.values]

    def turned(self, value: float) -> float:
        """A value as a merit, or a merit as a value."""
        return value if self.direction == "max" else -value

    def digest(self, space: Space) -> str:
        """16 hexadecimal digits: the same for the same networks and values in the same order."""
        lines = [
            f"{space.describe(genotype)} {value!r}"
            for genotype, value in zip(self.networks, self.values, strict=True)
        ]
        return hashlib.sha256("\n".join([self.metric, *lines]).encode()).hexdigest()[:16]


def known_of(setup: Setup) -> Known:
    """What the config of a setup says is known: `known` random rows of its table, or the trainings of `known_run`.

    Raises:
        UsageError: Nothing, or what is asked for is not there; says what to give.
        RunError: Too little is known, or not what was known when the run began.
    """
    config = setup.config
    if config.known_run is not None:
        if config.known is not None:
            raise UsageError(
                f"known is {config.known} of the table's networks and known_run {config.known_run!r}; "
                "expected one of them"
            )
        found = _of_run(Path(config.known_run), setup.space, config.metric)
    else:
        found = _of_table(setup, config.metric, config.known)
    if config.known_digest is not None and config.known_digest != (now := found.digest(setup.space)):
        raise RunError(
            f"the {len(found.networks)} known networks of {found.source} are not those that this run began with "
            f"(digest {now}, was {config.known_digest}); put them back, or run again"
        )
    return found


def _of_table(setup: Setup, metric: str | None, count: int | None) -> Known:
    """Random networks of the setup's table, drawn by its seed; of a count of them no two compute the same."""
    from engine.objectives import split_direction
    from engine.results.benchmark_sample import sample_known

    if metric is None:
        raise UsageError(
            "predictions need a metric to learn; expected --metric COLUMN of --table, or the trainings of a run"
        )
    column, turned = split_direction(metric)
    score = setup.fitness(f"table:{column}")
    direction: Direction = "max" if (turned or score.direction) == "max" else "min"
    if count is None:
        genotypes, values, _ = sample_known(setup, column, None)
    else:
        rows, wanted = len(setup.table), count
        if count > rows:
            raise UsageError(f"known is {count:,}, and {setup.table.path} has {rows:,} networks; expected no more")
        keys: dict[Genotype, str] = {}
        while True:
            genotypes, values, _ = sample_known(setup, column, wanted)
            order = list(range(len(genotypes)))
            if wanted == rows:  # then they come in the table's order
                Random(setup.config.seed).shuffle(order)
            places = list(islice(_distinct(setup.space, genotypes, order, keys), count))
            if len(places) == count:
                break
            if wanted == rows or len(genotypes) < wanted:
                raise UsageError(
                    f"known is {count:,}, and {setup.table.path} knows {column} of {len(places):,} networks that "
                    "differ; expected no more"
                )
            wanted = min(2 * wanted, rows)
        genotypes, values = [genotypes[place] for place in places], values[places]
    return Known(str(setup.table.path), column, direction, score.unit, tuple(genotypes), tuple(values.tolist()))


def _distinct(
    space: Space, genotypes: Sequence[Genotype], order: Sequence[int], keys: dict[Genotype, str]
) -> Iterator[int]:
    """Places, in an order, of the genotypes that compute nothing that one before does; `keys` are kept."""
    seen: set[str] = set()
    for place in order:
        genotype = genotypes[place]
        if genotype not in keys:
            keys[genotype] = function_of(space, genotype)
        if keys[genotype] not in seen:
            seen.add(keys[genotype])
            yield place


def function_of(space: Space, genotype: Genotype) -> str:
    """Key of what a network computes, to compare with others of its space.

    Of a cell of the topology space one repeat a stage tells as much as five, in a third of the time: by either the
    15,625 cells fall into the same 5,260 classes.
    """
    asked = _once_a_stage() if type(space) is NatsTss else space
    return asked.decode(genotype).simplified().key


@cache
def _once_a_stage() -> NatsTss:
    return NatsTss(cells=1)


def _of_run(path: Path, space: Space, metric: str | None) -> Known:
    """The trained candidates of a run, one training of each, all comparable."""
    from engine.objectives import split_direction
    from engine.run_folder import RunFolder
    from engine.training.comparable import comparable
    from engine.training.measured import MEASURED
    from engine.training.store import has_trainings

    learnt = RunFolder.read(path).config
    if not has_trainings(path):
        raise UsageError(
            f"{path} has no trained candidates to learn from; first `engine train {path} --best 10"
            f"{' --data SOURCE' if space.reads == 'images' else ''}`"
        )
    trainings = list(comparable(path)[0].values())
    measured = {score.name: score for score in MEASURED}
    name, turned = split_direction(metric if metric is not None else _LEARNT[space.reads])
    known = {score for record in trainings for score in record.scores if score in measured}
    if name not in known:
        raise UnknownName("score of trainings", name, known)
    direction: Direction = "max" if (turned or measured[name].direction) == "max" else "min"
    rows = [(r.genotype, r.scores[name]) for r in trainings if isfinite(r.scores.get(name, float("nan")))]
    if len(rows) < 2:
        raise RunError(
            f"{path} knows {name} of {len(rows)} trained candidate{'s' * (len(rows) != 1)}; expected at least 2: "
            f"train more with `engine train {path} --best 10`"
        )
    try:
        space.decode(rows[0][0])
    except UsageError as error:
        raise UsageError(
            f"{path} is a run of space {learnt.space!r}, expected one of {space.name!r}: {error}"
        ) from error
    networks, values = zip(*rows, strict=True)
    return Known(str(path), name, direction, measured[name].unit, networks, values)


def others_of_table(
    setup: Setup, known: Known, among: Collection[Genotype], most: int
) -> tuple[list[Genotype], list[float]]:
    """Random networks whose metric the table knows too, and their values.

    None of them is known, and none computes what a known one does.

    Args:
        setup: Of the table and seed.
        known: What was learned.
        among: Those that may be taken.
        most: How many, at most.
    """
    from fitness.table_fitness import TableFitness

    score = setup.fitness(f"table:{known.metric}")
    assert isinstance(score, TableFitness)
    learned = set(known.networks)
    functions: set[str] | None = None
    genotypes: list[Genotype] = []
    values: list[float] = []
    for genotype in _shuffled(list(dict.fromkeys(among)), setup.config.seed):
        if len(genotypes) == most:
            break
        if genotype in learned:
            continue
        try:
            value = score(genotype)
        except (RunError, UsageError):  # not in the table, or an empty cell
            continue
        if functions is None:
            functions = {function_of(setup.space, one) for one in known.networks}
        if function_of(setup.space, genotype) in functions:  # the dearest question comes last
            continue
        genotypes.append(genotype)
        values.append(value)
    return genotypes, values


def _shuffled(genotypes: list[Genotype], seed: int) -> list[Genotype]:
    Random(seed).shuffle(genotypes)
    return genotypes
