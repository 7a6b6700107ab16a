"""MAE random sampling of recurrent networks: does it rank them, what does it cost, which search makes most of it?

    python experiments/rnn/run.py

Camero, Toutouh, Alba: Low-cost recurrent neural network expected performance evaluation, arXiv:1805.07159; RESN,
arXiv:1909.02425; with Wang, Bäck: Bayesian neural architecture search using a training-free performance metric,
arXiv:2001.10726. On the sine and, with the extra `series`, on sunspots. Prints the tables of RESULTS.md. Trains
what `train_networks.py` has not trained yet, which takes an hour or more; `--as-is` makes the tables of what there
is. All that was computed is kept under `--out`; interrupted, it goes on there.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import agreement
import searches
from common import arguments, tell
from train_networks import NETWORKS, RECIPES, SHORT, read, sampled, trainings

from fitness.series import load_series

READ_AT = (10, 25, 50, 100)  # records, within the budget
PICKED_OF = 30  # random networks


def options_of() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--series", nargs="+", choices=("sine", "sunspots"), default=["sine", "sunspots"])
    parser.add_argument("--networks", type=int, default=NETWORKS, help="random networks that are trained")
    parser.add_argument("--samples", type=int, default=100, help="draws of the weights of each of them")
    parser.add_argument("--seeds", type=int, default=10, help="searches with every strategy")
    parser.add_argument("--strategies", nargs="+", default=searches.STRATEGIES, help="that search")
    parser.add_argument("--budget", type=int, default=100, help="records of a search")
    parser.add_argument(
        "--fitness", default="mrs(samples=30,single=true)", help="what is searched by; published: mrs"
    )
    parser.add_argument("--winners", type=int, default=3, help="seeds whose winners are trained")
    parser.add_argument(
        "--recipes", nargs="+", choices=RECIPES, default=["modern"], help="that winners are trained with"
    )
    parser.add_argument("--only", choices=("agreement", "searches"), help="one half of the experiment")
    parser.add_argument("--as-is", action="store_true", help="tables of what there is, without more of it")
    options = parser.parse_args()
    options.epochs, options.short = 0, SHORT
    options.folder = options.out / ("rnn-quick" if options.quick else "rnn")
    if options.quick:
        options.networks, options.samples, options.epochs, options.short = 3, 4, 1, 1
        options.seeds, options.budget, options.winners = 1, 11, 1
        options.strategies = ("random", "resn", "mipego(trees=5,inner=100)")
        options.fitness, options.series = "mrs(samples=4,single=true)", options.series[:1]
    if find_spec("statsmodels") is None:
        tell("sunspots: skipped, it needs statsmodels; install nas-engine[series]")
        options.series = [name for name in options.series if name == "sine"]
    return options


def trained(options: argparse.Namespace, name: str) -> searches.Trainings:
    """Trainings of random networks, by recipe; those that there are, or all of them."""
    made = {}
    for recipe in RECIPES:
        file = options.folder / f"{name}-{recipe}.jsonl"
        if not options.as_is:
            series = load_series(name)
            trainings(
                options.folder, series, sampled(series, options.networks), recipe, options.epochs, options.short
            )
        if lines := read(file)[: options.networks]:
            made[recipe] = lines
    return made


def agreements(options: argparse.Namespace, name: str, made: searches.Trainings) -> agreement.Scored:
    """First half: scores beside trained errors."""
    series = load_series(name)
    found = agreement.scored(
        options.folder, name, sampled(series, options.networks), options.samples, more=not options.as_is
    )
    errors = {
        title: np.array([line[key] for line in made[recipe]])
        for title, (recipe, key) in agreement.TRUTHS.items()
        if recipe in made
    }
    for title, text in (
        ("trained networks and persistence", agreement.beaten(found, errors)),
        ("scores and errors", agreement.correlations(found, errors)),
        ("errors among each other, tau", agreement.between(errors)),
        ("the best by a score of n random networks, test MAE", agreement.picked(found, errors, PICKED_OF)),
        ("CPU seconds", agreement.costs(found, made)),
    ):
        print(f"\n## {name}: {title}\n\n{text}", flush=True)
    return found


def main() -> None:
    options = options_of()
    torch.set_num_threads(1)
    for name in options.series:
        made = trained(options, name)
        found = agreements(options, name, made) if options.only != "searches" else None
        if options.only == "agreement":
            continue
        lines = searches.searched(options.folder, name, options)
        if not lines:
            tell(f"{name}: no searches")
            continue
        others = searches.redrawn(options.folder, name, lines, options.samples, more=not options.as_is)
        table = searches.compared(lines, others)
        print(f"\n## {name}: {options.budget} evaluations of {options.fitness}\n\n{table}")
        print(f"\nThe best so far after so many records:\n\n{searches.at_records(lines, READ_AT)}", flush=True)
        first = [line for line in lines if line["seed"] < options.winners]
        for recipe in options.recipes:
            winners = searches.winners(options.folder, name, first, recipe, options)
            text = searches.forecasting(name, first, winners, made.get(recipe, []))
            print(f"\n## {name}: what the winners forecast, {recipe} recipe\n\n{text}", flush=True)
        if found is not None and "published" in made:
            print(
                f"\n## {name}: cost of a search\n\n{searches.costs(lines, made['published'], found.seconds)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
