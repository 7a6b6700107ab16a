"""Latency by kind of layer, by hand; MACs by kind against the per-operation counts of the MLPerf Tiny files."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import pytest

from fitness import FITNESS, figures
from fitness.figures import macs_by_kind
from fitness.latency import Rates, estimated_ms, latency_ms
from spaces.errors import UsageError
from spaces.layers import Conv, Dense, Flatten, Pool
from spaces.network import Network, NetworkBuilder
from tests.fitness.test_mlperf_tiny import MODELS

RATES = Rates(conv=1e6, depthwise=1e5, dense=1e4)
KINDS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 2}


def mixed() -> Network:
    """One layer of each kind on 8x8; the grouped convolution counts as a standard one."""
    net = NetworkBuilder((4, 8, 8))
    x = net.add(Conv(8, (1, 1)), net.input)  # 4 * 8 * 64 = 2,048
    x = net.add(Conv(8, (3, 3), padding=(1, 1), groups=2), x)  # 4 * 9 * 8 * 64 = 18,432
    x = net.add(Conv(8, (3, 3), padding=(1, 1), groups=8), x)  # 9 * 8 * 64 = 4,608
    x = net.add(Conv(16, (1, 1), groups=8), x)  # two filters a channel: 16 * 64 = 1,024
    x = net.add(Flatten(), net.add(Pool("max", (8, 8), (8, 8)), x))
    return net.build(net.add(Dense(10), x))  # 160


def test_macs_by_kind_by_hand() -> None:
    assert macs_by_kind(mixed()) == (2_048 + 18_432, 4_608 + 1_024, 160)


def test_a_convolution_of_one_channel_is_a_standard_one() -> None:
    net = NetworkBuilder((1, 4, 4))
    assert macs_by_kind(net.build(net.add(Conv(1, (1, 1)), net.input))) == (16, 0, 0)


@pytest.mark.parametrize("name", ["resnet8_ic", "dscnn_kws", "mobilenetv1_025_vww96", "autoencoder_ad"])
def test_macs_by_kind_are_the_files(golden: dict[str, Any], name: str) -> None:
    counted: Counter[int] = Counter()
    for layer in golden["mlperf_tiny_reference"]["models"][name]["per_op"]:
        if layer["kind"] in KINDS:
            counted[KINDS[layer["kind"]]] += layer["macs"]
    found = macs_by_kind(MODELS[name]())
    assert found == tuple(counted[kind] for kind in range(3))
    assert sum(found) == figures.macs(MODELS[name]())


def test_latency_by_hand() -> None:
    """20,480 at a million a second, 5,632 at a tenth of it, 160 at a hundredth: 20.48 + 56.32 + 16 ms."""
    fitness = latency_ms(rates=RATES)
    assert fitness(mixed()) == pytest.approx(20.48 + 56.32 + 16)
    assert (fitness.name, fitness.direction, fitness.unit, fitness.needs) == ("latency_ms", "min", "ms", "network")
    assert pickle.loads(pickle.dumps(fitness))(mixed()) == fitness(mixed())


def test_without_rates_it_says_what_is_missing() -> None:
    with pytest.raises(UsageError, match="latency_ms without a board's rates; name a board"):
        estimated_ms(mixed(), rates=None)
    made: Any = FITNESS.create("latency_ms", {})
    with pytest.raises(UsageError, match="--target nucleo-f746zg"):
        made(mixed())


def test_what_does_not_reach_the_output_takes_time_unless_only_live_layers_count() -> None:
    net = NetworkBuilder((4, 8, 8))
    net.add(Conv(100, (3, 3)), net.input)
    network = net.build(net.add(Conv(2, (1, 1)), net.input))
    live = latency_ms(live=True, rates=RATES)
    assert live.name == "latency_ms(live=true)"
    assert live(network) == pytest.approx(4 * 2 * 64 / 1e6 * 1000)
    assert latency_ms(rates=RATES)(network) > 100 * live(network)
