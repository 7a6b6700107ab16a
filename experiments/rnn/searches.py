"""Searches with MAE random sampling under one budget: how far each gets, and what its winners forecast."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from agreement import units_of
from common import markdown, spread, tell
from numpy.typing import NDArray
from train_networks import read, recipe_of, trained

from engine import search
from engine.comparison.outcome import _holm as holm
from engine.results.statistics import average_ranks, wilcoxon_signed_rank
from fitness.series import Series, load_series, persistence
from spaces.space import Genotype

Floats = NDArray[np.float64]
Lines = Sequence[dict[str, Any]]
Trainings = dict[str, Lines]  # by recipe

# Evolution's default population of 100 would make a search of 100 records a random one.
STRATEGIES = (
    "random",
    "resn",
    "aging(population=10,tournament=3)",
    # MIP-EGO's own 500 evaluations of the model per entry of the vector would take four times as long.
    "mipego(encoding=flag,inner=500)",
    "mipego(encoding=size,inner=500)",
    "mipego(encoding=plain,inner=500)",
)
LARGEST = {"look_back": 30, "layers": 3, "l0.units": 100, "l1.units": 100, "l2.units": 100}


def searched(folder: Path, name: str, options: Namespace) -> Lines:
    """The searches of a series, seed by seed, those made that its file does not have yet."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}-searches.jsonl"
    alike = {"fitness": options.fitness, "budget": options.budget}
    done = {(line["strategy"], line["seed"]) for line in read(file) if alike.items() <= line.items()}
    for seed in range(options.seeds):
        for strategy in options.strategies:
            if (strategy, seed) in done or options.as_is:
                continue
            started = time.process_time()
            result = search("rnn", strategy, **alike, open=1, seed=seed, data=name, device="cpu")
            best = result.best
            (score,) = best.scores
            line = {
                **alike,
                "strategy": strategy,
                "seed": seed,
                "ln_p": best.scores[score],
                "genotype": best.genotype.to_dict(),
                "curve": [record.scores.get(score) for record in result.records],
                "seconds": time.process_time() - started,
            }
            with file.open("a") as opened:
                opened.write(json.dumps(line) + "\n")
            tell(f"{file.name}: {strategy} seed {seed}, ln p {line['ln_p']:.3f}, {line['seconds']:.1f} CPU s")
    return [line for line in read(file) if alike.items() <= line.items()]


def compared(lines: Lines) -> str:
    """The best ln p of every strategy over the seeds that all have, with tests against random search."""
    seeds, values = complete(lines, "ln_p")
    if not seeds:
        return "no seed is complete"
    top = max(line["ln_p"] for line in lines)
    names = list(values)
    order = sorted(names, key=lambda name: -float(values[name].mean()))
    tests = {
        place: wilcoxon_signed_rank(values[name], values["random"]).p
        for place, name in enumerate(order)
        if name != "random"
    }
    p = holm(tests)
    ranks = average_ranks(np.array([values[name] for name in order]).T)
    rows = [["strategy", "seeds", "best ln p", "median regret", "wins", "rank", "p against random", "CPU s"]]
    for place, name in enumerate(order):
        wins = int((values[name] > values["random"]).sum())
        seconds = np.array(
            [line["seconds"] for line in lines if line["strategy"] == name and line["seed"] in seeds]
        )
        cells = [f"{np.median(top - values[name]):.3f}", str(wins) if place in p else "", f"{ranks[place]:.1f}"]
        chance = f"{p[place]:.3f}" if place in p else ""
        rows.append([name, str(len(seeds)), spread(values[name], 3), *cells, chance, spread(seconds, 1)])
    return markdown(rows) + f"\n\nlargest ln p of all searches: {top:.3f}"


def complete(lines: Lines, key: str) -> tuple[list[int], dict[str, Floats]]:
    """The seeds that every strategy has, and a number of each search, by strategy in their order."""
    found: dict[str, dict[int, float]] = {}
    for line in lines:
        found.setdefault(line["strategy"], {})[line["seed"]] = line[key]
    seeds = sorted(set.intersection(*(set(each) for each in found.values()))) if found else []
    return seeds, {name: np.array([each[seed] for seed in seeds]) for name, each in found.items()}


def at_records(lines: Lines, counts: Sequence[int]) -> str:
    """The best ln p early and late in the same searches."""
    counts = [count for count in counts if count <= len(lines[0]["curve"])]
    rows = [["strategy", *map(str, counts)]]
    for name in dict.fromkeys(line["strategy"] for line in lines):
        curves = np.array(
            [
                np.fmax.accumulate(np.array([np.nan if value is None else value for value in line["curve"]]))
                for line in lines
                if line["strategy"] == name
            ]
        )
        rows.append([name, *(spread(curves[:, count - 1], 2) for count in counts)])
    return markdown(rows)


