"""The figures of `fitness.figures` as fitness, each with its unit and direction.

Sizes, memory and μNAS's costs are better when smaller. Parameters, macs, depth and the other counts are the
field's baselines for accuracy and are better when larger; `--objective macs:min` turns one around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from fitness import figures, tflite_overhead
from fitness.base import Direction, Needs
from spaces.errors import RunError
from spaces.network import Network


@dataclass(frozen=True)
class FigureFitness:
    """One figure under the fitness contract."""

    name: str
    direction: Direction
    unit: str
    function: Callable[..., float]
    live: bool = False
    needs: ClassVar[Needs] = "network"
    positive: ClassVar[bool] = True

    def __call__(self, network: Network) -> float:
        """The figure of a network."""
        return self.function(network, live=True) if self.live else self.function(network)


def _figure(function: Callable[..., float], direction: Direction, unit: str) -> Callable[..., FigureFitness]:
    def create(live: bool = False) -> FigureFitness:
        name = f"{function.__name__}(live=true)" if live else function.__name__
        return FigureFitness(name, direction, unit, function, live)

    create.__doc__ = function.__doc__
    return create


def _exact_peak(network: Network, live: bool = False) -> int:
    peak = figures.munas_peak(network.live if live else network)
    if not peak.exact:
        raise RunError(f"upper bound {peak.bytes} bytes only: the exact search reached its cap on states")
    return peak.bytes


_exact_peak.__name__, _exact_peak.__doc__ = "munas_peak_memory", figures.munas_peak_memory.__doc__

aleph = _figure(figures.aleph, "max", "tensors")
arena_bytes = _figure(tflite_overhead.arena_bytes, "min", "bytes")
arena_overhead_bytes = _figure(tflite_overhead.arena_overhead_bytes, "min", "bytes")
bottleneck = _figure(figures.bottleneck, "max", "elements")
depth = _figure(figures.depth, "max", "layers")
flash_bytes = _figure(figures.flash_bytes, "min", "bytes")
log_capacity = _figure(figures.log_capacity, "max", "nats")
macs = _figure(figures.macs, "max", "multiply-accumulates")
model_bytes = _figure(figures.model_bytes, "min", "bytes")
munas_macs = _figure(figures.munas_macs, "min", "operations")
munas_peak_memory = _figure(_exact_peak, "min", "bytes")
munas_size = _figure(figures.munas_size, "min", "bytes")
n_relu = _figure(figures.n_relu, "max", "activations")
params = _figure(figures.params, "max", "parameters")
peak_live_bytes = _figure(figures.peak_live_bytes, "min", "bytes")
peak_ram_bytes = _figure(figures.peak_ram_bytes, "min", "bytes")
state_bytes = _figure(figures.state_bytes, "min", "bytes")
step_macs = _figure(figures.step_macs, "min", "multiply-accumulates")
tflite_file_bytes = _figure(tflite_overhead.tflite_file_bytes, "min", "bytes")
