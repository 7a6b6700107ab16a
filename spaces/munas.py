"""The μNAS-style granular space of convolutional networks for microcontrollers.

Liberis, Dudziak, Lane: μNAS: Constrained Neural Architecture Search for Microcontrollers, EuroMLSys 2021,
arXiv:2010.14246; bounds, probabilities and morphisms as in the authors' code (eliberis/uNAS @63ab705).

Differs from the authors' code: pooling rounds down, as every framework builds it (`pool_rounding="ceil"` is
their resource model); the sampler also draws the top value of every range; choices that cannot matter (whether
block 0 branches, the width of a branch's last layer, slots beyond the length) are not part of a genotype.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Literal

from spaces.errors import UsageError
from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Op, Pool, ReLU, Shape
from spaces.network import Chain, Network, NetworkBuilder, chain
from spaces.space import Choice, Choose, Flag, Genotype, Integer, Space

Rounding = Literal["floor", "ceil"]

MAX_BLOCKS, MAX_LAYERS, MAX_DENSE = 10, 3, 3
BLOCKS = Integer(1, MAX_BLOCKS)
BRANCH = Flag(0.5)
LAYERS = Integer(1, MAX_LAYERS)
KIND = Choice("conv", "conv1x1", "dwconv")
KERNEL = Integer(3, 7, 2)
FILTERS = Integer(1, 128)
STRIDE2 = Flag(0.5)
PREPOOL = Flag(0.25)
BATCH_NORM = Flag(0.5)
RELU = Flag(0.9)
POOL = Choice("none", "avg", "max", probabilities=(0.1, 0.45, 0.45))
POOL_SIZE = Integer(2, 6, 2)
UNITS = Integer(10, 256)

# Names of the choices, spelled out once: building strings is a tenth of what building a network costs.
BRANCH_OF = tuple(f"b{b}.branch" for b in range(MAX_BLOCKS))
LAYERS_OF = tuple(f"b{b}.layers" for b in range(MAX_BLOCKS))
FIELDS = ("kind", "kernel", "filters", "stride2", "prepool", "bn", "relu")
FIELD_OF = tuple(
    tuple(tuple(f"b{b}.l{layer}.{field}" for field in FIELDS) for layer in range(MAX_LAYERS))
    for b in range(MAX_BLOCKS)
)
UNITS_OF = tuple(f"d{d}.units" for d in range(MAX_DENSE))

_ADD, _NORM, _RELU, _FLATTEN = Add(), BatchNorm(), ReLU(), Flatten()
_REMEMBERED_CHAINS = 4096  # layers with all their operations; a child shares all but one with its parent


class MunasSpace(Space):
    """Blocks in series or parallel, one to three layers each, then pooling and dense layers.

    Args:
        input_shape: Height, width, channels.
        num_classes: Number of classes.
        pool_rounding: "floor" as frameworks build it, "ceil" as the authors' resource model counts it.
        binary_output: Two classes on one output unit, as the authors build them.
        min_dense: Fewest hidden dense layers; the authors' sampler never goes below 1, their format can.
    """

    name = "munas"

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (32, 32, 3),
        num_classes: int = 10,
        pool_rounding: Rounding = "floor",
        binary_output: bool = False,
        min_dense: int = 1,
    ) -> None:
        super().__init__(input_shape, num_classes)
        if pool_rounding not in ("floor", "ceil"):
            raise UsageError(f"pool rounding {pool_rounding!r}; expected 'floor' or 'ceil'")
        if binary_output and num_classes != 2:
            raise UsageError(f"one output unit for {num_classes} classes; expected 2 classes")
        self.pool_rounding: Rounding = pool_rounding
        self.binary_output = binary_output
        self.dense = Integer(min_dense, MAX_DENSE)
        self._convs: dict[tuple[int, int, int, int], Conv] = {}
        self._pools: dict[tuple[str, tuple[int, int]], Pool] = {}
        self._denses: dict[int, Dense] = {}
        self._chains: dict[tuple[object, ...], Chain] = {}

    @staticmethod
    def from_unas(
        genotype: Mapping[str, object] | list[Mapping[str, int]],
        input_shape: tuple[int, int, int],
        num_classes: int,
        pool_rounding: Rounding = "floor",
    ) -> tuple[Space, Genotype]:
        """Read a genotype in the authors' field names, of a convolutional network or of an MLP.

        Returns:
            The space, with one output unit for two classes as the authors build it, and the genotype in it.

        Raises:
            UsageError: A field is missing or outside the space's bounds.
        """
        from spaces.unas import read_unas

        return read_unas(genotype, input_shape, num_classes, pool_rounding)

    def build(self, choose: Choose) -> Network:
        """See `Space.build`."""
        net = NetworkBuilder(self.channels_first)
        serial_input = net.input  # what the last serial block reads; branches start there too
        pending = [net.input]
        for b in range(choose("blocks", BLOCKS)):
            branch = b > 0 and choose(BRANCH_OF[b], BRANCH)
            if branch:
                pending.append(self._branch(net, choose, b, serial_input, net.shape(pending[0])[0]))
            else:
                x = serial_input = self._join(net, pending)
                for layer in range(choose(LAYERS_OF[b], LAYERS)):
                    x = self._layer(net, choose, b, layer, x, None)
                pending = [x]
        x = self._join(net, pending)
        kind = choose("pool", POOL)
        if kind != "none":
            size = choose("pool.size", POOL_SIZE)
            _, height, width = net.shape(x)
            x = net.add(self._pool(kind, height, width, size, size), x)
        x = net.add(_FLATTEN, x)
        for d in range(choose("dense", self.dense)):
            x = net.add(_RELU, net.add(self._dense(choose(UNITS_OF[d], UNITS)), x))
        outputs = 1 if self.binary_output else self.num_classes
        return net.build(net.add(self._dense(outputs), x))

    def _branch(self, net: NetworkBuilder, choose: Choose, b: int, x: int, channels: int) -> int:
        """A chain from the last serial block's input that ends with as many channels as that block."""
        count = choose(LAYERS_OF[b], LAYERS)
        for layer in range(count):
            x = self._layer(net, choose, b, layer, x, channels if layer == count - 1 else None)
        if choose(FIELD_OF[b][count - 1][0], KIND) == "dwconv":  # it cannot set its width: a 1x1 convolution does
            x = net.add(self._conv(channels, 1, 1, 1), x)
        return x

    def _layer(self, net: NetworkBuilder, choose: Choose, b: int, layer: int, x: int, channels: int | None) -> int:
        """[2x2 max pool] -> convolution -> [batch norm] -> [ReLU]; `channels` overrides the width."""
        kind_, kernel_, filters_, stride2_, prepool_, bn_, relu_ = FIELD_OF[b][layer]
        kind = choose(kind_, KIND)
        pointwise, depthwise = kind == "conv1x1", kind == "dwconv"
        kernel = 1 if pointwise else choose(kernel_, KERNEL)
        if not depthwise and channels is None:
            channels = choose(filters_, FILTERS)
        stride = 2 if not pointwise and choose(stride2_, STRIDE2) else 1
        what = (
            net.shape(x),
            kernel,
            None if depthwise else channels,
            stride,
            choose(prepool_, PREPOOL),
            choose(bn_, BATCH_NORM),
            choose(relu_, RELU),
        )
        made = self._chains.get(what)
        if made is None:
            if len(self._chains) >= _REMEMBERED_CHAINS:
                self._chains.clear()
            made = self._chains[what] = self._chain(*what)
        return net.extend(x, made)

    def _chain(
        self, shape: Shape, kernel: int, channels: int | None, stride: int, prepool: bool, norm: bool, relu: bool
    ) -> Chain:
        """The operations of one layer on a map; `channels` None means depthwise."""
        ops: list[Op] = []
        width_in, height, width = shape
        if prepool and (height, width) != (1, 1):
            pool = self._pool("max", height, width, 2, 2)
            ops.append(pool)
            width_in, height, width = pool.out_shape(shape)
        window = min(kernel, height, width)
        groups = width_in if channels is None else 1
        ops.append(self._conv(channels or width_in, window, stride, groups))
        if norm:
            ops.append(_NORM)
        if relu:
            ops.append(_RELU)
        return chain(shape, *ops)

    def _join(self, net: NetworkBuilder, pending: list[int]) -> int:
        """Bring maps to about the smallest height and width, then add them."""
        if len(pending) == 1:
            return pending[0]
        shapes = [net.shape(x) for x in pending]
        low, narrow = min(shape[1] for shape in shapes), min(shape[2] for shape in shapes)
        terms = []
        for x, (_, height, width) in zip(pending, shapes, strict=True):
            tall, wide = round(height / low), round(width / narrow)
            if (tall, wide) != (1, 1):
                x = net.add(self._pool("max", height, width, tall, wide), x)
            terms.append(x)
        return net.add(_ADD, *terms)

    def _pool(self, kind: str, height: int, width: int, tall: int, wide: int) -> Pool:
        """Pooling with stride = window, the window cut to a map of height x width."""
        window = (min(tall, height), min(wide, width))
        op = self._pools.get((kind, window))
        if op is None:
            op = Pool("avg" if kind == "avg" else "max", window, window, rounding=self.pool_rounding)
            self._pools[kind, window] = op
        return op

    def _conv(self, channels: int, kernel: int, stride: int, groups: int) -> Conv:
        key = (channels, kernel, stride, groups)
        op = self._convs.get(key)
        if op is None:
            op = self._convs[key] = Conv(channels, (kernel, kernel), (stride, stride), groups=groups)
        return op

    def _dense(self, units: int) -> Dense:
        op = self._denses.get(units)
        if op is None:
            op = self._denses[units] = Dense(units)
        return op

    def move(self, genotype: Genotype, rng: Random) -> Genotype:
        """One of the structural moves of `spaces.munas_moves`."""
        from spaces.munas_moves import morph

        return self.replay(morph(genotype.to_dict(), self.input_shape[2], self.dense.low, rng))
