"""TE-NAS's pruning search on the topology space: what it finds, what it costs, and what each of its scores brings.

    python experiments/te_nas/run.py --data npz:cifar10_small.npz --tss nats_tss.csv

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours, ICLR 2021, arXiv:2102.11535. Prints the
tables of RESULTS.md. Seeds are those of weights and images, nothing else is random. Interrupted, it goes on where
it was: every search is a run folder under `--out`.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import ANCHORS, METRICS, TSS, arguments, markdown, reference_rows, setup_of, spread, table_of, tell

from engine import resume
from engine.api import Result, run
from engine.setup import Setup

COLUMNS = tuple(column for column in METRICS[TSS] if "test" in column)
NTK, REGIONS = "te_nas_ntk", "te_nas_regions"
ENOUGH = 1000  # records; a search ends by itself after 58


def options_of() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="searches with a smaller batch")
    parser.add_argument(
        "--published-seeds", type=int, default=1, help="searches with the published batch; 0 for none"
    )
    parser.add_argument(
        "--regions-seeds", type=int, default=10, help="searches by the regions alone, which are cheap"
    )
    parser.add_argument("--ntk", default=f"{NTK}(batch=24,draws=1)", help="the score with a smaller batch")
    options = parser.parse_args()
    options.regions = REGIONS
    if options.quick:
        options.seeds, options.published_seeds = 1, 0
        options.ntk, options.regions = f"{NTK}(batch=2,draws=1)", f"{REGIONS}(batch=90)"
    return options


def searched(options: argparse.Namespace, objectives: tuple[str, ...], seed: int) -> Result:
    """A pruning search, made or finished."""
    folder = options.out / "te_nas" / f"{'+'.join(objectives)}-{seed}"
    if (folder / "study.json").exists():
        return resume(folder, workers=options.workers)
    started = time.perf_counter()
    setup = setup_of(
        options,
        TSS,
        strategy="prune",
        objectives=objectives,
        score_seed=seed,
        budget=ENOUGH,
        out=str(folder),
    )
    result = run(setup)
    tell(f"{', '.join(objectives)}, seed {seed}: {time.perf_counter() - started:.0f} s")
    return result


def found_by(setup: Setup, results: list[Result]) -> tuple[list[str], list[list[float]]]:
    """The architectures that searches ended with, and their accuracies by column."""
    found = [setup.space.describe(result.best.genotype) for result in results]
    return found, [[setup.table.value(each, column) for each in found] for column in COLUMNS]


def row_of(name: str, results: list[Result], values: list[list[float]]) -> list[str]:
    """A line of the table."""
    seconds = np.mean([sum(record.seconds for record in result.records) for result in results])
    records = len(results[0].records)
    cells = [spread(np.array(each)) for each in values]
    return [name, str(len(results)), str(records), f"{seconds:.1f}", *cells]


def costs(result: Result) -> str:
    """CPU seconds of one thread for either score: measured on the supernet that a round starts from.

    A round has one evaluation more than the supernet has operations that may go; those without one of them cost
    about as much.
    """
    setup, records = replace(result.setup, cache=None), result.records
    scores = [setup.expression(objective.expression.text).scores[0] for objective in setup.objectives.objectives]
    evaluators = [setup.evaluator_of([score]) for score in scores]
    lines = [["operations that may go", "evaluations", *(score.name for score in scores)]]
    totals, first = np.zeros(len(scores)), 0
    while first < len(records):
        genotype = records[first].genotype
        left = sum(len(options) for options in setup.space.left(genotype).values() if len(options) > 1)  # type: ignore[attr-defined]
        taken = []
        for evaluate in evaluators:
            evaluate.open()
            started = time.process_time()
            evaluate(genotype)
            taken.append(time.process_time() - started)
        totals += (1 + left) * np.array(taken)
        lines.append([str(left), str(1 + left), *(f"{seconds:.2f}" for seconds in taken)])
        first += 1 + left
    lines.append(["the search", str(first), *(f"{seconds:.0f}" for seconds in totals)])
    return markdown(lines)


def main() -> None:
    options = options_of()
    if table_of(options, TSS) is None:
        sys.exit("no table of nats-tss: skipped; give one with --tss")
    setup = setup_of(options, TSS)
    both = (options.ntk, options.regions)
    planned = [((NTK, REGIONS), range(options.published_seeds)), (both, range(options.seeds))]
    if not options.quick:
        planned += [((options.ntk,), range(options.seeds)), ((options.regions,), range(options.regions_seeds))]
    planned += [((name,), range(1)) for name in ("trace", "params")]  # nothing is random in them
    lines = [["pruned by", "searches", "evaluations", "search, s", *COLUMNS]]
    listed, timed = [], None
    for objectives, seeds in planned:
        results = [searched(options, objectives, seed) for seed in seeds]
        if not results:
            continue
        timed = timed or results[0]
        found, values = found_by(setup, results)
        lines.append(row_of(" + ".join(objectives), results, values))
        listed += [
            [
                " + ".join(objectives),
                str(seed),
                f"`{name}`".replace("|", "\\|"),
                *(f"{column[place]:.2f}" for column in values),
            ]
            for place, (seed, name) in enumerate(zip(seeds, found, strict=True))
        ]
    lines += [[name, "", "", "", *cells] for name, cells in reference_rows(options, TSS, COLUMNS)]
    lines += [[f"{name}, published", "", "", seconds, *cells] for name, seconds, *cells in ANCHORS[TSS]]
    print(f"## Found by pruning\n\n{markdown(lines)}\n")
    print(markdown([["pruned by", "seed", "found", *COLUMNS], *listed]))
    if timed is not None and not options.quick:
        print(f"\n## CPU seconds of one evaluation, by round\n\n{costs(timed)}")


if __name__ == "__main__":
    main()
