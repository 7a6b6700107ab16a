"""Speed of a board from its MLPerf Tiny latencies. Banbury et al., NeurIPS 2021 Datasets, arXiv:2106.07597.

A latency is modelled as the multiply-accumulates of each kind of layer over that kind's rate. Standard and
depthwise convolutions are fitted to the three image and audio networks by least squares of the relative error;
dense layers take the autoencoder, which has no others. What else a network does (pooling, sums) is in the rates.
Fitted to 19 boards and runtimes, the three latencies come out with a median error of 4 %, at worst 21 %; fitted to
ResNet-8 and one of the two others, the third is off by 8 % in the median, at worst 46 %: tuned runtimes run the
wide pointwise layers of MobileNetV1 at a higher rate than those of DS-CNN, which one rate cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from engine.targets.profile import Rate, Speed

DEPTHWISE_SLOWDOWN = 4.2
"""How much slower per multiply-accumulate a depthwise convolution is than a pointwise one where nothing tells:
13.1 against 3.1 million a second in the per-operation log of the RP2040 (raspberrypi/pico-tflmicro)."""

DENSE_SPEED = 0.7
"""Rate of a dense layer over a standard convolution's where nothing tells: the median of the boards measured."""


class Work(NamedTuple):
    """Multiply-accumulates of one benchmark's network, by kind of layer."""

    conv: int
    depthwise: int
    dense: int


WORK = {
    "ic": Work(12_500_992, 0, 640),  # ResNet-8
    "kws": Work(2_368_000, 288_000, 768),  # DS-CNN
    "vww": Work(6_690_816, 798_336, 512),  # MobileNetV1 0.25
    "ad": Work(0, 0, 264_192),  # autoencoder
}
FITTED = ("ic", "kws", "vww")


def speed_of(latencies_ms: Mapping[str, float], source: str) -> Speed:
    """The rates that explain latencies best.

    Minimises the sum over ic, kws and vww of (conv·x + depthwise·y)/t - 1 squared, x and y being seconds per
    multiply-accumulate. If that makes depthwise layers the faster ones, the image classifier, which has none,
    decides alone and depthwise layers are `DEPTHWISE_SLOWDOWN` slower: estimated, as dense layers are without "ad".

    Args:
        latencies_ms: Milliseconds per inference of "ic", "kws", "vww" and possibly "ad".
        source: Whose they are.
    """
    speeds = [(WORK[name].conv, WORK[name].depthwise, latencies_ms[name] / 1000) for name in FITTED]
    # The normal equations by the 2x2 minors: sums of squares do not cancel, so the determinant is above 0.
    pairs = [((a / t, b / t), (c / u, d / u)) for (a, b, t), (c, d, u) in combinations(speeds, 2)]
    determinant = sum((a * d - c * b) ** 2 for (a, b), (c, d) in pairs)
    x = sum((a * d - c * b) * (d - b) for (a, b), (c, d) in pairs) / determinant
    y = sum((a * d - c * b) * (a - c) for (a, b), (c, d) in pairs) / determinant
    if 0 < x <= y:
        fitted = f"{source}: least squares over ic, kws and vww"
        conv, depthwise = Rate(1 / x, True, fitted), Rate(1 / y, True, fitted)
    else:
        conv = Rate(WORK["ic"].conv * 1000 / latencies_ms["ic"], True, f"{source}: ic")
        depthwise = Rate(
            conv.macs_per_second / DEPTHWISE_SLOWDOWN, False, f"standard convolution / {DEPTHWISE_SLOWDOWN}"
        )
    if "ad" in latencies_ms:
        dense = Rate(WORK["ad"].dense * 1000 / latencies_ms["ad"], True, f"{source}: ad")
    else:
        dense = Rate(conv.macs_per_second * DENSE_SPEED, False, f"standard convolution x {DENSE_SPEED}")
    return Speed(conv, depthwise, dense)