def winners(folder: Path, name: str, lines: Lines, recipe: str, options: Namespace) -> Lines:
    """Train what the searches of the first seeds found, and the largest network; each network once."""
    series = load_series(name)
    file = folder / f"{name}-winners-{recipe}.jsonl"
    done = [line["genotype"] for line in read(file)]
    for choices in (LARGEST, *(line["genotype"] for line in lines if line["seed"] < options.winners)):
        if choices in done or options.as_is:
            continue
        line = trained(series, Genotype(choices), recipe_of(recipe, options.epochs))
        with file.open("a") as opened:
            opened.write(json.dumps(line) + "\n")
        done.append(choices)
        tell(f"{file.name}: test MAE {line['test_mae']:.4f}")
    return read(file)


def forecasting(name: str, lines: Lines, made: Lines, sample: Lines) -> str:
    """Errors of the trained winners of every strategy, beside the largest network and randomly drawn ones.

    Args:
        name: The series.
        lines: The searches.
        made: Trainings of their winners.
        sample: Trainings of random networks with the same recipe.
    """
    series = load_series(name)
    errors = {json.dumps(line["genotype"]): line["test_mae"] for line in made}
    rows = [["network", "trainings", "ln p", "units", "look-back", "test MAE", "persistence", "beat it"]]
    for strategy in dict.fromkeys(line["strategy"] for line in lines):
        of = [line for line in lines if line["strategy"] == strategy and json.dumps(line["genotype"]) in errors]
        if of:
            found = np.array([errors[json.dumps(line["genotype"])] for line in of])
            ln_p = spread(np.array([line["ln_p"] for line in of]), 2)
            rows.append(
                [strategy, str(len(of)), ln_p, *_described(series, [line["genotype"] for line in of], found)]
            )
    for title, of in (
        ("the largest", [line for line in made if line["genotype"] == LARGEST]),
        ("any random one", sample),
    ):
        if of:
            found = np.array([line["test_mae"] for line in of])
            rows.append([title, str(len(of)), "", *_described(series, [line["genotype"] for line in of], found)])
    if sample:
        best = min(sample, key=lambda line: line["test_mae"])
        found = np.array([best["test_mae"]])
        rows.append(["best of the random ones, in truth", "1", "", *_described(series, [best["genotype"]], found)])
    return markdown(rows)


def _described(series: Series, genotypes: Sequence[dict[str, int]], errors: Floats) -> list[str]:
    """Cells of a row of `forecasting`: sizes, errors and persistence."""
    still = np.array([persistence(series, "test", choices["look_back"]) for choices in genotypes])
    units = np.array([float(units_of(Genotype(choices))) for choices in genotypes])
    steps = np.array([float(choices["look_back"]) for choices in genotypes])
    beat = f"{int((errors < still).sum())} of {len(errors)}"
    return [spread(units, 0), spread(steps, 0), spread(errors, 4), f"{still.mean():.4f}", beat]


def costs(lines: Lines, published: Lines, seconds: Floats) -> str:
    """CPU seconds of a search with each strategy, beside as many short trainings of random networks.

    Args:
        lines: The searches.
        published: Trainings of random networks with the published recipe.
        seconds: Of mrs as published, 100 samples in float64, of random networks.
    """
    evaluations = len(lines[0]["curve"])
    short, whole = (float(np.mean([line[key] for line in published])) for key in ("seconds_short", "seconds"))
    training = evaluations * short
    rows = [["search", "evaluations", "CPU s", "with the final training", "share of it"]]
    priced = [(f"{evaluations} random networks, 10 epochs each", training)]
    priced.append((f"{evaluations} random networks, mrs of 100 samples in float64", evaluations * seconds.mean()))
    for strategy in dict.fromkeys(line["strategy"] for line in lines):
        taken = float(np.mean([line["seconds"] for line in lines if line["strategy"] == strategy]))
        priced.append((f"{strategy}, as above", taken))
    for title, taken in priced:
        share = (taken + whole) / (training + whole)
        rows.append([title, str(evaluations), f"{taken:.1f}", f"{taken + whole:.1f}", f"{share:.2f}"])
    return markdown(rows) + f"\n\nfinal training: {whole:.1f} CPU s, the published recipe of a random network"
