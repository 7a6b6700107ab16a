"""Stacked recurrent layers for time series, of a look-back of their own: LSTM, GRU or plain ones.

Camero, Toutouh, Alba: Random error sampling-based recurrent neural network architecture optimization (RESN),
Engineering Applications of Artificial Intelligence 2020, arXiv:1909.02425; Camero, Wang, Alba, Bäck: Bayesian
neural architecture search using a training-free performance metric, Applied Soft Computing 2021, arXiv:2001.10726.
The presets are the bounds of the authors' three problems (acamero/dlopt @4f7cac9).

Differs from the authors' code: GRU and plain recurrent layers can be chosen too, and no move takes the look-back
for the width of a layer.
"""

from __future__ import annotations

from random import Random
from typing import ClassVar, Literal, NamedTuple

from spaces.errors import UsageError
from spaces.layers import Dense, Op, Recurrent, Sigmoid, Tanh
from spaces.network import Network, NetworkBuilder
from spaces.space import Choice, Choose, Genotype, Integer, Layered, Space, Value

__all__ = ["PRESETS", "Preset", "RnnSpace"]

MOST_LAYERS, MOST_UNITS, MOST_STEPS = 100, 10_000, 10_000
LOOK_BACK_STEPS = (-5, -1, 1, 5)
UNITS_STEPS = (-25, -5, -1, 1, 5, 25)


class Preset(NamedTuple):
    """One problem of the authors': both bounds of a choice, ends of the network."""

    layers: tuple[int, int]
    units: tuple[int, int]
    look_back: tuple[int, int]
    features: int
    outputs: int
    activation: str


PRESETS = {
    "sine": Preset((1, 3), (1, 100), (2, 30), 1, 1, "tanh"),
    "waste": Preset((1, 8), (10, 300), (2, 30), 217, 217, "sigmoid"),
    "eunite": Preset((1, 8), (10, 100), (2, 30), 52, 1, "linear"),
}
CELLS: tuple[Literal["lstm", "gru", "rnn"], ...] = ("lstm", "gru", "rnn")
CELL = Choice(*CELLS)
ACTIVATIONS: dict[str, Op | None] = {"tanh": Tanh(), "sigmoid": Sigmoid(), "linear": None}


