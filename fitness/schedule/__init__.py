"""The least peak of live activation bytes over all orders in which the steps of a network can run.

Owns the exact minimisation and its proofs. Knows step indices and bytes only: nothing of layers or shapes,
nor of the rule that says which input a step may overwrite.

Three things make it fast enough for every candidate of a search; the proofs stand where they are used.

1. A step comparable with every other one is a *cut*: what has run before it is the same in every order, so
   the bytes around it are known and the stretches between cuts are independent (`stretches`).
2. Parallel chains, with or without one tensor that all of them start from, are nearly solved by sorting
   (`fork`).
3. Elsewhere a best-first search explores a single move where submodularity allows it (`search`).

Sorting is due to H. M. Abdel-Wahab and T. Kameda (1978), "Scheduling to minimize maximum cumulative cost
subject to series-parallel precedence constraints", Operations Research 26(1), doi:10.1287/opre.26.1.141,
and J. W. H. Liu (1987), "An application of generalized tree pebbling to sparse matrix factorization", SIAM
J. Algebraic Discrete Methods 8(3), doi:10.1137/0608031. Differs from both: tensors with several readers.
"""

from fitness.schedule.peak import PeakMemory, minimum_peak
from fitness.schedule.stretches import Step

__all__ = ["PeakMemory", "Step", "minimum_peak"]
