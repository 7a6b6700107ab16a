"""MAE random sampling beside the errors of trained networks: agreement in rank, cost, what picking by it brings."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from common import best_of_random, markdown, spread, tell
from numpy.typing import NDArray
from train_networks import read

from engine.results.bootstrap import resampled_taus, spread_of
from engine.results.statistics import kendall_tau_b
from fitness.figures import macs, params
from fitness.mrs import log_p
from fitness.mrs.score import Sampling
from fitness.series import SeriesSource, persistence
from spaces.rnn import RnnSpace
from spaces.space import Genotype

Floats = NDArray[np.float64]

THRESHOLD = 0.01  # published
THRESHOLDS = (0.01, 0.1, 0.3)
LEVEL, RESAMPLES = 0.95, 1_000
RUNS = 1_000  # simulated searches
SPLITS = {"train": False, "test": True}  # whether in float32: only the first is timed
# What is compared with the error, and whether it is as trained after the short training or the whole one.
TRUTHS = {
    "published recipe, 10 epochs": ("published", "test_mae_short"),
    "published recipe, 100 epochs": ("published", "test_mae"),
    "modern recipe": ("modern", "test_mae"),
}


@dataclass(frozen=True)
class Scored:
    """Networks of a series and what is known of them without training.

    Attributes:
        source: The series.
        genotypes: In the order drawn.
        scores: By name, larger is better (n,).
        seconds: CPU seconds of the 100 samples of each (n,).
    """

    source: SeriesSource
    genotypes: Sequence[Genotype]
    scores: Mapping[str, Floats]
    seconds: Floats


def scored(folder: Path, name: str, genotypes: Sequence[Genotype], samples: int, *, more: bool = True) -> Scored:
    """Moments of the errors of random weights, kept in a file, `more` of which are computed; figures besides."""
    source = SeriesSource(name, device="cpu")
    series = source.open()
    space = RnnSpace(series.features, series.outputs)
    networks = [space.decode(genotype) for genotype in genotypes]
    file = folder / f"{name}-scores.jsonl"
    for place in range(len(read(file)), len(networks) if more else 0):
        line: dict[str, Any] = {"genotype": genotypes[place].to_dict()}
        for split, single in SPLITS.items():
            sampling = Sampling(samples, split=split, single=single, series=source)
            started = time.process_time()
            line[split] = sampling.moments(networks[place])
            line[f"{split}_seconds"] = time.process_time() - started
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("a") as opened:
            opened.write(json.dumps(line) + "\n")
        tell(f"{file.name} {place + 1}/{len(networks)}")
    lines = read(file)[: len(networks)]
    genotypes, networks = genotypes[: len(lines)], networks[: len(lines)]
    bound = series.error_bound
    moments = {split: np.array([line[split] for line in lines]) for split in SPLITS}

    def ln_p(split: str, threshold: float) -> Floats:
        return np.array([log_p(mean, std, threshold, 0.0, bound) for mean, std in moments[split]])

    scores = {
        "mrs": ln_p("train", THRESHOLD),
        "mrs, test split (the authors' leak)": ln_p("test", THRESHOLD),
        "- mrs_mean": -moments["train"][:, 0],
        "mrs_std": moments["train"][:, 1],
    }
    scores |= {f"mrs, threshold {value:g}": ln_p("train", value) for value in THRESHOLDS if value != THRESHOLD}
    scores |= {
        "units": np.array([float(units_of(genotype)) for genotype in genotypes]),
        "params": np.array([params(network) for network in networks], dtype=float),
        "layers": np.array([float(genotype["layers"]) for genotype in genotypes]),
        "look-back": np.array([float(genotype["look_back"]) for genotype in genotypes]),
        "macs": np.array([macs(network) for network in networks], dtype=float),
    }
    return Scored(source, genotypes, scores, np.array([line["train_seconds"] for line in lines]))


def units_of(genotype: Genotype) -> int:
    """All recurrent units of a network."""
    return sum(int(genotype[f"l{i}.units"]) for i in range(int(genotype["layers"])))


def concordance(scores: Floats, errors: Floats) -> Floats:
    """Share of the pairs with different scores and errors that are ranked alike: of all, then of every resample.

    Args:
        scores: (n,) larger is better.
        errors: (n,) smaller is better.

    Returns:
        (1 + RESAMPLES,); networks are drawn with replacement, a network and its copy differ in nothing.
    """
    n, rng = len(scores), np.random.default_rng(0)
    counts = np.array([np.ones(n), *(np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(RESAMPLES))])
    signs = np.sign(scores[:, None] - scores) * np.sign(errors - errors[:, None])
    alike, differing = (np.einsum("rn,nm,rm->r", counts, each, counts, optimize=True) for each in (signs, signs**2))
    with np.errstate(invalid="ignore"):  # nan where all networks of a resample are equal
        return np.asarray((1 + alike / differing) / 2)


def with_interval(value: float, resamples: Floats, digits: int = 2) -> str:
    """A statistic and where it lies."""
    low, high = spread_of(resamples, LEVEL)
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def correlations(found: Scored, errors: Mapping[str, Floats]) -> str:
    """Concordance in percent and tau with every ground truth; all signs are fixed beforehand: more is better."""
    titles = ["score", "tau with mrs", *(cell for truth in errors for cell in (f"concordant %, {truth}", "tau"))]
    lines = [titles]
    for name, scores in found.scores.items():
        cells = [name, f"{kendall_tau_b(found.scores['mrs'], scores):.2f}"]
        for truth in errors.values():
            known = scores[: len(truth)]
            shares = 100 * concordance(known, truth)
            taus = resampled_taus(known, -truth, RESAMPLES, 0)
            cells += [
                with_interval(shares[0], shares[1:], 1),
                with_interval(kendall_tau_b(known, -truth), taus),
            ]
        lines.append(cells)
    return markdown(lines)


def between(errors: Mapping[str, Floats]) -> str:
    """How far the ground truths agree among each other."""
    lines = [["", *errors]]
    for one, first in errors.items():
        cells = []
        for second in errors.values():
            both = min(len(first), len(second))
            cells.append(f"{kendall_tau_b(first[:both], second[:both]):.2f}")
        lines.append([one, *cells])
    return markdown(lines)


def picked(found: Scored, errors: Mapping[str, Floats], count: int) -> str:
    """Errors of the best by a score of so many of the networks, mean over simulated searches, and references."""
    lines = [[f"best of {count} by", *errors]]
    for name, scores in found.scores.items():
        cells = []
        for truth in errors.values():
            winners = best_of_random(scores[: len(truth)], count, RUNS)
            cells.append(spread(truth[winners], 4))
        lines.append([name, *cells])
    lines.append(["any network", *(spread(truth, 4) for truth in errors.values())])
    lines.append(["the best of all in truth", *(f"{truth.min():.4f}" for truth in errors.values())])
    return markdown(lines)


def persistent(found: Scored, count: int | None = None) -> Floats:
    """Errors of the forecast that all stays as it is, on the test windows of the networks' look-backs."""
    series = found.source.open()
    return np.array([persistence(series, "test", int(each["look_back"])) for each in found.genotypes[:count]])


