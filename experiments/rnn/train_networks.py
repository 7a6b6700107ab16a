"""Train random recurrent networks: the errors that MAE random sampling is compared with.

    python experiments/rnn/train_networks.py --series sine --recipe published
    python experiments/rnn/train_networks.py --series sunspots --recipe modern

Networks are drawn from the space of the sine problem (1 to 3 LSTM layers of 1 to 100 units, look-back 2 to 30), the
same ones for every series. `published` is the authors' recipe (`fitness.training.recipe.ForecastRecipe`: Adam at
5e-5, batch 5, dropout 0.5, weights from U(-0.5, 0.5), 100 epochs); errors after its first ten epochs, with which
the authors evaluate within a search, are kept as well. `modern` is what one would do today: Adam at 1e-3, batch 32,
no dropout, PyTorch's own initial weights, 60 epochs.

Every training is one line of OUT/SERIES-RECIPE.jsonl, in the order of the networks; interrupted, the same command
goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import tell

from fitness.lower import lower
from fitness.series import Series, load_series
from fitness.training.forecast import Forecasting, errors
from fitness.training.recipe import ForecastRecipe
from spaces.rnn import RnnSpace
from spaces.space import Genotype

SAMPLE_SEED = 20261122
NETWORKS = 110
SHORT = 10  # epochs with which the authors evaluate within a search
RECIPES = {
    "published": ForecastRecipe(),
    "modern": ForecastRecipe(
        epochs=60, batch=32, learning_rate=1e-3, dropout=0.0, weight_range=0.0, patience=None, shuffle=True
    ),
}


def sampled(series: Series, count: int) -> list[Genotype]:
    """The first `count` random networks for a series."""
    space, rng = RnnSpace(series.features, series.outputs), Random(SAMPLE_SEED)
    return [space.sample(rng) for _ in range(count)]


def trained(series: Series, genotype: Genotype, recipe: ForecastRecipe, short: int = SHORT) -> dict[str, Any]:
    """What training a network comes to, after its first `short` epochs too; CPU seconds."""
    network = RnnSpace(series.features, series.outputs).decode(genotype)
    training = Forecasting(network, series, recipe)
    found: dict[str, Any] = {"genotype": genotype.to_dict()}
    seconds = 0.0
    while not (training.done or training.diverged):
        started = time.process_time()
        training.run_epoch()
        seconds += time.process_time() - started
        if len(training.epochs) == short:
            early = lower(network)
            early.load_state_dict(training.best)
            found |= {"test_mae_short": errors(early, series, "test").mae, "seconds_short": seconds}
    result = errors(training.take_best(), series, "test")
    found |= {"test_mae": result.mae, "test_mse": result.mse, "seconds": seconds}
    return found | {"epochs": len(training.epochs), "best_epoch": training.best_epoch.number}


def recipe_of(name: str, epochs: int = 0) -> ForecastRecipe:
    """One of `RECIPES`, with another number of epochs if one is given."""
    return replace(RECIPES[name], epochs=epochs) if epochs else RECIPES[name]


def trainings(
    folder: Path, series: Series, genotypes: list[Genotype], recipe: str, epochs: int = 0, short: int = SHORT
) -> list[dict[str, Any]]:
    """Train the networks that the file of a series and a recipe does not have yet; all lines of that file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{series.source}-{recipe}.jsonl"
    for place in range(len(read(file)), len(genotypes)):
        line = trained(series, genotypes[place], recipe_of(recipe, epochs), short)
        with file.open("a") as opened:
            opened.write(json.dumps(line) + "\n")
        tell(f"{file.name} {place + 1}/{len(genotypes)}: test MAE {line['test_mae']:.4f}")
    return read(file)


def read(file: Path) -> list[dict[str, Any]]:
    """The lines of a file; none if there is no such file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", choices=("sine", "sunspots", "co2"), default="sine")
    parser.add_argument("--recipe", choices=RECIPES, default="published")
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parser.add_argument("--out", type=Path, default=Path("runs/experiments/rnn"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    series = load_series(options.series)
    trainings(options.out, series, sampled(series, options.networks), options.recipe)


if __name__ == "__main__":
    main()
