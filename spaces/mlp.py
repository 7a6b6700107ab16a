"""The μNAS space of multilayer perceptrons: one to seven hidden layers of 10 to 256 units, each with ReLU.

Liberis et al. 2021 (see `spaces.munas`), as in the authors' code.
"""

from __future__ import annotations

from random import Random
from typing import ClassVar

from spaces.errors import UsageError
from spaces.layers import Dense, Flatten, ReLU
from spaces.network import Network, NetworkBuilder
from spaces.space import Choose, Genotype, Integer, Layered, Space, Value

MAX_LAYERS = 7
LAYERS = Integer(1, MAX_LAYERS)
UNITS = Integer(10, 256)
STEPS = (-5, -1, 1, 5)


class MlpSpace(Space):
    """Flatten, hidden layers, classifier.

    Args:
        input_shape: Height, width, channels.
        num_classes: Number of classes.
        binary_output: Two classes on one output unit, as the authors build them.
    """

    name = "munas-mlp"
    layered: ClassVar[Layered | None] = Layered("layers", "d{}.units")

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (32, 32, 3),
        num_classes: int = 10,
        binary_output: bool = False,
    ) -> None:
        super().__init__(input_shape, num_classes)
        if binary_output and num_classes != 2:
            raise UsageError(f"one output unit for {num_classes} classes; expected 2 classes")
        self.binary_output = binary_output

    def build(self, choose: Choose) -> Network:
        """See `Space.build`."""
        net = NetworkBuilder(self.channels_first)
        x = net.add(Flatten(), net.input)
        for layer in range(choose("layers", LAYERS)):
            x = net.add(ReLU(), net.add(Dense(choose(f"d{layer}.units", UNITS)), x))
        return net.build(net.add(Dense(1 if self.binary_output else self.num_classes), x))

    def move(self, genotype: Genotype, rng: Random) -> Genotype:
        """Remove or append a random layer, or change a width by 1 or 5; each child equally likely."""
        units = [int(genotype[f"d{i}.units"]) for i in range(int(genotype["layers"]))]
        moves: list[tuple[str, int, int]] = []
        if len(units) > 1:
            moves.append(("remove", 0, 0))
        if len(units) < MAX_LAYERS:
            moves.append(("append", 0, 0))
        for i, width in enumerate(units):
            moves += [("units", i, step) for step in STEPS if width + step in UNITS]
        what, layer, step = moves[int(rng.random() * len(moves))]
        if what == "remove":
            del units[int(rng.random() * len(units))]
        elif what == "append":
            units.append(UNITS.draw(rng.random()))
        else:
            units[layer] += step
        choices: dict[str, Value] = {"layers": len(units)}
        choices.update((f"d{i}.units", width) for i, width in enumerate(units))
        return Genotype.adopt(choices)