def beaten(found: Scored, errors: Mapping[str, Floats]) -> str:
    """How many networks forecast better than persistence."""
    lines = [["trained with", "networks", "test MAE", "median", "best", "persistence", "beat it"]]
    for name, truth in errors.items():
        still = persistent(found, len(truth))
        better = int((truth < still).sum())
        numbers = [f"{np.median(truth):.4f}", f"{truth.min():.4f}", f"{still.mean():.4f}"]
        lines.append([name, str(len(truth)), spread(truth, 4), *numbers, str(better)])
    return markdown(lines)


def costs(found: Scored, trained: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """CPU seconds of one thread: sampling, and training beside it, per network."""

    def row(name: str, seconds: Floats) -> list[str]:
        ratios = seconds / found.seconds[: len(seconds)]
        spans = [f"{np.median(each):.2f} [{each.min():.2f}, {each.max():.2f}]" for each in (seconds, ratios)]
        total = seconds.sum() / found.seconds[: len(seconds)].sum()
        return [name, str(len(seconds)), f"{seconds.mean():.2f}", *spans, f"{total:.1f}"]

    lines = [["", "networks", "mean s", "median s [least, most]", "times mrs, per network", "times mrs, in sum"]]
    lines.append(row("mrs", found.seconds))
    for recipe, rows in trained.items():
        for key, title in (("seconds_short", "first 10 epochs"), ("seconds", "all epochs")):
            seconds = np.array([line.get(key, nan) for line in rows], dtype=np.float64)
            if len(seconds):
                lines.append(row(f"{recipe} recipe, {title}", seconds))
    return markdown(lines)
