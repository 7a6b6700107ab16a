"""Which of many points no other point beats, and how much they beat together.

Both by moocore (López-Ibáñez, Paquete, Stützle), the library that DEAP itself builds on; all in C. Measured on
100,000 points of which all are on the front, a sphere's positive part: 0.02 s for 2 objectives, 0.05 s for 3,
0.25 s for 4, 0.63 s for 5. Hypervolume of 1,000 such points: below 1 ms for up to 4 objectives, 9 ms for 5, 1.1 s
for 6; beyond, the time grows tenfold and more per objective.
"""

from __future__ import annotations

import moocore  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(merits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask of the points that no other point dominates.

    A point dominates another if it is at least as good in every objective and better in one, so equal points
    are both kept.

    Args:
        merits: (N, M), larger is better; -inf allowed, nan not.

    Returns:
        (N,) booleans.
    """
    if not len(merits):
        return np.zeros(0, dtype=bool)
    mask: NDArray[np.bool_] = moocore.is_nondominated(merits, maximise=True, keep_weakly=True)
    return mask


def hypervolume(merits: NDArray[np.float64], reference: ArrayLike) -> float:
    """Volume of what is beaten by at least one of the points and beats the reference point; exact.

    Zitzler and Thiele, PPSN 1998, the size of the space covered. Up to 3 objectives in O(N log N) (Beume et al.,
    IEEE TEC 13(5), 2009), 4 in O(N²) (Guerreiro and Fonseca, IEEE TEC 22(3), 2018), M in O(N^(M-2)) at worst.

    Args:
        merits: (N, M), larger is better; finite or -inf. What does not beat the reference everywhere adds nothing.
        reference: (M,), finite.

    Returns:
        In the product of the objectives' units; 0 without a point that beats the reference.
    """
    corner = np.asarray(reference, dtype=np.float64)
    beating = merits[np.all(merits > corner, axis=1)]
    return float(moocore.hypervolume(beating, ref=corner, maximise=True)) if len(beating) else 0.0
