"""The torch module of a network has the shapes, ReLUs and parameters that the figures count."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from random import Random

import pytest
import torch
from torch import nn

from fitness import figures
from fitness.lower import LoweredNetwork, lower
from spaces import SPACES
from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Op, Pool, ReLU, ShapeError, Shift, Zero
from spaces.munas import MunasSpace
from spaces.network import Network, NetworkBuilder
from tests.small import each_build

BATCH = 2  # batch norm in training mode needs more than one number per channel
Networks = Callable[..., list[Network]]


@pytest.mark.parametrize("name", each_build())
def test_figures_equal_what_a_forward_pass_shows(networks: Networks, name: str) -> None:
    """A dozen as they come and all cheap ones of 200; the dear ones are marked slow."""
    sample = networks(name, 200)
    _check([network for i, network in enumerate(sample) if i < 12 or figures.macs(network) < 5 * 10**6])


@pytest.mark.slow
@pytest.mark.parametrize("name", each_build())
def test_figures_of_200_networks_equal_what_a_forward_pass_shows(networks: Networks, name: str) -> None:
    _check(networks(name, 200))


@pytest.mark.parametrize("rounding", ["floor", "ceil"])
@pytest.mark.parametrize("image", [(49, 40, 1), (7, 5, 2), (1, 1, 3)])
def test_odd_images_in_both_pool_roundings(image: tuple[int, int, int], rounding: str) -> None:
    space, rng = MunasSpace(image, 3, rounding), Random(1)  # type: ignore[arg-type]
    _check(space.decode(space.sample(rng)) for _ in range(40))


def _check(networks: Iterator[Network] | list[Network]) -> None:
    checked = 0
    for network in networks:
        module = lower(network)
        counts, shapes = _run(module)
        assert shapes == list(network.shapes)
        assert counts == figures.n_relu(network)
        assert sum(p.numel() for p in module.parameters()) == figures.params(network)
        assert len(list(module.parameters())) == figures.aleph(network)
        checked += 1
    assert checked


def _run(module: LoweredNetwork) -> tuple[int, list[tuple[int, ...]]]:
    """Numbers that ReLU modules put out per image, and every layer's output shape, from hooks."""
    counts, shapes = [0], [(0,)] * len(module.layers)

    def count(layer: nn.Module, inputs: object, output: torch.Tensor) -> None:
        counts[0] += output.numel()

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, nn.ReLU)]
    for index, layer in enumerate(module.layers):

        def note(layer: nn.Module, inputs: object, output: torch.Tensor, index: int = index) -> None:
            shapes[index] = tuple(output.shape[1:])

        hooks.append(layer.register_forward_hook(note))
    image = torch.zeros(BATCH, *module.network.shapes[0])
    module.eval()
    with torch.no_grad():
        module.layers[0](image)  # the input has no layer to run
        output = module(image)
    assert output.shape == (BATCH, *module.network.shapes[-1])
    for hook in hooks:
        hook.remove()
    assert counts[0] % BATCH == 0
    return counts[0] // BATCH, shapes


# --- single operations ------------------------------------------------------------------------------


def test_shape_rules_are_torchs() -> None:
    """Random convolutions and poolings: the same shapes, and refused where torch refuses."""
    rng, fitting = Random(2), 0
    for _ in range(3000):
        shape = rng.randint(1, 6), rng.randint(1, 9), rng.randint(1, 9)
        op = _random_op(rng, shape[0])
        builder = NetworkBuilder(shape)
        try:
            network = builder.build(builder.add(op, builder.input))
        except ShapeError:
            with pytest.raises((RuntimeError, ValueError)):
                _bare(op, shape[0])(torch.zeros(1, *shape))
            continue
        assert lower(network)(torch.zeros(1, *shape)).shape[1:] == network.shapes[-1], (op, shape)
        fitting += 1
    assert 1000 < fitting < 2900


