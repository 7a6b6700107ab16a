"""Latency of a network on a microcontroller, estimated from multiply-accumulates and a board's rates.

An estimate: every layer of a kind is taken to run at one rate, whatever its shape. Pooling, sums and other
operations without multiply-accumulates are not counted by themselves; where rates were fitted to latencies of whole
networks they are in the rates. Knows no boards (`engine.targets`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from fitness.figure_fitness import FigureFitness
from fitness.figures import macs_by_kind
from spaces.errors import UsageError
from spaces.network import Network

__all__ = ["Rates", "estimated_ms", "latency_ms"]


@dataclass(frozen=True)
class Rates:
    """Int8 multiply-accumulates per second of a board under a runtime.

    Attributes:
        conv: Of standard and grouped convolutions.
        depthwise: Of depthwise convolutions.
        dense: Of dense and recurrent layers.
    """

    conv: float
    depthwise: float
    dense: float


def estimated_ms(network: Network, live: bool = False, *, rates: Rates | None) -> float:
    """Estimated milliseconds for one image or window.

    Raises:
        UsageError: There are no rates.
    """
    if rates is None:
        raise UsageError("latency_ms without a board's rates; name a board, e.g. --target nucleo-f746zg")
    conv, depthwise, dense = macs_by_kind(network, live)
    return 1000 * (conv / rates.conv + depthwise / rates.depthwise + dense / rates.dense)


def latency_ms(live: bool = False, rates: Rates | None = None) -> FigureFitness:
    """Estimated milliseconds for one image or window on the target: MACs over its rates by kind of layer."""
    name = "latency_ms(live=true)" if live else "latency_ms"
    return FigureFitness(name, "min", "ms", partial(estimated_ms, rates=rates), live)
