"""How well predictors order the networks of a benchmark that they were not told, and how long they take.

    python experiments/predictors/quality.py --tss nats_tss.csv --sss nats_sss.csv

For every seed, known networks are drawn from all rows of a table; predictors learn their accuracies in one column
and are asked for others, without those that compute the same function as a known one (equal keys of the simplified
networks): `tau`. `tau by key` leaves out less, only networks of equal key as they stand. Nothing but the known
accuracies of the one column enters. Predictors are the registered ones with their defaults, their own seed is 0.

Seconds are those of the processor. A query is one network of many asked at once: the first time, when its features
are made, and from then on. What is measured is kept in `--out`/quality.json; a second call goes on where it was,
and `--report` only prints it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, pearsonr, spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import METRICS, SSS, TSS, arguments, markdown, spread, table_of, tell

from fitness.benchmarks import shipped_table
from fitness.predictors.base import Predictor, make_predictor
from fitness.table import Table
from spaces import SPACES
from spaces.space import Genotype, Space

BEST = "blend"
TREES = ("boosting", "forest", "extra_trees", "gp")
PLAIN = ("knn", "ridge")
NEURAL = ("emprox(epochs=50)", "emprox_untrained", "bananas", "mlp")
SLOW = ("nao", "seminas")
KNOWN = (20, 64, 121, 256, 400, 1024)
MUNAS = "munas"
COLUMNS = {**METRICS, MUNAS: ("cifar10_test_6ep_pct",)}
CIFAR10, CIFAR100 = METRICS[TSS][:2], METRICS[TSS][2:]


@dataclass(frozen=True)
class Part:
    """What is measured of a space: every predictor at every number of known networks, columns and seeds in turn."""

    space: str
    columns: tuple[str, ...]
    predictors: tuple[str, ...]
    known: tuple[int, ...]
    seeds: int
    judged: int | None  # networks asked for, always the same; None: all


PLAN = (
    Part(TSS, CIFAR10, (BEST,), (121,), 20, None),
    Part(TSS, CIFAR10, (*TREES, *PLAIN, *NEURAL), (121,), 5, 3000),
    Part(TSS, CIFAR100, (BEST,), (121,), 20, None),
    Part(TSS, CIFAR10, (BEST,), KNOWN, 5, None),
    Part(SSS, METRICS[SSS], (BEST, *TREES, *PLAIN), (121,), 5, 3000),
    Part(MUNAS, COLUMNS[MUNAS], (BEST, *TREES, *PLAIN), (20, 64, 121), 5, None),
    Part(TSS, CIFAR10[:1], (*TREES, *PLAIN), KNOWN, 3, 3000),
    Part(TSS, CIFAR10[:1], NEURAL, (20, 64, 256, 400), 3, 3000),
    Part(TSS, CIFAR100[:1], (*TREES, *PLAIN, *NEURAL), (121,), 3, 3000),
    Part(SSS, METRICS[SSS][:1], (BEST, *TREES, *PLAIN), KNOWN, 3, 3000),
    Part(TSS, CIFAR10, SLOW, (121,), 3, 3000),
    Part(TSS, CIFAR10[:1], NEURAL, (1024,), 3, 3000),
)
QUICK = tuple(
    Part(space, columns[:1], (BEST, "knn"), (40,), 1, 150)
    for space, columns in ((TSS, CIFAR10), (SSS, METRICS[SSS]), (MUNAS, COLUMNS[MUNAS]))
)
Measured = dict[str, dict[str, float]]


class Judged:
    """The networks of a table, and which of them compute the same."""

    def __init__(self, name: str, path: Path) -> None:
        self.table = Table.open(path)
        space = SPACES.create(name, {})
        # With one cell per stage the same genotypes have equal keys, and building them costs less.
        thin = SPACES.create(name, {"cells": 1}) if name == TSS else space
        assert isinstance(space, Space)
        assert isinstance(thin, Space)
        self.space, self._thin = space, thin
        self.count = len(self.table.architectures)
        self._read: dict[int, tuple[Genotype, str, str]] = {}

    def apart(self, asked: NDArray[np.int64], known: NDArray[np.int64]) -> tuple[NDArray[np.bool_], ...]:
        """Of each place asked for, whether no known one's simplified network, and none as it stands, is equal."""
        pairs, others = ([self._of(place)[1:] for place in places.tolist()] for places in (asked, known))
        taken = [set(each) for each in zip(*others, strict=True)]
        return tuple(np.array([pair[which] not in taken[which] for pair in pairs]) for which in (0, 1))

    def networks(self, places: NDArray[np.int64]) -> list[Genotype]:
        """Of rows of the table."""
        return [self._of(place)[0] for place in places.tolist()]

    def _of(self, place: int) -> tuple[Genotype, str, str]:
        """A row's genotype, the key of its simplified network, and its own."""
        if place not in self._read:
            genotype = self._thin.parse(self.table.architectures[place])
            network = self._thin.decode(genotype)
            self._read[place] = genotype, network.simplified().key, network.key
        return self._read[place]


def main() -> None:
    options = parsed()
    path = options.out / "quality.json"
    measured: Measured = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    spaces: dict[str, Judged] = {}
    for part in () if options.report else chosen(options):
        shipped = shipped_table(part.space)
        file = shipped.path if shipped else table_of(options, part.space)
        if file is None:
            tell(f"{part.space} is left out: no table of it")
            continue
        if part.space not in spaces:
            spaces[part.space] = Judged(part.space, file)
        measure(part, spaces[part.space], measured, path)
    print_tables(measured)


