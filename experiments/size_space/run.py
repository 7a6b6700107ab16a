"""The main job on real input: trace+gdf on the NATS-Bench size space, its winners looked up in the real table.

Beside them the winners of plain trace, a random pick, and the best and mean of all networks no larger. Run:

    python experiments/size_space/run.py --sss nats_sss.csv
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import METRICS, SSS, arguments, markdown, setup_of

from engine import search
from fitness.figures import params
from fitness.table import Table
from fitness.whole_space import figure_of_all
from spaces.nats import NatsSss

COLUMNS = METRICS[SSS]
LIMIT = 200_000  # parameters, one byte each: the 200 kB that the penalty targets


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--budget", type=int, default=1000, help="records of a search")
    parser.add_argument("--seeds", type=int, default=10, help="searches of a row")
    options = parser.parse_args()
    if options.sss is None:
        sys.exit("no table of nats-sss: skipped; give one with --sss")
    if options.quick:
        options.budget, options.seeds = 50, 2
    table, space = setup_of(options, SSS).table, NatsSss()
    sizes = figure_of_all(space, params)
    architectures = [space.describe(genotype) for genotype in space.enumerate()]

    rows: list[tuple[str, list[float], dict[str, list[float]], list[float]]] = []
    for fitness in ("trace+gdf", "trace+gdf(sigma=0.1)", "trace+rdf(sigma=0.1)", "trace", "log_capacity+gdf"):
        found, seconds = [], []
        for seed in range(options.seeds):
            started = time.perf_counter()
            best = search("nats-sss", "aging", fitness, budget=options.budget, seed=seed).best
            seconds.append(time.perf_counter() - started)
            found.append(space.describe(best.genotype))
        rows.append((f"aging, `{fitness}`", *_look_up(space, table, found), seconds))
    rng = random.Random(0)
    picks = [space.describe(space.sample(rng)) for _ in range(options.seeds)]
    rows.append(("random pick", *_look_up(space, table, picks), [0.0]))
    small = [a for a, size in zip(architectures, sizes, strict=True) if size <= LIMIT]
    picks = rng.sample(small, options.seeds)
    rows.append(("random pick <= 200 kB", *_look_up(space, table, picks), [0.0]))

    lines = [["winner of", "parameters", *COLUMNS, "seconds a run"]]
    for name, sizes_found, values, seconds in rows:
        cells = [f"{statistics.mean(v):.2f} ± {statistics.pstdev(v):.2f}" for v in values.values()]
        lines.append([name, f"{statistics.mean(sizes_found):,.0f}", *cells, f"{statistics.mean(seconds):.1f}"])
    winner = max(rows[0][1])
    no_larger = [a for a, size in zip(architectures, sizes, strict=True) if size <= winner]
    for name, members in (
        ("all networks <= 200 kB", small),
        (f"all networks no larger than the winner of trace+gdf, {winner / 1000:.0f} kB", no_larger),
        ("all networks", architectures),
    ):
        best_cells, mean_cells = [], []
        for column in COLUMNS:
            values_of_all = [table.value(a, column) for a in members]
            best_cells.append(f"{max(values_of_all):.2f}")
            mean_cells.append(f"{statistics.mean(values_of_all):.2f}")
        lines.append([f"best of {name} ({len(members):,})", "", *best_cells, ""])
        lines.append([f"mean of {name}", "", *mean_cells, ""])
    print(markdown(lines))


def _look_up(space: NatsSss, table: Table, found: list[str]) -> tuple[list[float], dict[str, list[float]]]:
    """Parameters and tabulated accuracies of architectures."""
    sizes = [float(params(space.decode(space.parse(a)))) for a in found]
    return sizes, {column: [table.value(a, column) for a in found] for column in COLUMNS}


if __name__ == "__main__":
    main()
