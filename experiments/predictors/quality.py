"""How well predictors order the networks of a benchmark that they were not told, and how long they take.

For every seed, `known` networks are drawn from all rows of a table; predictors learn their accuracies and are asked
for all other networks, except those that compute the same function as a known one (equal keys of the simplified
networks). `tau` is Kendall's tau-b, `tau_by_key` the same where only networks of equal key are left out. Nothing
but the known accuracies of the one column enters. Features are made before, once: `first_query_ms` has their cost.

    python experiments/predictors/quality.py --space nats-tss --table ../shared/data/nats_tss.csv \
        --column cifar10_valid_200ep_pct --predictor blend --known 121 --seeds 20
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau, pearsonr, spearmanr

from fitness.predictors.base import Predictor, make_predictor
from fitness.table import Table
from spaces import SPACES
from spaces.space import Genotype, Space


def keys_of(space: Space, networks: Sequence[Genotype]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n,), equal where simplified networks have equal keys, and where the networks themselves have."""
    simplified, plain = [], []
    for genotype in networks:
        network = space.decode(genotype)
        plain.append(network.key)
        simplified.append(network.simplified().key)
    return np.unique(simplified, return_inverse=True)[1], np.unique(plain, return_inverse=True)[1]


def thin(name: str) -> Space:
    """The space with one cell per stage where it has such an option: equal keys there are equal keys anywhere."""
    space = SPACES.create(name, {"cells": 1} if name in ("nats-tss", "nas-bench-101") else {})
    assert isinstance(space, Space)
    return space


def once(
    predictor: Predictor,
    networks: Sequence[Genotype],
    values: np.ndarray,
    keys: Sequence[np.ndarray],
    known: int,
    seed: int,
) -> dict[str, float]:
    """The figures of one seed."""
    drawn = np.random.default_rng(seed).permutation(len(networks))[:known]
    start = time.process_time()
    predictor.fit([networks[i] for i in drawn], values[drawn])
    fitted = time.process_time()
    mean, std = predictor.predict(networks)
    asked = time.process_time()
    simplified, plain = (~np.isin(each, each[drawn]) for each in keys)
    error = np.abs(mean - values)[simplified]
    return {
        "tau": kendalltau(mean[simplified], values[simplified])[0],
        "tau_by_key": kendalltau(mean[plain], values[plain])[0],
        "spearman": spearmanr(mean[simplified], values[simplified])[0],
        "pearson": pearsonr(mean[simplified], values[simplified])[0],
        "mae": error.mean(),
        "within_2_std": (error <= 2 * std[simplified]).mean(),
        "fit_s": fitted - start,
        "query_ms": 1000 * (asked - fitted) / len(networks),
    }


def main() -> None:
    """Measure and print one JSON line per column, predictor and number of known networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="nats-tss")
    parser.add_argument("--table", required=True)
    parser.add_argument("--column", action="append", required=True)
    parser.add_argument("--predictor", action="append", required=True)
    parser.add_argument("--known", default="121")
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    table = Table.open(given.table)
    space = SPACES.create(given.space, {})
    assert isinstance(space, Space)
    small = thin(given.space)
    networks = [small.parse(text) for text in table.architectures]
    keys = keys_of(small, networks)
    for text in given.predictor:
        predictor = make_predictor(text, space)
        start = time.process_time()
        predictor.fit(networks[:2], [0.0, 1.0])
        predictor.predict(networks)  # features are remembered
        features_ms = 1000 * (time.process_time() - start) / len(networks)
        for column in given.column:
            values = np.array(table.column(column))
            for known in map(int, given.known.split(",")):
                rows = [once(predictor, networks, values, keys, known, seed) for seed in range(given.seeds)]
                told: dict[str, object] = {
                    "column": column,
                    "predictor": text,
                    "known": known,
                    "seeds": given.seeds,
                }
                told |= {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}
                told |= {"tau_sd": round(float(np.std([row["tau"] for row in rows])), 4)}
                print(json.dumps(told | {"first_query_ms": round(features_ms, 3)}), flush=True)


if __name__ == "__main__":
    main()
