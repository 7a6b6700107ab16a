"""Searches with MAE random sampling under one budget: how far each gets, and what its winners forecast."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from agreement import units_of
from common import markdown, spread, tell
from numpy.typing import NDArray
from train_networks import read, recipe_of, trained

from engine import search
from engine.results.statistics import holm, wilcoxon_signed_rank
from fitness.mrs import mrs
from fitness.series import Series, SeriesSource, load_series, persistence
from spaces.rnn import RnnSpace
from spaces.space import Genotype

Floats = NDArray[np.float64]
Lines = Sequence[dict[str, Any]]
Trainings = dict[str, Lines]  # by recipe

# Evolution's default population of 100 would make a search of 100 records a random one.
STRATEGIES = (
    "random",
    "resn",
    "resn(adapt=false)",
    "aging(population=10,tournament=3)",
    # MIP-EGO's own 500 evaluations of the model per entry of the vector would take four times as long.
    "mipego(encoding=flag,inner=500)",
    "mipego(encoding=size,inner=500)",
    "mipego(encoding=plain,inner=500)",
)
OTHER_SEED = 1  # of the draws that winners are looked at once more with
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


def redrawn(folder: Path, name: str, lines: Lines, samples: int, *, more: bool) -> dict[str, float]:
    """Ln p of the winners with other draws than those that they were chosen by, by genotype; kept in a file.

    A search takes what is good with the draws that it sees, so what it reports is too good on average.
    """
    source = SeriesSource(name, seed=OTHER_SEED, device="cpu")
    series = source.open()
    space, score = RnnSpace(series.features, series.outputs), mrs(samples, single=True, series=source)
    file = folder / f"{name}-redrawn.jsonl"
    known = {line["network"]: line["ln_p"] for line in read(file)}
    for network in dict.fromkeys(json.dumps(line["genotype"]) for line in lines):
        if network in known or not more:
            continue
        known[network] = score(space.decode(Genotype(json.loads(network))))
        with file.open("a") as opened:
            opened.write(json.dumps({"network": network, "ln_p": known[network]}) + "\n")
    return known


def compared(lines: Lines, others: Mapping[str, float]) -> str:
    """The best ln p of every strategy, with tests against the first one, paired by seed.

    Args:
        lines: The searches.
        others: ln p of their winners with other draws.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        found.setdefault(line["strategy"], {})[line["seed"]] = line
    first, *rest = found
    top = max(line["ln_p"] for line in lines)
    pairs = {}
    for place, name in enumerate(rest):
        seeds = sorted(set(found[name]) & set(found[first]))
        pairs[place] = np.array([[found[which][seed]["ln_p"] for seed in seeds] for which in (name, first)])
    p = holm({place: wilcoxon_signed_rank(*both).p for place, both in pairs.items()})
    titles = ["strategy", "seeds", "best ln p", "median regret", "with other draws"]
    rows = [[*titles, "CPU s", f"better than {first}", "p"]]
    for place, name in enumerate(found, -1):
        of = list(found[name].values())
        values, seconds = (np.array([line[key] for line in of]) for key in ("ln_p", "seconds"))
        again = [others[network] for line in of if (network := json.dumps(line["genotype"])) in others]
        row = [name, str(len(of)), spread(values, 2), f"{np.median(top - values):.2f}"]
        row += [spread(np.array(again), 2) if again else "", spread(seconds, 1)]
        if place in pairs:
            better, equal = (
                int(each.sum()) for each in (pairs[place][0] > pairs[place][1], np.ptp(pairs[place], 0) == 0)
            )
            row += [
                f"{better} of {pairs[place].shape[1]}" + (f", {equal} equal" if equal else ""),
                f"{p[place]:.3f}",
            ]
        rows.append([*row, *[""] * (len(rows[0]) - len(row))])
    return markdown(rows) + f"\n\nlargest ln p of all searches: {top:.3f}"


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
    """Train what the searches found, and the largest network; each network once."""
    series = load_series(name)
    file = folder / f"{name}-winners-{recipe}.jsonl"
    done = [line["genotype"] for line in read(file)]
    for choices in (LARGEST, *(line["genotype"] for line in lines)):
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