def _random_op(rng: Random, channels: int) -> Op:
    def pair(low: int, high: int) -> tuple[int, int]:
        return rng.randint(low, high), rng.randint(low, high)

    kernel = pair(1, 5)
    if rng.random() < 0.5:
        groups = rng.choice([1, channels])
        channels, bias = groups * rng.randint(1, 3), rng.random() < 0.5
        dilation = pair(1, 3) if rng.random() < 0.3 else (1, 1)
        return Conv(channels, kernel, pair(1, 3), pair(0, 2), groups, bias, dilation)
    padding = rng.randint(0, kernel[0] // 2), rng.randint(0, kernel[1] // 2)  # torch allows no more
    kind, rounding = rng.choice(["max", "avg"]), rng.choice(["floor", "ceil"])
    return Pool(kind, kernel, pair(1, 3), padding, rounding)


def _bare(op: Op, channels: int) -> nn.Module:
    """The torch layer of a convolution or pooling, written here a second time."""
    if isinstance(op, Conv):
        return nn.Conv2d(
            *(channels, op.channels, op.kernel, op.stride, op.padding),
            dilation=op.dilation,
            groups=op.groups,
            bias=op.bias,
        )
    assert isinstance(op, Pool)
    if op.kind == "max":
        return nn.MaxPool2d(op.kernel, op.stride, op.padding, ceil_mode=op.rounding == "ceil")
    return nn.AvgPool2d(op.kernel, op.stride, op.padding, op.rounding == "ceil", count_include_pad=False)


def test_single_operations_compute_what_they_say() -> None:
    image = torch.arange(2 * 3 * 3, dtype=torch.float32).reshape(1, 2, 3, 3) - 8

    def run(op: Op) -> torch.Tensor:
        builder = NetworkBuilder((2, 3, 3))
        return lower(builder.build(builder.add(op, builder.input)))(image)

    assert torch.equal(run(ReLU()), image.clamp(min=0))
    assert torch.equal(run(Zero()), torch.zeros_like(image))
    assert torch.equal(run(Flatten()), image.flatten(1))
    assert run(Shift()).tolist() == [[[[-4, -3, 0], [-1, 0, 0], [0, 0, 0]], [[5, 6, 0], [8, 9, 0], [0, 0, 0]]]]
    assert run(Pool("max", (2, 2), (2, 2))).tolist() == [[[[-4.0]], [[5.0]]]]
    assert run(Pool("max", (2, 2), (2, 2), rounding="ceil")).tolist()[0][0] == [[-4.0, -3.0], [-1.0, 0.0]]
    corner = run(Pool("avg", (3, 3), (1, 1), (1, 1)))[0, 0, 0, 0]
    assert corner == image[0, 0, :2, :2].mean()  # the border is not counted
    assert run(BatchNorm()).mean(dim=(0, 2, 3)).abs().max() < 1e-6


def test_sums_pad_smaller_maps_at_the_bottom_and_right() -> None:
    builder = NetworkBuilder((1, 4, 5))
    tall = builder.add(Pool("max", (1, 5), (1, 5)), builder.input)
    wide = builder.add(Pool("max", (4, 1), (4, 1)), builder.input)
    network = builder.build(builder.add(Add(), tall, wide))
    image = torch.arange(20, dtype=torch.float32).reshape(1, 1, 4, 5)
    expected = torch.zeros(4, 5)
    expected[:, 0] += image[0, 0].max(dim=1).values
    expected[0, :] += image[0, 0].max(dim=0).values
    assert torch.equal(lower(network)(image)[0, 0], expected)


def test_repeated_terms_of_a_sum_count_repeatedly() -> None:
    builder = NetworkBuilder((3,))
    network = builder.build(builder.add(Add(), builder.input, builder.input, builder.input))
    assert lower(network)(torch.ones(1, 3)).tolist() == [[3.0, 3.0, 3.0]]


def test_vectors_are_normalised_per_feature() -> None:
    builder = NetworkBuilder((4,))
    network = builder.build(builder.add(BatchNorm(), builder.add(Dense(6), builder.input)))
    module = lower(network)
    assert figures.params(network) == sum(p.numel() for p in module.parameters()) == 6 * 4 + 6 + 12
    assert module(torch.randn(5, 4)).mean(dim=0).abs().max() < 1e-6


def test_modules_start_in_training_mode_with_pytorchs_own_initialisation(networks: Networks) -> None:
    network = networks("munas", 5)[3]
    torch.manual_seed(0)
    module = lower(network)
    assert module.training
    torch.manual_seed(0)
    for index, layer in enumerate(module.layers):
        if isinstance(layer, nn.Conv2d):
            again = _bare(network.ops[index], layer.in_channels)
            assert torch.equal(again.weight, layer.weight)  # type: ignore[arg-type]
        elif isinstance(layer, nn.Linear):
            assert torch.equal(nn.Linear(layer.in_features, layer.out_features).weight, layer.weight)


def test_lowering_warns_of_nothing(networks: Networks) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in SPACES:
            module = lower(networks(name, 3)[0])
            module(torch.zeros(2, *module.network.shapes[0])).sum().backward()
