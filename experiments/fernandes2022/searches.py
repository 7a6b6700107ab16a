"""Experiments 2 and 4: random search that keeps the best score, from scores computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from common import METRICS, SSS, TSS, Floats, Pool, best_of_random, markdown, spread
from correlations import Whole, short
from numpy.typing import NDArray
from scipy.stats import rankdata

Places = NDArray[np.int64]
FEW = 10  # runs, as in the dissertation
PENALISED = (
    *("trace", "trace+gdf", "trace+gdf(sigma=0.632)", "trace+gdf(literal=true)", "trace+hsdf", "trace+rdf"),
    *("trace+rdf(sigma=0.1)", "log_capacity+gdf", "params+gdf"),
)
# Published: seconds of N networks on the authors' machine, then the columns of METRICS. NAS-WOT and REA: Mellor et
# al. 2021, tables 2 and 2b (500 runs, GTX 1080 Ti; the size space by validation accuracy); EPE-NAS: Lopes et al.
# 2021 (3 runs); TE-NAS: Chen et al. 2021; AZ-NAS: Lee, Ham 2024 (5 runs). The dissertation's own tables 5 to 7 are
# pictures; its table 3 quotes NAS-WOT as EPE-NAS's authors measured it: 92.47, 91.41, 91.20 on CIFAR-10, test.
PUBLISHED = {
    TSS: (
        ("NAS-WOT N=10", "3.05", "89.14 ± 1.14", "92.44 ± 1.13", "68.50 ± 2.03", "68.62 ± 2.04"),
        ("NAS-WOT N=100", "30.01", "89.55 ± 0.89", "92.81 ± 0.99", "69.35 ± 1.70", "69.48 ± 1.70"),
        ("NAS-WOT N=1000", "306.19", "89.69 ± 0.73", "92.96 ± 0.81", "69.86 ± 1.21", "69.98 ± 1.22"),
        ("EPE-NAS N=10", "2.77", "89.90 ± 0.21", "92.63 ± 0.32", "69.78 ± 2.44", "70.10 ± 1.71"),
        ("EPE-NAS N=100", "20.47", "88.74 ± 3.16", "91.59 ± 0.87", "67.28 ± 3.68", "67.19 ± 3.82"),
        ("EPE-NAS N=1000", "206.23", "87.87 ± 0.85", "91.31 ± 1.69", "69.44 ± 0.83", "69.58 ± 0.83"),
        ("TE-NAS, by pruning", "1558", "", "93.9 ± 0.47", "", "71.24 ± 0.56"),
        ("AZ-NAS N=3000", "128", "", "93.53 ± 0.15", "", "70.75 ± 0.48"),
        ("REA, trains", "12000", "91.19 ± 0.31", "93.92 ± 0.30", "71.81 ± 1.12", "71.84 ± 0.99"),
    ),
    SSS: (
        ("NAS-WOT N=10", "3.02", "88.95 ± 0.88", "64.55 ± 4.57"),
        ("NAS-WOT N=100", "32.36", "89.68 ± 0.51", "66.71 ± 3.05"),
        ("NAS-WOT N=1000", "248.23", "90.14 ± 0.30", "68.96 ± 1.54"),
        ("REA, trains", "12000", "90.37 ± 0.20", "70.23 ± 0.50"),
    ),
}


@dataclass(frozen=True)
class Method:
    """A score of random networks.

    Attributes:
        name: As shown.
        winners: Places of the winners of (N, runs) random searches.
        known: Accuracies of the networks, by column.
        params: Of the networks.
        size: Their number.
        seconds: A network takes.
    """

    name: str
    winners: Callable[[int, int], Places]
    known: Mapping[str, Floats]
    params: Floats
    size: int
    seconds: float = 0.0


def of_pool(pool: Pool, name: str, merits: Floats, seconds: float = 0.0) -> Method:
    """A method that keeps the network of greatest merit."""
    params = pool.values["params"] if "params" in pool.values else np.full(len(merits), np.nan)
    return Method(
        name, lambda count, runs: best_of_random(merits, count, runs), pool.known, params, len(merits), seconds
    )


def rank_sum_winners(scores: Sequence[Floats]) -> Callable[[int, int], Places]:
    """Winners by the sum of ranks within what a search has drawn, as TE-NAS adds its two; larger is better."""

    def winners(count: int, runs: int) -> Places:
        rng = np.random.default_rng(0)
        chosen = np.empty(runs, dtype=np.int64)
        for run in range(runs):
            drawn = rng.permutation(len(scores[0]))[:count]
            total = sum(rankdata(score[drawn], method="dense") for score in scores)
            chosen[run] = drawn[np.argmax(total)]
        return chosen

    return winners


def found_by(method: Method, count: int, runs: int, columns: Sequence[str]) -> list[str]:
    """Accuracies of what the searches found."""
    winners = method.winners(count, runs)
    return [spread(method.known[column][winners]) for column in columns]


def blocks(titles: Sequence[str], runs: int) -> list[str]:
    """The titles once for each number of runs."""
    return [f"{title}, {number} runs" for number in (FEW, runs) for title in titles]


def searched(space: str, methods: Sequence[Method], counts: Sequence[int], runs: int, whole: Whole) -> str:
    """Experiment 2: every method with every N that its networks suffice for, then what needs no score."""
    columns = METRICS[space]
    lines = [["", "N", "search, s", *blocks([short(column) for column in columns], runs)]]
    for method in methods:
        for count in (n for n in counts if n < method.size):
            values = [cell for number in (FEW, runs) for cell in found_by(method, count, number, columns)]
            mark = " \\*" if 2 * count > method.size else ""
            lines.append([method.name + mark, str(count), f"{count * method.seconds:.2g}", *values])
    for name, values in references(whole, columns).items():
        lines.append([name, "", "", *[""] * len(columns), *values])
    return f"{markdown(lines)}\n\n\\* searches share more than half of their networks: the deviation is too small."


def references(whole: Whole, columns: Sequence[str]) -> dict[str, list[str]]:
    """What a space gives without a search."""
    order = np.argsort(-whole.figures["macs"], kind="stable")
    everything = {column: whole.known[column] for column in columns}
    return {
        "a random network": [spread(values) for values in everything.values()],
        "the network with most macs": [f"{values[order[0]]:.2f}" for values in everything.values()],
        "best of the 20 with most macs, trained": [
            f"{values[order[:20]].max():.2f}" for values in everything.values()
        ],
        "best of the space": [f"{values.max():.2f}" for values in everything.values()],
    }


def published(space: str) -> str:
    """The published rows beside."""
    return markdown(
        [["published", "seconds", *map(short, METRICS[space])], *(list(row) for row in PUBLISHED[space])]
    )


def merits_of(pool: Pool, text: str) -> Floats:
    """What an expression of scores of the pool says of its networks."""
    expression = pool.setup.expression(text)
    rows = zip(*(pool.values[name] for name in expression.recorded), strict=True)
    return np.array([expression.merit(dict(zip(expression.recorded, row, strict=True))) for row in rows])


def penalised(space: str, methods: Sequence[Method], count: int, runs: int, seconds: Mapping[str, Floats]) -> str:
    """Experiment 4: size and accuracy of what a score finds with and without a penalty."""
    columns = METRICS[space]
    lines = [["", "search, s", *blocks(["kB", *(short(column) for column in columns)], runs)]]
    for method in methods:
        taken = spread(seconds[method.name], 3) if method.name in seconds else f"{count * method.seconds:.2g}"
        lines.append([method.name, taken])
        for number in (FEW, runs):
            size = spread(method.params[method.winners(count, number)] / 1000, 0)
            lines[-1] += [size, *found_by(method, count, number, columns)]
    plain, weighed = (
        (seconds[name].mean(), next(m.params[m.winners(count, runs)].mean() for m in methods if m.name == name))
        for name in ("trace", "trace+gdf")
    )
    more, less = 100 * (weighed[0] / plain[0] - 1), 100 * weighed[1] / plain[1]
    return (
        f"{markdown(lines)}\n\nThe GDF costs {more:.0f} % more time and finds networks of {less:.0f} % of the size."
    )


def limited(pool: Pool, limit: float, figure: str) -> Floats:
    """Merits of the plain way: the largest network, by some figure, that is no larger than a limit of bytes."""
    return np.where(pool.values["params"] <= limit, pool.values[figure], -pool.values["params"])
