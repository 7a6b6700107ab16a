"""Networks quantised with seen ranges, against TensorFlow Lite Micro's interpreter, from real images to outputs."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from fitness.figures import macs
from fitness.quantise import quantise, run_quantised
from fitness.tflite_file import write_tflite
from spaces.munas import MunasSpace
from spaces.network import Network
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
