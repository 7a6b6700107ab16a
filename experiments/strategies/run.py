"""Search strategies under equal budgets, with scores that need no training and with looked-up accuracies.

    python experiments/strategies/run.py --data npz:cifar10_small.npz --tss nats_tss.csv --sss nats_sss.csv

Three comparisons of `engine compare`: scores from the layer graph alone, NAS-WOT, and (topology space) accuracies
after 12 epochs within 12,000 simulated seconds. Prints the tables of RESULTS.md; curves go to `--out`. Interrupted,
it goes on where it was: every search is a run folder under `--out`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import (
    ANCHORS,
    METRICS,
    SPACES,
    SSS,
    TSS,
    arguments,
    markdown,
    pool_of,
    setup_of,
    spread,
    table_of,
    tell,
)

from engine.comparison import Comparison, Plan, carry_out, compared
from engine.comparison.outcome import SpaceComparison
from engine.comparison.plot import draw_comparison
from engine.comparison.table import format_comparison
from engine.results.statistics import kendall_tau_b
from engine.score_cache import ScoreCache, default_folder
from fitness.figures import macs
from fitness.whole_space import figure_of_all

# Evolution's default population of 100 would make a search of 100 records a random one.
LEARNING = ("aging(population=10,tournament=3)", "tpe", "local", "bo")
# Of the scores without passes, these two together are near the front on both spaces (`ranked`).
COMBINED = "log_capacity(live=true)+params(live=true)"
FREE = ("trace", COMBINED)
CANDIDATES = (
    *("trace", "params", "macs", "log_capacity"),
    *("n_relu(live=true)", "params(live=true)", "macs(live=true)", "log_capacity(live=true)", COMBINED),
    *("log_capacity(live=true)+n_relu(live=true)", "log_capacity(live=true)+macs(live=true)", "params+n_relu"),
)
LOOKED_UP = "table:cifar10_valid_12ep_pct"
JUDGED = {space: tuple(name for name in METRICS[space] if space == SSS or "test" in name) for space in METRICS}
READ_AT = (10, 30, 100, 300, 1000)  # records, within the budget


def options_of() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=10, help="seeds with scores from the layer graph")
    parser.add_argument("--budget", type=int, default=100, help="their records")
    parser.add_argument("--naswot-runs", type=int, default=3, help="seeds with NAS-WOT")
    parser.add_argument("--naswot-budget", type=int, default=100, help="their records")
    parser.add_argument("--pool", type=int, default=2500, help="random networks of a space with NAS-WOT")
    parser.add_argument("--trained-runs", type=int, default=25, help="seeds with looked-up accuracies")
    options = parser.parse_args()
    if options.quick:
        options.runs, options.budget, options.pool = 2, 12, 4
        options.naswot_runs, options.naswot_budget, options.trained_runs = 1, 4, 2
    return options


def comparison(
    options: argparse.Namespace,
    name: str,
    spaces: Sequence[str],
    strategies: Sequence[str],
    fitness: Sequence[str],
    runs: int,
    **fields: object,
) -> Comparison:
    """The comparison of a name under `--out`, made or finished."""
    started = time.perf_counter()
    path = options.out / "strategies" / f"{name}-{'-'.join(spaces)}-{runs}x{fields['budget']}"
    if (path / "comparison.json").exists():
        plan = Plan.read(path)
    else:
        base = setup_of(options, spaces[0], open=1, **fields).config
        tables = [setup_of(options, space).config.table for space in spaces]
        base = type(base).from_dict(base.to_dict() | {"table": [each for table in tables for each in table]}, name)
        metrics = [column for space in spaces for column in JUDGED[space]]
        plan = Plan(path, base, tuple(spaces), tuple(strategies), tuple(fitness), tuple(metrics), runs)
        plan.check()
        plan.create()
    carry_out(plan, workers=options.workers, cache=ScoreCache(default_folder()))
    tell(f"{name}: {runs} x {len(plan.methods)} searches, {time.perf_counter() - started:.0f} s")
    return compared(plan)


def shown(found: Comparison, options: argparse.Namespace, title: str) -> None:
    """Tables of a comparison on standard output, its curves as a picture."""
    print(f"\n## {title}\n")
    print("\n".join(f"    {line}".rstrip() for line in format_comparison(found, "table").splitlines()))
    if found.plan.base.simulated_seconds is None:
        for space in found.spaces:
            print(f"\n{space.main} of the best by the score after so many records:\n\n{at_records(space)}")
    sys.stdout.flush()
    picture = options.out / f"{found.plan.path.name}.png"
    draw_comparison(replace(found, spaces=tuple(map(without_list, found.spaces))), picture)
    tell(f"curves in {picture}")


def without_list(space: SpaceComparison) -> SpaceComparison:
    """For a picture: the list starts far below, in whose scale nothing else can be told apart."""
    return replace(space, rows=tuple(row for row in space.rows if row.method.strategy != "exhaustive"))


def at_records(space: SpaceComparison) -> str:
    """The main metric early and late in the same searches."""
    longest = max(run.evaluations for row in space.rows for run in row.runs)
    counts = [count for count in READ_AT if count <= longest] or [longest]
    lines = [["strategy", "fitness", *map(str, counts)]]
    for row in space.rows:
        curves = np.array([run.curve(space.main, longest) for run in row.runs])
        lines.append([row.method.strategy, row.method.fitness, *(spread(curves[:, n - 1]) for n in counts)])
    return markdown(lines)


def largest_first(options: argparse.Namespace, seconds: float) -> str:
    """The same budget without a strategy: train the networks with most macs, keep the best by that accuracy."""
    setup = setup_of(options, TSS, fitness=LOOKED_UP, simulated_seconds=seconds)
    order = np.argsort(-figure_of_all(setup.space, macs), kind="stable")
    genotypes = list(setup.space.enumerate())
    assert setup.cost is not None
    lines = [["networks with most macs, trained", "trained s", *JUDGED[TSS]]]
    best, spent = genotypes[order[0]], 0.0
    for number, place in enumerate(order, 1):
        spent += setup.cost(genotypes[place])
        best = max(best, genotypes[place], key=setup.fitness(LOOKED_UP))
        if number in (5, 10, 20, 40) or spent >= seconds:
            architecture = setup.space.describe(best)
            cells = (f"{setup.table.value(architecture, column):.2f}" for column in JUDGED[TSS])
            lines.append([str(number), f"{spent:,.0f}", *cells])
        if spent >= seconds:
            break
    return markdown(lines)


def summits(options: argparse.Namespace, space: str) -> str:
    """Where a search with NAS-WOT is bound for: the best by it of many random networks."""
    pool = pool_of(options, space, ["naswot"], options.pool)
    order = np.argsort(-pool.merits["naswot"], kind="stable")
    lines = [["of random networks", "by NAS-WOT", *JUDGED[space]]]
    for count in (1, 10, 100):
        cells = [spread(pool.known[column][order[:count]]) for column in JUDGED[space]]
        lines.append([f"{len(order):,}", f"the best {count}", *cells])
    return markdown(lines)


def ranked(options: argparse.Namespace, space: str) -> str:
    """How scores rank the whole space, and what the best possible search with each of them would find."""
    pursued = {text: setup_of(options, space, fitness=text) for text in CANDIDATES}
    for setup in pursued.values():
        setup.refer(setup.reference())
    setup = setup_of(options, space)
    genotypes = list(setup.space.enumerate())
    networks = [setup.space.decode(genotype) for genotype in genotypes]
    names = dict.fromkeys(name for text in CANDIDATES for name in setup.expression(text).recorded)
    scores = {name: setup.expression(name).scores[0] for name in names}
    values = [{name: float(score(network)) for name, score in scores.items()} for network in networks]
    rows = [setup.table.index_of(setup.space.describe(genotype)) for genotype in genotypes]
    known = [np.array(setup.table.column(column))[rows] for column in JUDGED[space]]
    titles = [name for column in JUDGED[space] for name in (f"tau, {column}", "of the best by it")]
    lines = [["score", *titles, "share the best"]]
    for text, pursuing in pursued.items():
        (objective,) = pursuing.objectives.objectives
        merits = np.array([objective.merit(found) for found in values])
        best = merits == merits.max()
        cells = [(f"{kendall_tau_b(merits, each):.3f}", f"{each[best].mean():.2f}") for each in known]
        lines.append([text, *(cell for pair in cells for cell in pair), str(best.sum())])
    return markdown(lines)


def main() -> None:
    options = options_of()
    options.out.mkdir(parents=True, exist_ok=True)
    spaces = [space for space in SPACES if table_of(options, space) is not None]
    for space in SPACES:
        if space not in spaces:
            tell(f"no table of {space}: skipped; give one with --{space.removeprefix('nats-')}")
    if not spaces:
        sys.exit(1)
    strategies = ("random", *LEARNING)
    if TSS in spaces:
        seconds = 1200.0 if options.quick else 12000.0
        found = comparison(
            options,
            "accuracy",
            [TSS],
            strategies,
            [LOOKED_UP],
            options.trained_runs,
            budget=1000,
            simulated_seconds=seconds,
        )
        shown(found, options, "Accuracy itself, looked up")
        print(f"\nThe same without a strategy:\n\n{largest_first(options, seconds)}", flush=True)
    for space in spaces:
        found = comparison(
            options, "graph", [space], (*strategies, "exhaustive"), FREE, options.runs, budget=options.budget
        )
        shown(found, options, f"Scores from the layer graph, {SPACES[space]}")
        if not options.quick:
            print(f"\nAll of the {SPACES[space]} by scores from the layer graph:\n\n{ranked(options, space)}")
    for space in spaces:
        found = comparison(
            options, "naswot", [space], strategies, ["naswot"], options.naswot_runs, budget=options.naswot_budget
        )
        shown(found, options, f"NAS-WOT, {SPACES[space]}")
        print(f"\n{summits(options, space)}", flush=True)
    for space in spaces:
        print(f"\n## Published, {SPACES[space]}\n\n{markdown([['', 'seconds', *JUDGED[space]], *ANCHORS[space]])}")


if __name__ == "__main__":
    main()
