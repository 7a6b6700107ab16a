"""Many objectives as one number, by other random weights for every tournament.

Liberis, Dudziak, Lane: μNAS: Constrained Neural Architecture Search for Microcontrollers, EuroMLSys 2021,
arXiv:2010.14246, as in the authors' program: of ratios r_i = x_i / bound_i, all to be small, the fitness to be
maximised is -max_i(min(r_i, 10) / λ_i), λ_i ~ U(0, 1) independent of each other, neither normalised nor kept.

Differs from the paper: only an objective that is a figure to be minimised with an upper bound in the run has its
bound as its scale. Any other, whatever its direction, counts by how far it falls short of the best among those
compared, in units of their range: 0 for the best of them, 1 for the worst. So nothing has to be positive, and a
score without a natural scale, such as the trace, needs none. Bounds reject in this engine, as nothing does in μNAS.
"""

from __future__ import annotations

from random import Random

import numpy as np
from numpy.typing import NDArray

from engine.objectives import Objectives

CAP = 10.0  # of a ratio: in the authors' program, what is ten times too large is as bad as can be


class Chebyshev:
    """See the module.

    Args:
        objectives: Of the run, with its bounds.
    """

    def __init__(self, objectives: Objectives) -> None:
        limits = [objectives.upper_limit(objective) for objective in objectives.objectives]
        # A limit of nothing, or below it, is no scale.
        bounded = [
            limit is not None and limit > 0 and objective.direction == "min"
            for objective, limit in zip(objectives.objectives, limits, strict=True)
        ]
        self._bounded = np.array(bounded)
        self._limits = np.array([limit if by else 1.0 for limit, by in zip(limits, bounded, strict=True)])

    def ratios(self, merits: NDArray[np.float64]) -> NDArray[np.float64]:
        """How bad each candidate is in each objective, from its bound or from those it is compared with.

        Args:
            merits: (N, M), larger is better; -inf allowed, nan not.

        Returns:
            (N, M), smaller is better, at most `CAP`.
        """
        known = np.isfinite(merits)
        best = np.max(merits, axis=0, where=known, initial=-np.inf)
        worst = np.min(merits, axis=0, where=known, initial=np.inf)
        best, worst = np.where(known.any(axis=0), (best, worst), 0.0)
        spread = np.where(best > worst, best - worst, 1.0)
        ratios = np.where(self._bounded, -merits / self._limits, (best - merits) / spread)
        capped: NDArray[np.float64] = np.minimum(ratios, CAP)
        return capped

    def fitness(self, merits: NDArray[np.float64], rng: Random) -> NDArray[np.float64]:
        """One number for each candidate, larger is better, by weights drawn anew.

        Args:
            merits: (N, M), larger is better; -inf allowed, nan not.
            rng: Where the weights come from: one number per objective, in their order.

        Returns:
            (N,).
        """
        weights = np.array([1.0 - rng.random() for _ in range(merits.shape[1])])  # never 0
        fitness: NDArray[np.float64] = -np.max(self.ratios(merits) / weights, axis=1)
        return fitness
