"""The MLPerf Tiny reference models, built by hand, have the figures of their published int8 files.

Numbers of the files: golden/munas.json; parameters: Keras, trainable. MLPerf Tiny (Banbury et al., NeurIPS 2021
Datasets and Benchmarks, arXiv:2106.07597).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fitness import figures
from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Pool, ReLU
from spaces.network import Network, NetworkBuilder


def _conv(net: NetworkBuilder, x: int, op: Conv, *, relu: bool = True, norm: bool = True) -> int:
    x = net.add(op, x)
    if norm:
        x = net.add(BatchNorm(), x)
    return net.add(ReLU(), x) if relu else x


def resnet8(widths: tuple[int, int, int]) -> Network:
    """Image classification: three residual blocks; convolutions have biases, shortcuts no batch norm."""
    net = NetworkBuilder((3, 32, 32))
    x = _conv(net, net.input, Conv(widths[0], (3, 3), padding=(1, 1)))
    for block, width in enumerate(widths):
        stride = (2, 2) if block else (1, 1)
        y = _conv(net, x, Conv(width, (3, 3), stride, (1, 1)))
        y = _conv(net, y, Conv(width, (3, 3), padding=(1, 1)), relu=False)
        if block:
            x = net.add(Conv(width, (1, 1), stride), x)
        x = net.add(ReLU(), net.add(Add(), x, y))
    x = net.add(Flatten(), net.add(Pool("avg", (8, 8), (8, 8)), x))
    return net.build(net.add(Dense(10), x))


def ds_cnn() -> Network:
    """Keyword spotting: four depthwise separable blocks of 64 channels."""
    net = NetworkBuilder((1, 49, 10))
    x = _conv(net, net.input, Conv(64, (10, 4), (2, 2), (5, 1)))  # SAME pads 4 before and 5 after: 25 rows too
    for _ in range(4):
        x = _conv(net, x, Conv(64, (3, 3), padding=(1, 1), groups=64))
        x = _conv(net, x, Conv(64, (1, 1)))
    x = net.add(Flatten(), net.add(Pool("avg", (25, 5), (25, 5)), x))
    return net.build(net.add(Dense(12), x))


def mobilenet() -> Network:
    """Visual wake words: MobileNetV1 at a quarter of the width on 96x96."""
    net = NetworkBuilder((3, 96, 96))
    x = _conv(net, net.input, Conv(8, (3, 3), (2, 2), (1, 1)))
    width = 8
    for stride, channels in zip(
        (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), (16, 32, 32, 64, 64, *(128,) * 6, 256, 256), strict=True
    ):
        x = _conv(net, x, Conv(width, (3, 3), (stride, stride), (1, 1), groups=width))
        x = _conv(net, x, Conv(channels, (1, 1)))
        width = channels
    x = net.add(Flatten(), net.add(Pool("avg", (3, 3), (3, 3)), x))
    return net.build(net.add(Dense(2), x))


def autoencoder() -> Network:
    """Anomaly detection: 640 numbers through 8 and back."""
    net = NetworkBuilder((640,))
    x = net.input
    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = net.add(ReLU(), net.add(BatchNorm(), net.add(Dense(units), x)))
    return net.build(net.add(Dense(640), x))


def wake_word() -> Network:
    """Streaming wake word: depthwise convolutions along time, as the file folds them."""
    net, width = NetworkBuilder((40, 30, 1)), 40
    x = net.input
    for kernel, channels in ((3, 128), (5, 128), (10, 128), (15, 32)):
        x = net.add(Conv(width, (kernel, 1), groups=width), x)
        x = net.add(ReLU(), net.add(Conv(channels, (1, 1)), x))
        width = channels
    return net.build(net.add(Dense(3), net.add(Flatten(), x)))


MODELS: dict[str, Callable[[], Network]] = {
    "resnet8_ic": lambda: resnet8((16, 32, 64)),
    "resnet8_large_ic02": lambda: resnet8((40, 80, 160)),
    "dscnn_kws": ds_cnn,
    "mobilenetv1_025_vww96": mobilenet,
    "autoencoder_ad": autoencoder,
    "streaming_wakeword": wake_word,
}
TRAINABLE = {  # Keras; of DS-CNN, 22,604 folded parameters and two of four per channel of nine batch norms
    "resnet8_ic": 78_186,
    "dscnn_kws": 22_604 + 9 * 64 * 2,
    "mobilenetv1_025_vww96": 216_322,
    "autoencoder_ad": 267_928,
}
each_model = pytest.mark.parametrize("name", list(MODELS))


@each_model
def test_weights_biases_and_macs_are_the_files(golden: dict[str, Any], name: str) -> None:
    network, file = MODELS[name](), golden["mlperf_tiny_reference"]["models"][name]
    weights, biases = file["int8_weight_elems"], file["int32_bias_elems"]
    assert figures.macs(network) == file["macs_conv_dense"]
    assert figures.model_bytes(network) == weights + biases
    assert figures.flash_bytes(network) == weights + 4 * biases


@each_model
def test_layers_have_the_files_shapes(golden: dict[str, Any], name: str) -> None:
    network, file = MODELS[name](), golden["mlperf_tiny_reference"]["models"][name]
    ours = [shape for op, shape in zip(network.ops, network.shapes, strict=True) if isinstance(op, Conv | Dense)]
    theirs = []
    for layer in file["per_op"]:
        if "CONV" in layer["kind"] or layer["kind"] == "FULLY_CONNECTED":
            _, *shape = layer["out_shape"]
            theirs.append((shape[-1], *shape[:-1]))
    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize("name", list(TRAINABLE))
def test_parameters_are_keras_trainable_ones(name: str) -> None:
    assert figures.params(MODELS[name]()) == TRAINABLE[name]


@each_model
def test_peaks_are_the_files(golden: dict[str, Any], name: str) -> None:
    """Padding is free in the files: TensorFlow's SAME is part of the convolution."""
    network, file = MODELS[name](), golden["mlperf_tiny_reference"]["models"][name]
    assert figures.munas_peak_memory(network, input=True) == file["peak_activation_bytes_in_file_order"]


@pytest.mark.parametrize("name", ["resnet8_ic", "resnet8_large_ic02", "dscnn_kws", "autoencoder_ad"])
def test_live_bytes_are_the_files_where_padding_is_not_at_the_peak(golden: dict[str, Any], name: str) -> None:
    peak = golden["mlperf_tiny_reference"]["models"][name]["peak_activation_bytes_in_file_order"]
    assert figures.peak_live_bytes(MODELS[name]()) == peak


def test_padding_on_both_sides_costs_a_buffer_where_same_would_not() -> None:
    """MobileNet halves 16x48x48 with a border on every side, as PyTorch pads; SAME pads below and right only."""
    assert figures.peak_live_bytes(mobilenet()) == 16 * 48 * 48 + 16 * 50 * 50


def test_depth_and_relus_by_hand() -> None:
    assert figures.depth(resnet8((16, 32, 64))) == 1 + 2 * 3 + 1  # stem, three blocks of two, classifier
    assert figures.n_relu(resnet8((16, 32, 64))) == 16_384 * 3 + 8_192 * 2 + 4_096 * 2
    assert figures.depth(ds_cnn()) == 1 + 8 + 1
    assert figures.n_relu(ds_cnn()) == 9 * 64 * 25 * 5
    assert figures.depth(mobilenet()) == 1 + 26 + 1
    assert figures.n_relu(autoencoder()) == 8 * 128 + 8
    assert figures.bottleneck(wake_word()) == 32
