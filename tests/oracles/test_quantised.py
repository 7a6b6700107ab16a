"""Networks quantised with seen ranges, against TensorFlow Lite Micro's interpreter, from real images to outputs."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from fitness.deploy import fused
from fitness.figures import macs
from fitness.quantise import quantise, run_quantised
from fitness.quantised import QuantisedKernel, QuantisedNetwork, Scheme
from fitness.tflite_file import write_tflite
from spaces.layers import Dense
from spaces.munas import MunasSpace
from spaces.network import Network, NetworkBuilder
from tests.fitness.test_quantise import lived_in
from tests.oracles.micro import Micro

SPACE = MunasSpace((20, 18, 3))


def _network(number: int) -> Network:
    """The munas networks that a microcontroller runs at once: below half a million MACs."""
    rng = Random(number)
    while True:
        network = SPACE.decode(SPACE.sample(rng))
        if macs(network) < 500_000:
            return network


@pytest.mark.parametrize("number", range(20))
def test_outputs_equal_the_interpreters(number: int) -> None:
    module, images = lived_in(_network(number), number)
    net = quantise(module, images)
    shown = 1.3 * images[:5]  # beyond what was seen, so that clamping counts
    micro = Micro(write_tflite(net))
    entry, exit_ = net.kernels[0].output, net.kernels[-1].output
    stored = entry.quantised(shown.permute(0, 2, 3, 1).contiguous().numpy())
    theirs = np.concatenate([exit_.reals(micro.run(image[None])) for image in stored])
    np.testing.assert_array_equal(run_quantised(net, shown.numpy()), theirs)
    assert len(np.unique(theirs)) > 2


def test_the_product_of_the_scales_of_a_dense_layer_is_not_rounded_to_float32() -> None:
    entry, weight_scale, exit_ = Scheme(float(np.float32(0.1)), 0), float(np.float32(3e-6)), Scheme(1.25, 0)
    exact = entry.scale * weight_scale / exit_.scale
    rounded = float(np.float32(entry.scale * weight_scale)) / exit_.scale
    assert exact != rounded
    halves = np.arange(60, 120) + 0.5
    biases = np.rint(halves / ((exact + rounded) / 2)).astype(np.int32)  # which of the two it is decides each
    net = NetworkBuilder((1,))
    source, dense = fused(net.build(net.add(Dense(len(halves)), net.input)))
    weights = np.ones((len(halves), 1), np.int8)
    kernel = QuantisedKernel(dense, exit_, weights, np.array([weight_scale]), biases)
    made = QuantisedNetwork((QuantisedKernel(source, entry), kernel))
    theirs = exit_.reals(Micro(write_tflite(made)).run(np.zeros((1, 1), np.int8)))
    np.testing.assert_array_equal(run_quantised(made, np.zeros((1, 1), np.float32)), theirs)
    assert (theirs != exit_.scale * np.floor(biases * rounded + 0.5)).all()
