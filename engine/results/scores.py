"""Scores of one architecture, named in any of the ways a user has it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.config import RunConfig
from engine.prediction.wiring import check_learnt
from engine.preparation import sample_scores
from engine.reading import FILE_FIGURES
from engine.results.front import best_record
from engine.results.tabular import format_number, json_number
from engine.run_folder import RunFolder
from engine.setup import Setup
from fitness import FITNESS
from fitness.base import Fitness
from fitness.expression import Expression, split_list
from spaces.errors import RunError, UsageError
from spaces.space import Genotype


@dataclass(frozen=True)
class Row:
    """One score or expression.

    Attributes:
        name: As asked for.
        value: None if it failed.
        note: Its unit; why it failed if it did.
        std: Over repeats, if there were any.
    """

    name: str
    value: float | None
    note: str
    std: float | None = None


@dataclass(frozen=True)
class Scored:
    """An architecture and its scores.

    Attributes:
        architecture: In the space's notation.
        key: `Network.key`.
        rows: Its scores, at least one of them with a value.
    """

    architecture: str
    key: str
    rows: tuple[Row, ...]


def score_architecture(text: str, config: RunConfig, given: Collection[str], fitness: str | None) -> Scored:
    """Score what `text` names.

    Args:
        text: Genotype JSON, benchmark string, index in the table, DIR:NUMBER or DIR:best.
        config: Space and table.
        given: Fields of `config` that the user set; for an architecture of a run the run's own fill the others.
        fitness: Scores or expressions separated by commas; None for every figure, and the latency on a target of
            known speed.

    Raises:
        UsageError: The architecture or a score is not known.
        RunError: No score could be computed.
    """
    run, colon, which = text.rpartition(":")
    folder, learnt = None, {"metric", "known", "known_run"} & {*given}
    if colon and (which == "best" or os.path.isdir(run)):  # Path.is_dir raises on names as long as a genotype
        folder = RunFolder.read(Path(run))
        config = replace(folder.config, **{name: getattr(config, name) for name in given})
        if learnt:
            config = replace(config, known_digest=None)  # other networks than those that the run was told
        if config.data == "noise" and "data" not in given:
            config = replace(config, data="auto")  # noise, unless what is asked for needs labels
    asked = split_list(fitness) if fitness else _figures(Setup(config))
    # Which images suffice depends on what is asked for; how the architecture was found does not matter.
    setup = Setup(replace(config, objectives=tuple(asked), simulated_seconds=None, cost=None))
    genotype = parse_architecture(text, setup) if folder is None else _recorded(folder, which)
    network = setup.space.decode(genotype)
    expressions = [setup.expression(part) for part in asked]
    if learnt:
        check_learnt(setup)
    return Scored(setup.space.describe(genotype), network.key, _rows(expressions, setup, genotype))


def format_scores(scored: Scored, as_json: bool) -> str:
    """One line per score, or JSON."""
    if as_json:
        return json.dumps(
            {
                "architecture": scored.architecture,
                "key": scored.key,
                "scores": {row.name: None if row.value is None else json_number(row.value) for row in scored.rows},
                **_if_any("std", {row.name: row.std for row in scored.rows if row.std is not None}),
                **_if_any("failed", {row.name: row.note for row in scored.rows if row.value is None}),
            },
            indent=1,
        )
    cells = [
        (row.name, "failed" if row.value is None else format_number(row.value), _remark(row)) for row in scored.rows
    ]
    wide, right = (max(len(cell[column]) for cell in cells) for column in (0, 1))
    return "\n".join(
        [scored.architecture, *(f"{n:<{wide}}  {v:>{right}}  {note}".rstrip() for n, v, note in cells)]
    )


def _if_any(name: str, values: dict[str, object]) -> dict[str, object]:
    return {name: values} if values else {}


def _remark(row: Row) -> str:
    return row.note if row.std is None else f"± {format_number(row.std)} {row.note}"


def _recorded(folder: RunFolder, which: str) -> Genotype:
    store = folder.records()
    if which == "best":
        setup = Setup(folder.config)
        setup.refer(folder.reference)
        return best_record(store, setup).genotype
    if not _is_number(which):
        raise UsageError(f"{which!r} of run {folder.path}; expected a record's number, or best")
    return store.read(int(which)).genotype


def parse_architecture(text: str, setup: Setup) -> Genotype:
    """An architecture of no run: genotype JSON, a benchmark's string, or an index in the setup's table.

    Raises:
        UsageError: It is none of these.
    """
    if _is_number(text):
        try:
            table = setup.table
        except UsageError as error:
            raise UsageError(f"index {text} has a meaning in a benchmark table only: {error}") from error
        text = table.architecture(int(text))
    try:
        return setup.space.parse(text)
    except UsageError:
        raise
    except (ValueError, RecursionError) as error:  # JSON that is deeper or longer than Python takes
        raise UsageError(
            f"architecture {text[:80]!r} cannot be read: {error}; expected its choices as JSON"
        ) from error


def _rows(expressions: Sequence[Expression], setup: Setup, genotype: Genotype) -> tuple[Row, ...]:
    """All expressions of one genotype; their scores are computed together."""
    fitness: dict[str, Fitness] = {}
    for expression in expressions:
        known = {score.name: score for score in expression.scores}
        fitness |= {name: known.get(name) or setup.fitness(name) for name in expression.recorded}
    scores = setup.evaluator_of(list(fitness.values()))(genotype).scores
    reasons = {}
    for name in fitness.keys() - scores.keys():  # one that failed may have kept others from their turn
        outcome = setup.evaluator_of([fitness[name]])(genotype)
        scores |= outcome.scores
        reasons[name] = outcome.reason or ""
    rows = tuple(_row(expression, setup, scores, reasons) for expression in expressions)
    if all(row.value is None for row in rows):
        raise RunError(f"{rows[0].name}: {rows[0].note}")
    return rows


def _row(expression: Expression, setup: Setup, scores: Mapping[str, float], reasons: Mapping[str, str]) -> Row:
    for name in expression.recorded:
        if name not in scores:
            return Row(expression.text, None, reasons[name])
    if expression.needs_reference:
        expression.refer(sample_scores(setup, expression.scores))
    std = scores.get(f"{expression.recorded[0]}.std") if len(expression.recorded) == 1 else None
    return Row(expression.text, expression.value(scores), _unit(expression), std)


def _unit(expression: Expression) -> str:
    if len(expression.scores) == 1 and not expression.penalties:
        return expression.scores[0].unit
    return "; ".join(map(str, expression.penalties))


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 20


def _figures(setup: Setup) -> list[str]:
    """Trace, of images, and every figure that they have; the latency if there are rates to estimate it from."""
    modules = ["fitness.figure_fitness"]
    if setup.space.reads == "images":
        modules.append("fitness.trace")
    if setup.target is not None and setup.target.speed is not None:
        modules.append("fitness.latency")
    names = [name for name in FITNESS if FITNESS.builtin.get(name, "").partition(":")[0] in modules]
    if setup.space.reads == "images":
        return names
    return [name for name in names if name not in FILE_FIGURES and not name.startswith("munas_")]
