"""Which score ranks networks for microcontrollers? From the benchmark of trained munas networks in the package.

    python experiments/mcu/run.py --data npz:cifar10_small.npz

Rank correlation of every score, figure and combination with test accuracy, overall and per band of flash, random
networks and all; what an evolved network is worth beside a random one; what the filter on the bottleneck rejects;
and the accuracy lost by training only the best ranked few under a budget. Interrupted, it goes on: scores are kept.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from itertools import pairwise
from math import inf, isnan, nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import arguments, markdown, setup_of, spread, tell

from engine.preparation import sample_scores
from engine.results.bootstrap import Interval, resampled_taus, spread_of
from engine.results.limits import Banded, Limits, ranked_in_bands
from engine.results.regret import mean_regrets, regrets_of_random
from engine.results.statistics import kendall_tau_b
from engine.score_cache import scores_of
from engine.setup import Setup
from spaces.space import Genotype

Floats = NDArray[np.float64]

SPACE, METRIC = "munas", "cifar10_test_6ep_pct"
FIGURES = ("params", "macs", "n_relu", "aleph", "depth", "log_capacity", "flash_bytes", "peak_ram_bytes")
SCORES = (
    *("bottleneck", "naswot", "jacob_cov", "epe_nas", "synflow", "snip", "grad_norm", "fisher"),
    *("zico(batch=128)", "zen", "swap", "near", "meco"),
)
COMBINATIONS = (
    ("params", "macs"),
    ("params", "jacob_cov"),
    ("params", "naswot"),
    ("params", "near"),
    ("params", "macs", "jacob_cov"),
    ("params", "macs", "naswot"),
    ("params", "macs", "near"),
    ("params", "macs", "bottleneck"),
    ("params", "macs", "bottleneck", "jacob_cov"),
    ("params", "bottleneck", "naswot"),
)
QUICK = ("bottleneck", "naswot", "jacob_cov")
BANDS = Limits("flash_bytes", (2_048, 8_192, 32_768, 131_072))
BUDGETS = (4_096, 8_192, 16_384, 32_768, 65_536, 131_072)
TRAINED = (1, 3)
LEAST_BOTTLENECK = 5  # half the classes
LEVEL, RESAMPLES = 0.95, 1_000


class Networks:
    """The networks of the table, what is known of them, and their scores."""

    def __init__(self, setup: Setup, options: Namespace) -> None:
        self.setup, self.workers = setup, options.workers
        table = setup.table
        known = [row for row, value in enumerate(table.column(METRIC)) if not isnan(value)]
        self.rows = np.array(known[:16] if options.quick else known)
        self.genotypes: list[Genotype] = [setup.space.parse(table.architecture(row)) for row in self.rows]
        self.accuracy = self.column(METRIC)
        self.origin = self.column("evolved")
        self.values: dict[str, Floats] = {}
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, int] = {}

    def column(self, name: str) -> Floats:
        """What the table knows, nan where it does not."""
        return np.array(self.setup.table.column(name), dtype=np.float64)[self.rows]

    def compute(self, names: Sequence[str]) -> None:
        """Score the networks; together, since scores share their passes."""
        started = time.perf_counter()
        scores = {name: self.setup.expression(name).scores[0] for name in names}
        found = scores_of(self.setup, list(scores.values()), self.genotypes, workers=self.workers)
        for name, score in scores.items():
            column = found[score.name]
            raw = np.array([nan if value is None else value for value in column.values])
            turned = raw if name in FIGURES or score.direction == "max" else -raw  # figures: the larger, the better
            self.values[name] = np.where(np.isnan(raw), -inf, turned)
            self.seconds[name] = float(np.mean(column.seconds))
            self.failed[name] = int(np.isnan(raw).sum())
        tell(f"{len(names)} scores of {len(self.genotypes)} networks: {time.perf_counter() - started:.0f} s")

    def combined(self, names: tuple[str, ...]) -> Floats:
        """As `engine run --fitness a+b` ranks: quantiles in a fixed sample of the space, multiplied."""
        expression = self.setup.expression("+".join(names))
        expression.refer(sample_scores(self.setup, expression.scores))
        raw = [self.values[name] for name in names]
        merits = []
        for row in zip(*raw, strict=True):
            known = all(value > -inf for value in row)
            merits.append(expression.merit(dict(zip(names, row, strict=True))) if known else -inf)
        return np.array(merits)


def correlations(networks: Networks, rankings: dict[str, Floats]) -> str:
    """Tau of everything, greatest first: all networks, in bands, random ones alone."""
    lines = []
    size, random = networks.values["flash_bytes"], networks.origin == 0
    for name, ranking in rankings.items():
        tau = kendall_tau_b(ranking, networks.accuracy)
        interval = spread_of(resampled_taus(ranking, networks.accuracy, RESAMPLES, [0]), LEVEL)
        settings = {"level": LEVEL, "resamples": RESAMPLES, "seed": 0}
        bands = ranked_in_bands(ranking, networks.accuracy, size, BANDS, **settings)
        alone = kendall_tau_b(ranking[random], networks.accuracy[random])
        cost = sum(networks.seconds[part] for part in name.split("+"))
        failed = max(networks.failed[part] for part in name.split("+"))
        lines.append(
            (tau, [name, _interval(tau, interval), *_bands(bands), f"{alone:.2f}", f"{failed}", f"{cost:.2f}"])
        )
    titles = ["score", "tau", *(f"{low // 1024}-{high // 1024} kB" for low, high in pairwise(BANDS.numbers))]
    titles += ["mean in band", "tau, random networks", "failed", "seconds"]
    return markdown(
        [titles, *(line for _, line in sorted(lines, key=lambda line: -np.nan_to_num(line[0], nan=-2)))]
    )


def _interval(value: float, interval: Interval | None) -> str:
    return f"{value:.2f}" + (f" [{interval.low:.2f}, {interval.high:.2f}]" if interval else "")


def _bands(banded: Banded) -> list[str]:
    taus = [_interval(band.tau.value, band.tau.interval) for band in banded.bands]
    return [*taus, _interval(banded.mean.value, banded.mean.interval)]


def regrets(networks: Networks, rankings: dict[str, Floats]) -> str:
    """Points lost under budgets of flash by training the best ranked, with and without the filter."""
    size, accuracy = networks.values["flash_bytes"], networks.accuracy
    passes = networks.values["bottleneck"] >= LEAST_BOTTLENECK
    lines = []
    for name, ranking in rankings.items():
        plain = mean_regrets(ranking, accuracy, size, BUDGETS, TRAINED, 0)
        filtered = mean_regrets(np.where(passes, ranking, -inf), accuracy, size, BUDGETS, TRAINED, 0)
        lines.append((name, plain, filtered))
    lines.sort(key=lambda line: float(np.nanmean(line[2][:, 1])))
    chance = regrets_of_random(accuracy, size, BUDGETS, TRAINED, 0)
    rng = np.random.default_rng(0)
    lucky = [np.where(passes, rng.random(len(accuracy)), -inf) for _ in range(20)]
    kept = np.mean([mean_regrets(luck, accuracy, size, BUDGETS, TRAINED, 0) for luck in lucky], axis=0)
    lines.append(("random", chance, kept))
    titles = ["ranked by", "1 trained", "3 trained", "1, filtered", "3, filtered"]
    titles += [f"3, filtered, <= {budget // 1024} kB" for budget in BUDGETS]
    rows = [
        [
            name,
            *(f"{value:.1f}" for value in np.nanmean(plain, axis=0)),
            *(f"{v:.1f}" for v in np.nanmean(kept, axis=0)),
        ]
        + [f"{value:.1f}" for value in kept[:, 1]]
        for name, plain, kept in lines
    ]
    return markdown([titles, *rows])


def noise(networks: Networks) -> str:
    """What another seed and a longer schedule change."""
    lines = [["accuracies compared", "networks", "tau", "mean difference", "deviation of a training"]]
    for title, column in (("seed 1", "cifar10_test_6ep_seed1_pct"), ("24 epochs", "cifar10_test_24ep_pct")):
        other = networks.column(column)
        both = ~np.isnan(other)
        if both.sum() > 2:
            difference = other[both] - networks.accuracy[both]
            tau = kendall_tau_b(other[both], networks.accuracy[both])
            deviation = f"{difference.std() / np.sqrt(2):.2f}" if title == "seed 1" else ""
            lines.append([title, str(both.sum()), f"{tau:.2f}", f"{difference.mean():+.1f}", deviation])
    return markdown(lines)


def origins(networks: Networks) -> str:
    """Accuracy by where networks are from, per band."""
    size, names = (
        networks.values["flash_bytes"],
        ("random", "aging, trace", "aging, params+macs", "aging, log_capacity"),
    )
    lines = [["networks", *(f"{low // 1024}-{high // 1024} kB" for low, high in BANDS.between)]]
    for place, name in enumerate(names):
        cells = []
        for low, high in BANDS.between:
            found = networks.accuracy[(networks.origin == place) & (size >= low) & (size < high)]
            cells.append(f"{spread(found, 1)}, best {found.max():.1f} (n {len(found)})" if len(found) else "")
        lines.append([name, *cells])
    return markdown(lines)


def bottlenecks(networks: Networks) -> str:
    """Accuracy by the narrowest map."""
    narrow = networks.values["bottleneck"]
    lines = [["bottleneck", "networks", "accuracy", "best"]]
    for low, high in ((0, 5), (5, 10), (10, 20), (20, 50), (50, inf)):
        found = networks.accuracy[(narrow >= low) & (narrow < high)]
        if len(found):
            title = f"{low} to {high - 1}" if high < inf else f"{low} and more"
            lines.append([title, str(len(found)), spread(found, 1), f"{found.max():.1f}"])
    return markdown(lines)


def main() -> None:
    options = arguments(__doc__).parse_args()
    networks = Networks(setup_of(options, SPACE), options)
    singles = (*FIGURES, *(QUICK if options.quick else SCORES))
    networks.compute(singles)
    rankings = dict(networks.values)
    wanted = [names for names in COMBINATIONS if set(names) <= set(singles)]
    rankings |= {"+".join(names): networks.combined(names) for names in wanted[: 1 if options.quick else None]}
    for title, text in (
        ("Noise", noise(networks)),
        ("Where the networks are from", origins(networks)),
        ("Bottleneck", bottlenecks(networks)),
        (f"Rank correlation with {METRIC}", correlations(networks, rankings)),
        ("Regret in points of accuracy", regrets(networks, rankings)),
    ):
        print(f"## {title}\n\n{text}\n", flush=True)


if __name__ == "__main__":
    main()
