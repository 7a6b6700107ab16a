"""Search on all 15,625 cells of the topology space: how soon the best validation accuracy is reached.

    python experiments/predictors/search.py --tss nats_tss.csv

A query is the validation accuracy on CIFAR-10 after 200 epochs, of one cell; test accuracy is only looked up of
what a search found, never used by it. A search has reached the best when it asked the cell of greatest validation
accuracy or one that computes the same (equal keys of simplified networks): trained from other draws that one is a
few tenths off. Every search has one ask open; searches of strategies run from seeds 0, 1, ... Greedy searches ask
all cells in one order, so they have no seeds. What is measured is kept in `--out`/search.json, and a second call
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import TSS, arguments, markdown, setup_of, tell

from engine.api import search
from engine.setup import Setup
from fitness.whole_space import figure_of_all
from spaces.space import Genotype

VALID, TEST = "cifar10_valid_200ep_pct", "cifar10_test_200ep_pct"
STEPS = (10, 20, 30, 50, 75, 100)


class Method(NamedTuple):
    """A strategy as `engine.search` takes it; without a strategy, cells by falling `greedy`."""

    strategy: str | None
    predictor: str | None = None
    population: int | None = None
    tournament: int | None = None
    greedy: str | None = None


METHODS = {
    "predictor": Method("predictor"),
    "REA, population 20, tournament 5": Method("aging", population=20, tournament=5),
    "random": Method("random"),
    "MACs, greedy": Method(None, greedy="macs"),
    "parameters, greedy": Method(None, greedy="params"),
    "predictor, gp": Method("predictor(refit=1)", "gp"),
    "predictor, knn": Method("predictor(ranked=100)", "knn"),
    "predictor, no warm start": Method("predictor(warm=0)"),
    "predictor, Thompson": Method("predictor(acquisition=thompson)"),
}
QUICK = ("predictor, knn", "REA, population 20, tournament 5", "random", "MACs, greedy")


def main() -> None:
    options = parsed()
    setup = setup_of(options, TSS)
    path = options.out / "search.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept: dict[str, dict[str, object]] = json.loads(path.read_text()) if path.exists() else {}
    for name in options.methods:
        for seed in range(1 if METHODS[name].greedy else options.seeds):
            if f"{name} {seed}" in kept:
                continue
            started = time.process_time()
            cells = asked(setup, METHODS[name], seed, options.budget)
            kept[f"{name} {seed}"] = {"cells": cells, "cpu_s": round(time.process_time() - started, 2)}
            path.write_text(json.dumps(kept))
            tell(f"{name}, seed {seed}: reached at {reached(setup, cells) or 'none'}")
    print_table(setup, options, kept)


def asked(setup: Setup, method: Method, seed: int, budget: int) -> list[int]:
    """Indexes of the cells that a search asks, in order."""
    space, table = setup.space, setup.table
    if method.greedy is not None:
        merits = figure_of_all(space, setup.fitness(method.greedy))
        cells: Sequence[Genotype] = list(space.enumerate())
        cells = [cells[place] for place in np.argsort(-merits, kind="stable")[:budget]]
    else:
        assert method.strategy is not None
        result = search(
            TSS,
            method.strategy,
            f"table:{VALID}",
            table=setup.table_paths,
            budget=budget,
            open=1,
            seed=seed,
            target="none",
            predictor=method.predictor,
            population=method.population,
            tournament=method.tournament,
        )
        cells = [record.genotype for record in result.records]
    return [table.index_of(space.describe(cell)) for cell in cells]


def reached(setup: Setup, cells: Sequence[int]) -> int | None:
    """After how many cells a search has asked the best one, or one that computes the same."""
    best = function(setup, int(np.argmax(setup.table.column(VALID))))
    return next((number for number, cell in enumerate(cells, 1) if function(setup, cell) == best), None)


def function(setup: Setup, index: int, known: dict[int, str] = {}) -> str:  # noqa: B006  # remembers on purpose
    """The key of what a cell computes."""
    if index not in known:
        known[index] = setup.space.decode(setup.space.parse(setup.table.architecture(index))).simplified().key
    return known[index]


def print_table(setup: Setup, options: argparse.Namespace, kept: dict[str, dict[str, object]]) -> None:
    """Share of searches that reached the best; mean of the best accuracy so far / of its test accuracy."""
    valid, test = (np.array(setup.table.column(name)) for name in (VALID, TEST))
    steps = [step for step in STEPS if step <= options.budget]
    rows = []
    for name in options.methods:
        searches = [one for seed in range(options.seeds) if (one := kept.get(f"{name} {seed}"))]
        cells = [np.array(one["cells"]) for one in searches]
        if not cells:
            continue
        hits = [reached(setup, each.tolist()) or np.inf for each in cells]
        row = [name, str(len(cells))]
        for step in steps:
            best = [each[:step][np.argmax(valid[each[:step]])] for each in cells]
            share = np.mean([hit <= step for hit in hits])
            row.append(f"{share:.0%}, {valid[best].mean():.2f} / {test[best].mean():.2f}")
        rows.append([*row, f"{np.mean([one['cpu_s'] for one in searches]):.1f}"])  # type: ignore[arg-type]
    print(markdown([["search", "seeds", *(f"{step} cells" for step in steps), "CPU s"], *rows]))


def parsed() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="searches of every strategy")
    parser.add_argument("--budget", type=int, default=100, help="cells that each asks")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.budget, options.methods = 1, 20, list(QUICK)
    return options


if __name__ == "__main__":
    main()
