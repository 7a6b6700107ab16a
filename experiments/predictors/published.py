"""EmProx's own comparison: 121 known cells of the topology space, 100 others judged, 20 trials.

    python experiments/predictors/published.py --tss nats_tss.csv

Franken, Singh, Vanschoren 2022, arXiv:2206.05972, CIFAR-10. As published, the cells of a trial are drawn uniformly
from all 15,625, so cells that compute the same function may be on both sides. Trial t draws its cells from seed
1000 + t and fits with seed t. The paper judges on validation accuracy, the rerun of the authors' program on test
accuracy: both are here, and no predictor sees the one that it is not judged on.

All predictors of a trial run one after another in this process, so that their seconds compare; they are seconds of
the processor. What is measured is kept in `--out`/published.json, and a second call goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import TSS, arguments, markdown, setup_of, spread, tell

from engine.results.statistics import kendall_tau_b, spearman
from fitness.predictors.base import make_predictor
from spaces.space import Genotype, Space

KNOWN, JUDGED, SEED = 121, 100, 1000
COLUMNS = {"validation": "cifar10_valid_200ep_pct", "test": "cifar10_test_200ep_pct"}
PAPER_NAO = "nao(hidden=96,layers=3,width=200,epochs=1000)"
# Predictor -> its name in the paper's table, the most trials it gets (None: all), published and rerun Kendall's tau
# and seconds of a fit. Published: the repository's README, on validation accuracy, with settings searched for up to
# an hour for BANANAS and MLP. Rerun: the authors' program on our machine, on test accuracy, without a search.
PREDICTORS = {
    "emprox(mode=reference,k=10)": ("EmProx k=10", None, "0.545", "6.45", "0.524 ± 0.048"),
    "emprox(mode=reference)": ("EmProx k=60", None, "0.547", "7.23", "0.534 ± 0.060"),
    "emprox(epochs=50)": ("EmProx, clean, 50 epochs", None, "", "", "0.531"),
    "emprox": ("EmProx, clean, 10 epochs", None, "", "", ""),
    "emprox_untrained": ("EmProx, clean, untrained", None, "", "", "0.511"),
    "nao": ("NAO", None, "0.484", "54.17", "0.518 ± 0.019"),
    PAPER_NAO: ("NAO, its own paper's training", 1, "", "", ""),
    "seminas": ("SemiNAS", 4, "0.582", "152.23", ""),
    "bananas": ("BANANAS", None, "0.291", "507.39", ""),
    "bananas(features=onehot)": ("BANANAS on one-hot", None, "", "", ""),
    "mlp": ("MLP", None, "0.376", "471.75", ""),
    "forest(features=onehot,target=plain)": ("random forest", None, "", "", "0.505 ± 0.060"),
    "boosting(features=onehot,target=plain)": ("XGB", None, "0.472", "31.65", "0.486 ± 0.067"),
    "knn(features=onehot,target=plain)": ("kNN on one-hot", None, "", "", "0.423"),
    "blend": ("ours", None, "", "", ""),
}


def main() -> None:
    options = parsed()
    setup = setup_of(options, TSS)
    table, space = setup.table, setup.space
    truths = {what: np.array(table.column(name)) for what, name in COLUMNS.items()}
    path = options.out / "published.json"
    measured: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    for trial in range(options.trials):
        places = np.random.default_rng(SEED + trial).choice(len(table.architectures), KNOWN + JUDGED, replace=False)
        cells = [space.parse(table.architectures[place]) for place in places]
        for text in options.predictors:
            most = PREDICTORS[text][1] if text in PREDICTORS else None
            for what, truth in truths.items():
                name = f"{text} {what} {trial}"
                if name in measured or (most is not None and trial >= most):
                    continue
                measured[name] = judged(text, space, trial, cells, truth[places])
                tell(f"{name}: tau {measured[name]['kendall']:.3f}, fit {measured[name]['fit_s']:.2f} s")
                path.write_text(json.dumps(measured, indent=1))
    print_tables(options, measured)
    tell(f"kept in {path}")


def judged(text: str, space: Space, seed: int, cells: list[Genotype], truth: np.ndarray) -> dict[str, float]:
    """Fit on the first cells, judge the others."""
    predictor = make_predictor(text, space, seed=seed)
    started = time.process_time()
    predictor.fit(cells[:KNOWN], truth[:KNOWN])
    fitted = time.process_time()
    mean = predictor.predict(cells[KNOWN:]).mean
    asked = time.process_time()
    expected = truth[KNOWN:]
    return {
        "kendall": kendall_tau_b(mean, expected),
        "spearman": spearman(mean, expected),
        "pearson": float(np.corrcoef(mean, expected)[0, 1]),
        "mae": float(np.abs(mean - expected).mean()),
        "fit_s": fitted - started,
        "query_ms": 1000 * (asked - fitted) / JUDGED,
    }


def print_tables(options: argparse.Namespace, measured: dict[str, dict[str, float]]) -> None:
    """What was measured beside what is published, and how many times faster EmProx fits."""

    def of(text: str, what: str, figure: str) -> np.ndarray:
        found = [measured.get(f"{text} {what} {trial}") for trial in range(options.trials)]
        return np.array([one[figure] for one in found if one])

    head = ["predictor", "trials", "validation τ", "published τ", "test τ", "rerun τ", "Spearman", "Pearson", "MAE"]
    rows = [[*head, "fit s", "published fit s", "query ms"]]
    for text in options.predictors:
        label, _, published, seconds, rerun = PREDICTORS.get(text, (text, None, "", "", ""))
        fits = np.concatenate([of(text, what, "fit_s") for what in COLUMNS])
        queries = np.concatenate([of(text, what, "query_ms") for what in COLUMNS])
        rows.append(
            [
                f"{label} `{text}`",
                str(len(of(text, "test", "kendall"))),
                spread(of(text, "validation", "kendall"), 3),
                published,
                spread(of(text, "test", "kendall"), 3),
                rerun,
                *(spread(of(text, "validation", figure), 2) for figure in ("spearman", "pearson", "mae")),
                f"{np.median(fits):.2f}",
                seconds,
                f"{np.median(queries):.3f}",
            ]
        )
    print(f"Spearman, Pearson and MAE (percent) on validation accuracy; {KNOWN} known, {JUDGED} judged.\n")
    print(markdown(rows))
    slow = [text for text in ("nao", PAPER_NAO, "seminas") if text in options.predictors]
    fast = [text for text in ("emprox(epochs=50)", "emprox") if text in options.predictors]
    rows = [["a fit of", *(f"takes so many times as long as one of `{text}`" for text in fast)]]
    for text in slow:
        fits = of(text, "validation", "fit_s")
        ratios = [fits / of(one, "validation", "fit_s")[: len(fits)] for one in fast]
        rows.append([f"`{text}`", *(f"{np.median(ratio):.1f}" for ratio in ratios)])
    print(f"\nMedians over the same trials.\n\n{markdown(rows)}")


def parsed() -> argparse.Namespace:
    """The options, those of a quick run filled in."""
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=20, help="draws of cells (published: 20)")
    parser.add_argument("--predictors", nargs="+", default=list(PREDICTORS), help="as for make_predictor")
    options = parser.parse_args()
    if options.tss is None:
        parser.error("no table of the topology space; add --tss nats_tss.csv")
    if options.quick:
        options.trials = 1
        options.predictors = ["emprox", "emprox_untrained", "knn(features=onehot,target=plain)"]
    return options


if __name__ == "__main__":
    main()
