"""Models that tell what an architecture may be worth from what others are: expectation and doubt.

Owns the two models of `engine.strategies.bo`, whose forest `mipego` shares; knows nothing of asks or of choices
(`spaces.encoding`). Those two learn values of about zero mean and unit variance. scikit-learn is imported when a
model is first fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Surrogate = Callable[[Floats, Floats, Floats, int], tuple[Floats, Floats]]
"""(known (n, d), their values (n,), asked (m, d), seed) -> means (m,) and standard deviations (m,)."""

_TREES = 10  # as many as SMAC's
_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernel, in units of the distance of two genotypes with all different
_NOISES = (1e-3, 1e-2, 1e-1, 1.0)  # variances


def forest(known: Floats, values: Floats, asked: Floats, seed: int) -> tuple[Floats, Floats]:
    """A random forest; the doubt is the spread over its trees (Hutter, Hoos, Leyton-Brown 2011, section 4.1)."""
    return grow(known, values, seed, _TREES, min_samples_split=3)(asked)


def grow(
    known: Floats,
    values: Floats,
    seed: int,
    trees: int,
    min_samples_split: int = 2,
    min_samples_leaf: int = 1,
    ddof: int = 0,
) -> Callable[[Floats], tuple[Floats, Floats]]:
    """A fitted forest; five sixths of the columns are tried at each split, as in SMAC and in MIP-EGO.

    Args:
        known: (n, d).
        values: (n,) what they are worth.
        seed: Of the forest.
        trees: How many.
        min_samples_split: Fewest samples that are split.
        min_samples_leaf: Fewest samples that a split leaves on each side.
        ddof: What the number of trees is lessened by in their variance: 1 for that of a sample.

    Returns:
        (m, d) -> (m,) means over the trees and (m,) standard deviations.
    """
    from sklearn.ensemble import RandomForestRegressor  # type: ignore[import-untyped]

    model = RandomForestRegressor(
        trees,
        max_features=5 / 6,
        min_samples_split=min_samples_split,
        min_samples_leaf=min_samples_leaf,
        random_state=seed,
    )
    model.fit(known, values)
    grown = [tree.tree_ for tree in model.estimators_]  # without the checks of a tree's own `predict`

    def predict(asked: Floats) -> tuple[Floats, Floats]:
        exact = asked.astype(np.float32)  # what trees compare
        votes = np.array([tree.predict(exact)[:, 0] for tree in grown])
        return votes.mean(axis=0), votes.std(axis=0, ddof=ddof)

    return predict


def gp(known: Floats, values: Floats, asked: Floats, seed: int) -> tuple[Floats, Floats]:
    """A Gaussian process with a Matérn 5/2 kernel, its length and noise the likeliest of a grid.

    The seed is not used.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel  # type: ignore[import-untyped]

    widest = float(np.sqrt(known.var(axis=0).sum() * 2)) or 1.0  # root mean square distance of two of them
    grid = np.log(list(product([length * widest for length in _LENGTHS], _NOISES)))

    def likeliest(unlikelihood: Callable[..., float], start: Floats, bounds: Floats) -> tuple[Floats, float]:
        tried = [unlikelihood(theta, eval_gradient=False) for theta in grid]
        best = int(np.argmin(tried))
        return grid[best], tried[best]

    kernel = Matern(widest, (1e-9, 1e9), nu=2.5) + WhiteKernel(_NOISES[0], (1e-9, 1e9))
    model = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=likeliest).fit(known, values)
    mean, deviation = model.predict(asked, return_std=True)
    noise = model.kernel_.k2.noise_level  # of an observation; what is asked for is the worth behind it
    return mean, np.sqrt(np.maximum(deviation**2 - noise, 0.0))


SURROGATES: dict[str, Surrogate] = {"forest": forest, "gp": gp}