def measure(part: Part, judged: Judged, measured: Measured, path: Path) -> None:
    """Add what is missing, and keep it at once."""
    total = judged.count
    asked = np.random.default_rng(2**31).permutation(total)[: part.judged]
    for text in part.predictors:
        predictor: Predictor | None = None
        for known in part.known:
            for seed in range(part.seeds):
                drawn = np.random.default_rng(seed).permutation(total)[:known]
                apart = None
                for column in part.columns:
                    name = "|".join((part.space, column, text, str(known), str(seed)))
                    if name in measured:
                        continue
                    predictor = predictor or prepared(text, judged, asked, measured, part.space)
                    apart = apart or judged.apart(asked, drawn)
                    values = np.array(judged.table.column(column))
                    measured[name] = once(predictor, judged, values, drawn, asked, apart)
                    tell(f"{name}: tau {measured[name]['tau']:.3f}, fit {measured[name]['fit_s']:.2f} s")
            path.write_text(json.dumps(measured, indent=1))


def prepared(text: str, judged: Judged, asked: NDArray[np.int64], measured: Measured, space: str) -> Predictor:
    """A predictor that has seen the networks once: the cost of a first query goes on record."""
    predictor = make_predictor(text, judged.space)
    networks = judged.networks(asked)
    predictor.fit(networks[:2], [0.0, 1.0])
    started = time.process_time()
    predictor.predict(networks)
    measured[f"{space}|{text}"] = {"first_query_ms": 1000 * (time.process_time() - started) / len(asked)}
    return predictor


def once(
    predictor: Predictor,
    judged: Judged,
    values: NDArray[np.float64],
    drawn: NDArray[np.int64],
    asked: NDArray[np.int64],
    apart: Sequence[NDArray[np.bool_]],
) -> dict[str, float]:
    """The figures of one draw of known networks."""
    networks, known = judged.networks(asked), judged.networks(drawn)
    started = time.process_time()
    predictor.fit(known, values[drawn])
    fitted = time.process_time()
    mean, std = predictor.predict(networks)
    answered = time.process_time()
    simplified, plain = apart
    truth = values[asked]
    error = np.abs(mean - truth)[simplified]
    return {
        "tau": kendalltau(mean[simplified], truth[simplified])[0],
        "tau_by_key": kendalltau(mean[plain], truth[plain])[0],
        "spearman": spearmanr(mean[simplified], truth[simplified])[0],
        "pearson": pearsonr(mean[simplified], truth[simplified])[0],
        "mae": error.mean(),
        "within_2_std": (error <= 2 * std[simplified]).mean(),
        "fit_s": fitted - started,
        "query_ms": 1000 * (answered - fitted) / len(networks),
    }


def print_tables(measured: Measured) -> None:
    """One table per column of a benchmark: predictors at 121 known networks; one of tau by how many are known."""
    found: dict[tuple[str, str], dict[str, dict[int, list[dict[str, float]]]]] = {}
    for name, figures in measured.items():
        if name.count("|") > 1:
            space, column, text, known, _ = name.split("|")
            found.setdefault((space, column), {}).setdefault(text, {}).setdefault(int(known), []).append(figures)
    for (space, column), predictors in found.items():
        counts = sorted({known for each in predictors.values() for known in each})
        at = 121 if 121 in counts else counts[-1]
        head = [
            "predictor",
            "seeds",
            "tau",
            "tau by key",
            "Spearman",
            "Pearson",
            "MAE",
            "fit s",
            "query ms",
            "first",
        ]
        rows = [head]
        for text, by_known in predictors.items():
            if at in by_known:
                of = {name: np.array([each[name] for each in by_known[at]]) for name in by_known[at][0]}
                means = (spread(of[name], 3 if name != "mae" else 2) for name in _SHOWN)
                first = measured[f"{space}|{text}"]["first_query_ms"]
                rows.append(
                    [
                        f"`{text}`",
                        str(len(by_known[at])),
                        *means,
                        f"{np.median(of['fit_s']):.2f}",
                        f"{np.median(of['query_ms']):.3f}",
                        f"{first:.2f}",
                    ]
                )
        print(f"\n{space}, {column}, {at} known\n\n{markdown(rows)}")
        if len(counts) > 1:
            rows = [["tau at known", *map(str, counts)]]
            for text, by_known in predictors.items():
                taus = ([each["tau"] for each in by_known.get(known, ())] for known in counts)
                rows.append([f"`{text}`", *(f"{np.mean(each):.3f} ({len(each)})" if each else "" for each in taus)])
            print(f"\n{space}, {column}; in brackets the number of seeds\n\n{markdown(rows)}")


_SHOWN = ("tau", "tau_by_key", "spearman", "pearson", "mae")


def chosen(options: argparse.Namespace) -> tuple[Part, ...]:
    """What is to be measured: the plan, a quick one, or what the options name."""
    if options.quick:
        return QUICK
    if not options.predictors:
        return PLAN
    part = Part(options.space, COLUMNS[options.space], (), KNOWN[:4], options.seeds, options.judged)
    columns, known = options.columns or part.columns, options.known or part.known
    return (replace(part, columns=tuple(columns), known=tuple(known), predictors=tuple(options.predictors)),)


def parsed() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--report", action="store_true", help="measure nothing, print what is kept")
    parser.add_argument("--predictors", nargs="+", help="instead of the plan: these, as for make_predictor")
    parser.add_argument("--space", default=TSS, choices=list(COLUMNS), help="with --predictors")
    parser.add_argument("--columns", nargs="+", help="with --predictors (default: all of the space)")
    parser.add_argument("--known", nargs="+", type=int, help="with --predictors")
    parser.add_argument("--seeds", type=int, default=5, help="with --predictors")
    parser.add_argument("--judged", type=int, help="with --predictors: networks asked for (default: all)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
