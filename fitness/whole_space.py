"""Figures of every network of a finite space at numpy speed.

In the NATS-Bench spaces a sum over layers is a sum of terms that each depend on one choice or on two neighbours.
The terms are read off the layer graph itself: a few hundred networks are built, the other tens of thousands
follow by addition, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from spaces.errors import UsageError
from spaces.network import Network
from spaces.space import Additive, Domain, Genotype, Space, Value


def figure_of_all(space: Space, figure: Callable[[Network], float]) -> NDArray[np.float64]:
    """A layer-wise additive figure (params, macs, n_relu, trace, ...) of every genotype.

    With groups C of choices chained by separators S, f(x) = sum f_C(x_C) - sum f_S(x_S), where f_C is the figure
    with every choice outside C at its first value.

    Args:
        space: A finite space that declares `additive`.
        figure: A function of the network that is a sum over its layers.

    Returns:
        (size,) values in the order of `space.enumerate()`.

    Raises:
        UsageError: The space does not say how sums over layers split.
    """
    additive = getattr(space, "additive", None)
    if not isinstance(additive, Additive):
        raise UsageError(f"space {space.name!r} does not say how figures split over its choices")
    domains = _domains(space)
    names = list(domains)
    base = {name: domain.values()[0] for name, domain in domains.items()}
    total = np.zeros([domains[name].count for name in names])
    groups = [*additive.groups]
    separators = [tuple(name for name in after if name in before) for before, after in pairwise(groups)]
    for group, sign in [(g, 1) for g in groups] + [(s, -1) for s in separators]:
        shape = [domains[name].count if name in group else 1 for name in names]
        values = [
            figure(space.decode(Genotype({**base, **dict(zip(group, chosen, strict=True))})))
            for chosen in product(*[domains[name].values() for name in group])
        ]
        total += sign * np.array(values, dtype=np.float64).reshape(shape)
    return total.reshape(-1)


def _domains(space: Space) -> dict[str, Domain]:
    """The domain of every choice, in the order in which the space asks for them."""
    domains: dict[str, Domain] = {}

    def choose(name: str, domain: Domain) -> Value:
        domains[name] = domain
        return domain.values()[0]

    space.record(choose)
    return domains
