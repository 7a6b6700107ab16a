"""Scores of one architecture, named in any of the ways a user has it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from engine.config import RunConfig
from engine.evaluation import Evaluator
from engine.results.front import best_record, format_number, json_number
from engine.run_folder import RunFolder
from engine.setup import Setup, sample_scores
from fitness import FITNESS
from fitness.expression import Expression, split_list
from spaces.errors import RunError, UsageError
from spaces.space import Genotype


@dataclass(frozen=True)
class Scored:
    """An architecture and its scores.

    Attributes:
        architecture: In the space's notation.
        key: `Network.key`.
        scores: Name or expression, value and unit.
    """

    architecture: str
    key: str
    scores: tuple[tuple[str, float, str], ...]


def score_architecture(text: str, config: RunConfig, given: Collection[str], fitness: str | None) -> Scored:
    """Score what `text` names.

    Args:
        text: Genotype JSON, benchmark string, index in the table, DIR:NUMBER or DIR:best.
        config: Space and table.
        given: Fields of `config` that the user set; for an architecture of a run the run's own fill the others.
        fitness: Scores or expressions separated by commas; None for every figure.

    Raises:
        UsageError: The architecture or a score is not known.
        RunError: A score could not be computed.
    """
    run, colon, which = text.rpartition(":")
    if colon and (which == "best" or os.path.isdir(run)):  # Path.is_dir raises on names as long as a genotype
        folder = RunFolder.read(Path(run))
        config = replace(folder.config, **{name: getattr(config, name) for name in given})
        setup = Setup(config)
        genotype = _recorded(folder, which)
    else:
        setup = Setup(config)
        genotype = _parsed(text, setup)
    network = setup.space.decode(genotype)
    expressions = (
        [setup.expression(part) for part in split_list(fitness)]
        if fitness
        else [setup.expression(name) for name in FITNESS if name == "trace" or _is_figure(name)]
    )
    rows = [(e.text, _value(e, setup, genotype), _unit(e)) for e in expressions]
    return Scored(setup.space.describe(genotype), network.key, tuple(rows))


def format_scores(scored: Scored, as_json: bool) -> str:
    """One line per score, or JSON."""
    if as_json:
        return json.dumps(
            {
                "architecture": scored.architecture,
                "key": scored.key,
                "scores": {name: json_number(value) for name, value, _ in scored.scores},
            },
            indent=1,
        )
    wide = max(len(name) for name, _, _ in scored.scores)
    right = max(len(format_number(value)) for _, value, _ in scored.scores)
    lines = [scored.architecture]
    lines += [f"{name:<{wide}}  {format_number(value):>{right}}  {unit}" for name, value, unit in scored.scores]
    return "\n".join(lines)


def _recorded(folder: RunFolder, which: str) -> Genotype:
    store = folder.records()
    if which == "best":
        setup = Setup(folder.config)
        setup.refer(folder.reference)
        return best_record(store, setup).genotype
    if not _is_number(which):
        raise UsageError(f"{which!r} of run {folder.path}; expected a record's number, or best")
    return store.read(int(which)).genotype


def _parsed(text: str, setup: Setup) -> Genotype:
    if _is_number(text):
        if setup.config.table is None:
            raise UsageError(f"index {text} has a meaning in a benchmark table only; name it with --table")
        text = setup.table.architecture(int(text))
    try:
        return setup.space.parse(text)
    except UsageError:
        raise
    except (ValueError, RecursionError) as error:  # JSON that is deeper or longer than Python takes
        raise UsageError(
            f"architecture {text[:80]!r} cannot be read: {error}; expected its choices as JSON"
        ) from error


def _value(expression: Expression, setup: Setup, genotype: Genotype) -> float:
    names = expression.recorded
    scores = {score.name: score for score in expression.scores}
    fitness = [scores.get(name) or setup.fitness(name) for name in names]
    outcome = Evaluator(setup.space, (), fitness)(genotype)
    if outcome.status != "ok":
        raise RunError(f"{expression.text}: {outcome.reason}")
    if expression.needs_reference:
        expression.refer(sample_scores(setup.space, expression.scores))
    return expression.value(outcome.scores)


def _unit(expression: Expression) -> str:
    if len(expression.scores) == 1 and not expression.penalties:
        return expression.scores[0].unit
    return "; ".join(map(str, expression.penalties))


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 20


def _is_figure(name: str) -> bool:
    return FITNESS.builtin.get(name, "").startswith("fitness.figure_fitness:")
