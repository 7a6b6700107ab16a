"""The mixed-integer evolution strategy, several at once, on vectors of whole numbers and names.

Li, Emmerich, Eggermont, Bäck, Schütz, Dijkstra, Reiber: Mixed Integer Evolution Strategies for Parameter
Optimization, Evolutionary Computation 21(1), 2013. Of μ parents λ children are made, the best μ of which are the
next parents; every vector has a step for each of its n_z ordinal entries and one probability for its n_d others:

    s_i <- max(1, s_i exp(N/sqrt(2 n_z) + N_i/sqrt(2 sqrt(n_z)))),  z_i <- z_i + G_i - G'_i, back from the bounds,
    G geometric with psi_i = 1 - (s_i/n_z) / (1 + sqrt(1 + (s_i/n_z)^2)),
    p <- 1 / (1 + (1-p)/p exp(-N/sqrt(2 n_d))) within 1/(3 n_d) and 1/2: the chance of each entry to change.

A child takes each entry from one of two parents and the mean of their steps and probabilities. As in MIP-EGO
(wangronin/MIP-EGO), steps begin at a twentieth of the range, the probability at 1/n_d, and there are several runs;
here side by side, since a model answers a thousand questions at once as fast as ten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from engine.strategies.mixed.vectors import Codes, Flags, Floats, Variable

Worth = Callable[[Codes], tuple[Floats, Flags]]
"""(n, d) vectors -> (n,) what they are worth, larger is better, and (n,) which of them may be the answer."""

PARENTS, CHILDREN = 4, 10  # μ and λ of MIP-EGO
RUNS = 10
_FIRST_STEP = 0.05  # share of an entry's range


class _Generation(NamedTuple):
    """Vectors (runs, n, d), steps (runs, n, n_z) and probabilities (runs, n, 1)."""

    codes: Codes
    steps: Floats
    chances: Floats

    def taken(self, places: Codes) -> _Generation:
        """Those at (runs, m) places of each run."""
        at = places[..., None]
        codes, steps, chances = self
        return _Generation(
            np.take_along_axis(codes, at, axis=1),
            np.take_along_axis(steps, at, axis=1),
            np.take_along_axis(chances, at, axis=1),
        )


def maximise(
    variables: Sequence[Variable], worth: Worth, evaluations: int, rng: np.random.Generator
) -> list[int] | None:
    """The best vector that may be the answer.

    Args:
        variables: Entries of the vectors.
        worth: What to maximise.
        evaluations: Vectors to ask the worth of, roughly: as many generations as come nearest below, one at least.
        rng: Where randomness comes from.

    Returns:
        The first of the best; None if none of those tried may be the answer.
    """
    sizes = np.array([variable.size for variable in variables])
    ordinal = np.array([variable.ordinal for variable in variables])
    best: list[int] | None = None
    most = -np.inf

    def tried(generation: _Generation) -> Floats:
        nonlocal best, most
        flat = generation.codes.reshape(-1, len(sizes))
        values, allowed = worth(flat)
        chosen = np.where(allowed, values, -np.inf)
        place = int(np.argmax(chosen))
        if allowed.any() and (best is None or chosen[place] > most):
            best, most = flat[place].tolist(), float(chosen[place])
        return values.reshape(RUNS, -1)

    n_d = max(int((~ordinal).sum()), 1)
    parents = _Generation(
        rng.integers(0, sizes, (RUNS, PARENTS, len(sizes))),
        np.tile(np.maximum(1.0, _FIRST_STEP * (sizes[ordinal] - 1)), (RUNS, PARENTS, 1)),
        np.full((RUNS, PARENTS, 1), min(1 / n_d, 0.5)),
    )
    tried(parents)
    for _ in range(max(1, (evaluations // RUNS - PARENTS) // CHILDREN)):
        children = _mutated(_crossed(parents, rng), sizes, ordinal, rng)
        order = np.argsort(-tried(children), axis=1, kind="stable")
        parents = children.taken(order[:, :PARENTS])
    return best


def _crossed(parents: _Generation, rng: np.random.Generator) -> _Generation:
    """Children that take each entry from one of two parents; their strengths are the parents' mean."""
    one, other = (parents.taken(rng.integers(0, PARENTS, (RUNS, CHILDREN))) for _ in range(2))
    codes = np.where(rng.random(one.codes.shape) < 0.5, one.codes, other.codes)
    return _Generation(codes, (one.steps + other.steps) / 2, (one.chances + other.chances) / 2)


def _mutated(generation: _Generation, sizes: Codes, ordinal: Flags, rng: np.random.Generator) -> _Generation:
    """The generation after its strengths have changed, and its vectors by these."""
    codes, steps, chances = generation
    codes, shape = codes.copy(), codes.shape[:2]
    if n_z := int(ordinal.sum()):
        common, own = rng.standard_normal((*shape, 1)), rng.standard_normal(steps.shape)
        steps = np.maximum(1.0, steps * np.exp(common / np.sqrt(2 * n_z) + own / np.sqrt(2 * np.sqrt(n_z))))
        steps = np.minimum(steps, sizes[ordinal])  # a wider one is as good as uniform
        ratio = steps / n_z
        psi = 1 - ratio / (1 + np.sqrt(1 + ratio**2))
        codes[..., ordinal] = _reflected(
            codes[..., ordinal] + rng.geometric(psi) - rng.geometric(psi), sizes[ordinal]
        )
    if n_d := int((~ordinal).sum()):
        odds = (1 - chances) / chances * np.exp(-rng.standard_normal(chances.shape) / np.sqrt(2 * n_d))
        chances = np.clip(1 / (1 + odds), 1 / (3 * n_d), 0.5)
        names, of = codes[..., ~ordinal], sizes[~ordinal]
        others = (names + rng.integers(1, np.maximum(of, 2), names.shape)) % of
        codes[..., ~ordinal] = np.where(rng.random(names.shape) < chances, others, names)
    return _Generation(codes, steps, chances)


def _reflected(codes: Codes, sizes: Codes) -> Codes:
    """Numbers beyond 0 and size - 1 as far inside as they were outside, as often as needed."""
    period = 2 * np.maximum(sizes - 1, 1)
    folded = codes % period
    return np.where(sizes == 1, 0, np.minimum(folded, period - folded))
