"""Fit a predictor on known networks and predict others; where the truth is known, say how well."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from engine.config import RunConfig
from engine.prediction import DEFAULT, JUDGED, SAMPLED
from engine.prediction.known import Known, others_of_table
from engine.prediction.wiring import learner_of
from engine.results.scores import parse_architecture
from engine.results.statistics import kendall_tau_b, spearman
from engine.run_folder import RunFolder
from engine.setup import Setup
from spaces.errors import RunError, UsageError
from spaces.space import Genotype

__all__ = ["Agreement", "Predicted", "PredictedNetwork", "predict", "predict_for"]

_LISTED = 100_000  # size up to which a finite space is predicted whole


class PredictedNetwork(NamedTuple):
    """What is expected of a network.

    Attributes:
        number: Of the record in its run; None without a run.
        genotype: The network.
        mean: In the metric's unit.
        std: One standard deviation of the doubt, in the same unit.
        known: Its value if the predictor was told it, else None.
    """

    number: int | None
    genotype: Genotype
    mean: float
    std: float
    known: float | None


class Agreement(NamedTuple):
    """Predictions beside the truth, of networks that are neither known nor compute what a known one does.

    Attributes:
        networks: How many.
        kendall: Tau-b, -1 to 1; likewise Spearman's rho and Pearson's correlation.
        spearman: See kendall.
        pearson: See kendall.
        mae: Mean absolute error, in the metric's unit.
    """

    networks: int
    kendall: float
    spearman: float
    pearson: float
    mae: float


@dataclass(frozen=True)
class Predicted:
    """Predictions, the best network first.

    Attributes:
        setup: Of the space and the table or run.
        predictor: As it was named.
        known: What it learnt from.
        networks: The predictions.
        agreement: With what the table knows of others; None where it knows fewer than two, or there is no table.
        fit_seconds: What learning took.
        query_seconds: What predicting all networks took.
    """

    setup: Setup
    predictor: str
    known: Known
    networks: tuple[PredictedNetwork, ...]
    agreement: Agreement | None
    fit_seconds: float
    query_seconds: float


def predict(
    run: str | Path | None = None,
    *,
    space: str | None = None,
    table: str | Path | Iterable[str | Path] = (),
    metric: str | None = None,
    known: int | None = None,
    predictor: str = DEFAULT,
    architectures: Sequence[str] = (),
    sample: int | None = None,
    seed: int = 0,
    input_shape: str | None = None,
    classes: int | None = None,
) -> Predicted:
    """Learn from known networks what others are worth: `engine.predict("found")` after `engine.train("found")`.

    Args:
        run: Run folder whose trained candidates are known; without one, networks of a benchmark's table are.
        space: Of the table; munas if not given. A run knows its own.
        table: Benchmark table or several; the imported one of the space if not given.
        metric: Column of the table, or score that training measured: of a run, validation_accuracy or
            validation_mae unless another is named, so that test scores tell what choosing by it is worth.
        known: Number of random networks of the table that are known, of which no two compute the same; all if not
            given.
        predictor: Name with options: "forest(features=onehot+graph)".
        architectures: What to predict, as `engine score` takes them; numbers are those of records in a run. If none
            are given, the feasible records of the run, the whole of a finite space of up to 100,000, what the table
            holds of a space that none can list, or else a random sample.
        sample: Predict so many random members instead.
        seed: Of known and sampled networks and of the predictor.
        input_shape: Of the space's images; 32x32x3 if not given. Without a run, which knows its own.
        classes: Likewise; 10 if not given.

    Returns:
        Predictions, the best first.

    Raises:
        UsageError: Something asked for that is not there or cannot be.
        RunError: Too little is known, or a file cannot be used.
    """
    tables = (table,) if isinstance(table, str | Path) else tuple(table)
    own: dict[str, Any] = {"space": space, "input_shape": input_shape, "classes": classes}
    own = {name: value for name, value in own.items() if value is not None}
    if run is not None:
        if given := [*own, *(["table"] if tables else []), *(["known"] if known is not None else [])]:
            raise UsageError(
                f"{given[0]} is of a table, and {str(run)!r} is a run, which knows its space; give one of them"
            )
        config = replace(RunFolder.read(Path(run)).config, known_run=str(run), known=None, seed=seed)
        config = replace(config, metric=metric, known_digest=None)
    else:
        paths = tuple(str(Path(each).resolve()) for each in tables)
        config = RunConfig(target="none", table=paths, metric=metric, known=known, seed=seed, **own)
    return predict_for(Setup(config), predictor, architectures, sample)


def predict_for(setup: Setup, predictor: str, architectures: Sequence[str], sample: int | None) -> Predicted:
    """Predict with what a setup knows; see `predict`."""
    if sample is not None and (sample < 1 or architectures):
        raise UsageError(
            f"sample of {sample} random networks{' and a list' if architectures else ''}; expected at least 1, and "
            "one of them"
        )
    made = learner_of(predictor, setup.space)(setup.config.seed)
    known = setup.known
    asked = _asked(setup, known, architectures, sample)
    if not asked:
        raise RunError("there is nothing to predict; expected architectures, --sample N or a run with records")
    started = time.perf_counter()
    made.fit(known.networks, known.merits())
    fitted = time.perf_counter()
    mean, std = made.predict([genotype for _, genotype in asked])
    done = time.perf_counter()
    told: dict[Genotype, float] = dict(zip(known.networks, known.values, strict=True))
    networks = [
        PredictedNetwork(number, genotype, known.turned(float(mean[place])), float(std[place]), told.get(genotype))
        for place, (number, genotype) in enumerate(asked)
    ]
    agreement = None
    if setup.config.known_run is None:
        others, truth = others_of_table(setup, known, [genotype for _, genotype in asked], JUDGED)
        if len(others) > 1:
            means = {one.genotype: one.mean for one in networks}
            agreement = _agreement(np.array([means[genotype] for genotype in others]), np.array(truth))
    networks.sort(key=lambda one: -known.turned(one.mean))
    return Predicted(setup, predictor, known, tuple(networks), agreement, fitted - started, done - fitted)


def _agreement(mean: np.ndarray, truth: np.ndarray) -> Agreement:
    pearson = float(np.corrcoef(mean, truth)[0, 1]) if mean.std() > 0 and truth.std() > 0 else nan
    error = float(np.abs(mean - truth).mean())
    return Agreement(len(truth), kendall_tau_b(mean, truth), spearman(mean, truth), pearson, error)


def _asked(
    setup: Setup, known: Known, architectures: Sequence[str], sample: int | None
) -> list[tuple[int | None, Genotype]]:
    """What to predict, each once, with the numbers of records."""
    from fitness.table_space import is_sample

    run, space = setup.config.known_run, setup.space
    if run is not None and sample is None:
        records = RunFolder.read(Path(run)).records()
        if not architectures:
            feasible = [(record.number, record.genotype) for record in records if record.status == "ok"]
            return _once(feasible)
        numbered = {str(record.number): record.genotype for record in records}
        return _once(
            (int(text), numbered[text]) if text in numbered else (None, parse_architecture(text, setup))
            for text in architectures
        )
    if architectures:
        return _once((None, parse_architecture(text, setup)) for text in architectures)
    if sample is not None:
        return _sampled(setup, sample)
    if space.size is not None and space.size <= _LISTED:
        return [(None, genotype) for genotype in space.enumerate()]
    if is_sample(space):
        return _once((None, space.parse(text)) for text in setup.table.architectures)
    return _sampled(setup, SAMPLED)


def _sampled(setup: Setup, count: int) -> list[tuple[int | None, Genotype]]:
    rng = Random(setup.config.seed)
    return _once((None, setup.space.sample(rng)) for _ in range(count))


def _once(found: Iterable[tuple[int | None, Genotype]]) -> list[tuple[int | None, Genotype]]:
    first: dict[Genotype, int | None] = {}
    for number, genotype in found:
        first.setdefault(genotype, number)
    return [(number, genotype) for genotype, number in first.items()]
