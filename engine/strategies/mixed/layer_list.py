"""The choices of a space taken apart: their domains, and the layers of a space that is a list of them.

Knows choices and domains; what is done to them is the strategies' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from spaces.space import Domain, Genotype, Integer, Layered, Space, Value

Layer = dict[str, Value]
"""What a layer is made of: the ends of its choices' names, ".units", and their values."""


def domains_of(space: Space, genotype: Genotype) -> dict[str, Domain]:
    """The domains of a genotype's choices, in the order in which the space asks for them."""
    domains: dict[str, Domain] = {}

    def note(name: str, domain: Domain) -> Value:
        domains[name] = domain
        return genotype[name]

    space.record(note)
    return domains


class LayerList:
    """A space whose networks are lists of layers: `Space.layered`.

    Every choice whose name begins as that of its layer's width does, up to the index, belongs to the layer. All
    layers have to have the same choices with the same domains, so that one may stand in another's place.

    Args:
        space: Which one.
        layered: Its `layered`.

    Attributes:
        count: Name of the choice of how many there are.
        least: Fewest layers.
        most: Most layers.
        width: End of the name of a layer's width, ".units".
        parts: Domains of a layer's choices by the ends of their names, that of the width first.
        rest: Domains of the choices that are no layer's, the number of layers left out.
    """

    def __init__(self, space: Space, layered: Layered) -> None:
        domains: dict[str, Domain] = {}

        def longest(name: str, domain: Domain) -> Value:
            domains[name] = domain
            return domain.values()[-1] if name == layered.count else domain.values()[0]

        space.record(longest)
        self.count = layered.count
        self._stem, _, self.width = layered.width.partition("{}")
        count = cast(Integer, domains[self.count])
        self.least, self.most = count.low, count.high
        own = {self._name(layer, "") for layer in range(self.most)}
        first = self._name(0, "")
        ends = [name.removeprefix(first) for name in domains if name.startswith(first)]
        ends.sort(key=lambda end: end != self.width)
        self.parts = {end: domains[first + end] for end in ends}
        members = {name + end for name in own for end in ends}
        self.rest = {name: domain for name, domain in domains.items() if name not in {*members, self.count}}

    def split(self, genotype: Mapping[str, Value]) -> tuple[dict[str, Value], list[Layer]]:
        """The choices that are no layer's, and the layers."""
        layers = [
            {end: genotype[self._name(layer, end)] for end in self.parts}
            for layer in range(int(genotype[self.count]))
        ]
        return {name: genotype[name] for name in self.rest}, layers

    def join(self, rest: Mapping[str, Value], layers: Sequence[Layer]) -> dict[str, Value]:
        """Undo `split`."""
        choices: dict[str, Value] = {**rest, self.count: len(layers)}
        for place, layer in enumerate(layers):
            choices.update((self._name(place, end), value) for end, value in layer.items())
        return choices

    def _name(self, layer: int, end: str) -> str:
        return f"{self._stem}{layer}{end}"
