"""A network of every operation, for what has to know them all."""

from __future__ import annotations

from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, Flatten, Pool, ReLU, Shift, Slice, Zero
from spaces.network import Network, NetworkBuilder


def every_operation() -> Network:
    """Uneven terms of a sum, terms read twice, dead ends, and every operation that spaces have few of."""
    net = NetworkBuilder((3, 11, 9))
    x = net.add(Conv(4, (3, 1), (1, 1), (1, 0), dilation=(1, 2), bias=False), net.input)
    small = net.add(Pool("avg", (3, 3), (2, 2), (1, 1), "ceil"), x)
    shifted = net.add(Shift(), net.add(ReLU(), x))
    wide = net.add(Concat(), shifted, net.add(Zero(), x), x)
    cut = net.add(Slice(4), wide)
    net.add(Conv(5, (1, 1)), cut)  # nothing reads it
    total = net.add(BatchNorm(), net.add(Add(), small, cut, small))
    alone = net.add(Add(), total)
    both = net.add(Add(), net.add(ReLU(), alone), net.add(Pool("max", (2, 3), (1, 1)), alone))
    flat = net.add(BatchNorm(), net.add(Flatten(), both))
    return net.build(net.add(Dense(3, bias=False), net.add(Add(), flat, flat)))