class RnnSpace(Space):
    """Stacked LSTM, GRU or plain recurrent layers over a window of a time series, then a dense layer.

    Args:
        features: Numbers per step of the series; 0 = the preset's.
        outputs: Numbers foretold; 0 = the preset's.
        preset: "sine", "waste" or "eunite", whose bounds hold where none is given.
        cell: "lstm", "gru" or "rnn" throughout, or "any", a choice per layer.
        min_layers: Fewest recurrent layers; this and every other bound: 0 = the preset's.
        max_layers: Most recurrent layers.
        min_units: Least width of a layer.
        max_units: Greatest width of a layer.
        min_look_back: Fewest steps in a window.
        max_look_back: Most steps in a window.
        activation: Of the output: "tanh", "sigmoid" or "linear"; "" = the preset's.

    Attributes:
        features: Numbers per step.
        outputs: Numbers foretold.
        layers: Domain of the number of recurrent layers.
        units: Domain of their widths.
        look_back: Domain of the number of steps in a window.
        activation: Of the output.
    """

    name = "rnn"
    reads = "series"
    layered: ClassVar[Layered | None] = Layered("layers", "l{}.units")

    def __init__(
        self,
        features: int = 0,
        outputs: int = 0,
        preset: str = "sine",
        cell: str = "lstm",
        min_layers: int = 0,
        max_layers: int = 0,
        min_units: int = 0,
        max_units: int = 0,
        min_look_back: int = 0,
        max_look_back: int = 0,
        activation: str = "",
    ) -> None:
        _one_of("preset", preset, tuple(PRESETS))
        _one_of("cell", cell, (*CELLS, "any"))
        bounds = PRESETS[preset]
        self.preset, self.cell, self.activation = preset, cell, activation or bounds.activation
        _one_of("activation", self.activation, tuple(ACTIVATIONS))
        self.layers = _between("layers", min_layers, max_layers, bounds.layers, MOST_LAYERS)
        self.units = _between("units", min_units, max_units, bounds.units, MOST_UNITS)
        self.look_back = _between("look_back", min_look_back, max_look_back, bounds.look_back, MOST_STEPS)
        self.features = bounds.features if features == 0 else features
        self.outputs = bounds.outputs if outputs == 0 else outputs
        super().__init__((self.features,), self.outputs)

    def _check_ends(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        for what, value in (("features", *input_shape), ("outputs", num_classes)):
            if type(value) is not int or value < 1:
                raise UsageError(f"{value!r} {what}; expected a whole number of at least 1, or 0 for the preset's")

    def build(self, choose: Choose) -> Network:
        """See `Space.build`."""
        net = NetworkBuilder((choose("look_back", self.look_back), self.features))
        x, last = net.input, choose("layers", self.layers) - 1
        for layer in range(last + 1):
            units = choose(f"l{layer}.units", self.units)
            cell = choose(f"l{layer}.cell", CELL) if self.cell == "any" else self.cell
            x = net.add(Recurrent(cell, units, layer < last), x)  # type: ignore[arg-type]  # one of CELLS
        x = net.add(Dense(self.outputs), x)
        activation = ACTIVATIONS[self.activation]
        return net.build(x if activation is None else net.add(activation, x))

    def move(self, genotype: Genotype, rng: Random) -> Genotype:
        """Change the look-back, a width or a cell, copy a layer behind itself or remove one; kinds equally likely.

        A width changes by 1, 5 or 25, the look-back by 1 or 5.
        """
        layers, units = self._layers(genotype), self.units
        steps = int(genotype["look_back"])
        longer = [steps + by for by in LOOK_BACK_STEPS if steps + by in self.look_back]
        wider = [(i, int(u) + by) for i, (u, *_) in enumerate(layers) for by in UNITS_STEPS if int(u) + by in units]
        kinds = ["look back"] * bool(longer) + ["width"] * bool(wider) + ["cell"] * (self.cell == "any")
        kinds += ["copy"] * (len(layers) < self.layers.high) + ["remove"] * (len(layers) > self.layers.low)
        if not kinds:
            return genotype
        kind, at = kinds[int(rng.random() * len(kinds))], int(rng.random() * len(layers))
        if kind == "look back":
            steps = longer[int(rng.random() * len(longer))]
        elif kind == "width":
            at, width = wider[int(rng.random() * len(wider))]
            layers[at] = [width, *layers[at][1:]]
        elif kind == "cell":
            others = [cell for cell in CELLS if cell != layers[at][1]]
            layers[at] = [layers[at][0], others[int(rng.random() * len(others))]]
        elif kind == "copy":
            layers.insert(at, layers[at])
        else:
            del layers[at]
        return self._genotype(steps, layers)

    def _layers(self, genotype: Genotype) -> list[list[Value]]:
        """Width, and cell where there is a choice, of every layer."""
        fields = ("units", "cell") if self.cell == "any" else ("units",)
        return [[genotype[f"l{i}.{field}"] for field in fields] for i in range(int(genotype["layers"]))]

    def _genotype(self, look_back: int, layers: list[list[Value]]) -> Genotype:
        choices: dict[str, Value] = {"look_back": look_back, "layers": len(layers)}
        for i, layer in enumerate(layers):
            choices.update(zip((f"l{i}.units", f"l{i}.cell"), layer, strict=False))
        return Genotype.adopt(choices)


def _one_of(what: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{what} {value!r}; expected {', '.join(known)}")


def _between(what: str, low: int, high: int, preset: tuple[int, int], most: int) -> Integer:
    """The domain of a number from `low` to `high`, those of the preset where 0.

    Raises:
        UsageError: A bound is no such number, or they leave nothing.
    """
    for end, value in (("min", low), ("max", high)):
        if type(value) is not int or not 0 <= value <= most:
            raise UsageError(
                f"{end}_{what} is {value!r}; expected a whole number from 1 to {most:,}, or 0 for the preset's"
            )
    low, high = low or preset[0], high or preset[1]
    if low > high:
        raise UsageError(f"{what} from {low} to {high}; give both min_{what} and max_{what}, the first not above")
    return Integer(low, high)
