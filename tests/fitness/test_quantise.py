from __future__ import annotations

from itertools import chain
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor

from fitness.deploy import fused
from fitness.figures import macs
from fitness.lower import LoweredNetwork, lower
from fitness.quantise import int8_accuracy, quantise, run_quantised
from fitness.quantised import QuantisedNetwork, Scheme
from fitness.quantising.arithmetic import factors, rounded_quotient, scaled
from fitness.quantising.ranges import nodes_of, scheme_of
from fitness.quantising.run import run_stored
from fitness.training.fit import Training, accuracy
from fitness.training.images import LabelledImages, Normalisation, Splits
from fitness.training.recipe import Recipe
from spaces import SPACES
from spaces.errors import UsageError
from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, Flatten, Pool, ReLU, Shift, Slice, Zero
from spaces.munas import MunasSpace
from spaces.network import Network, NetworkBuilder
from tests.fitness.int8_slowly import outputs_slowly
from tests.shared_data import DATA, needs_data
from tests.small import short

PLAIN = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def lived_in(network: Network, seed: int = 0) -> tuple[LoweredNetwork, Tensor]:
    """A module whose batch norms have seen images and have weights of their own, evaluating, and such images."""
    torch.manual_seed(seed)
    module = lower(network)
    for layer in module.layers:
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    images = torch.randn(32, *network.shapes[0]) + 0.3
    with torch.no_grad():
        module(images)
    return module.eval(), images


def everything() -> Network:
    """Every operation, and every way in which kernels meet."""
    net = NetworkBuilder((2, 7, 6))
    wide = net.add(ReLU(), net.add(BatchNorm(), net.add(Conv(4, (3, 3), (1, 1), (1, 1)), net.input)))
    own_norm = net.add(ReLU(), net.add(BatchNorm(), wide))
    grouped = net.add(Conv(4, (3, 2), (2, 1), (1, 0), groups=2, bias=False, dilation=(2, 1)), own_norm)
    depthwise = net.add(Conv(4, (3, 3), (2, 2), (1, 1), groups=4), wide)
    small = net.add(Pool("max", (3, 3), (2, 2), (1, 1), "ceil"), wide)
    total = net.add(ReLU(), net.add(Add(), grouped, depthwise, small))
    joined = net.add(Concat(), total, net.add(Shift(), total), net.add(Zero(), total))
    cut = net.add(ReLU(), net.add(Slice(7), joined))  # a kernel of its own: STRIDED_SLICE applies none
    pooled = net.add(ReLU(), net.add(Pool("avg", (3, 2), (2, 2), (1, 0), "ceil"), cut))
    flat = net.add(Flatten(), pooled)
    hidden = net.add(ReLU(), net.add(BatchNorm(), net.add(Dense(5), flat)))
    return net.build(net.add(Add(), net.add(Dense(5, bias=False), hidden), net.add(Dense(5), hidden)))


def small_munas(count: int) -> list[Network]:
    space, rng = MunasSpace((11, 9, 3), 4), Random(5)
    found: list[Network] = []
    while len(found) < count:
        network = space.decode(space.sample(rng))
        if macs(network) < 60_000 and any(isinstance(op, Add) for op in network.ops):
            found.append(network)
    return found


def stored_of(net: QuantisedNetwork, images: Tensor) -> np.ndarray:
    return net.kernels[0].output.quantised(images.numpy())


@pytest.mark.parametrize("network", [everything(), *small_munas(3)], ids=["all", "munas0", "munas1", "munas2"])
def test_integers_equal_those_of_one_number_at_a_time(network: Network) -> None:
    module, images = lived_in(network)
    net = quantise(module, images)
    stored = stored_of(net, 1.5 * images[:2])  # beyond the range that was seen: clamping counts too
    vectorised = run_stored(net, torch.from_numpy(stored)).numpy()
    for image, outputs in zip(stored, vectorised, strict=True):
        np.testing.assert_array_equal(outputs, outputs_slowly(net, image))
    assert len(np.unique(vectorised)) > 3


@pytest.mark.parametrize("network", [everything(), *small_munas(2)], ids=["all", "munas0", "munas1"])
def test_outputs_are_those_of_the_float_network_within_a_few_steps(network: Network) -> None:
    module, images = lived_in(network)
    net = quantise(module, images)
    found, wanted = run_quantised(net, images.numpy()), module(images).detach().numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 12 * net.kernels[-1].output.scale


@pytest.mark.parametrize("space", ["munas-mlp", "nats-tss", "nats-sss"])
def test_networks_of_other_spaces_keep_their_outputs(space: str) -> None:
    made = SPACES.create(space, short(space) | {"input_shape": (16, 16, 3)})
    module, images = lived_in(made.decode(made.sample(Random(3))))
    found, wanted = run_quantised(quantise(module, images), images.numpy()), module(images).detach().numpy()
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("space", list(SPACES))
def test_kernels_share_out_all_nodes_but_flattening(space: str) -> None:
    made = SPACES.create(space, short(space))
    for seed in range(2):
        network = made.decode(made.sample(Random(seed)))
        shared_out = nodes_of(network)
        flattened = [node for node, op in enumerate(network.ops) if isinstance(op, Flatten)]
        assert sorted(chain(flattened, *shared_out)) == list(range(len(network)))
        for kernel, nodes in zip(fused(network), shared_out, strict=True):
            kinds = [type(network.ops[node]) for node in nodes]
            assert network.ops[nodes[0]] is kernel.op
            assert kinds.count(BatchNorm) == kernel.norms
            assert kinds.count(ReLU) == kernel.relus


def test_what_only_moves_or_averages_numbers_keeps_their_scheme() -> None:
    module, images = lived_in(everything())
    kernels = quantise(module, images).kernels
    tied = [each for each in kernels if isinstance(each.kernel.op, Pool | Slice | Shift | Zero | Concat)]
    assert len(tied) == 6
    for each in tied:
        assert {kernels[source].output for source in each.kernel.inputs} == {each.output}


def test_a_sum_of_three_has_one_intermediate_scheme() -> None:
    module, images = lived_in(everything())
    partials = [len(each.partial) for each in quantise(module, images).kernels if isinstance(each.kernel.op, Add)]
    assert partials == [1, 0]


def test_weights_use_the_whole_range_of_every_channel_and_biases_the_scale_of_the_products() -> None:
    net = NetworkBuilder((2, 4, 4))
    network = net.build(net.add(Conv(3, (2, 2)), net.input))
    module, images = lived_in(network)
    quantised = quantise(module, images)
    conv = quantised.kernels[1]
    assert np.abs(conv.weights.reshape(3, -1)).max(axis=1).tolist() == [127] * 3
    layer = module.layers[1]
    reals = conv.weights * conv.scales[:, None, None, None]
    np.testing.assert_allclose(reals, layer.weight.detach().numpy(), atol=0.51 * conv.scales.max())
    product_scales = quantised.kernels[0].output.scale * conv.scales
    np.testing.assert_allclose(conv.biases * product_scales, layer.bias.detach().numpy(), atol=product_scales.max())
    assert (conv.scales == conv.scales.astype(np.float32)).all()


def test_a_dense_layer_has_one_scale_for_all_its_units() -> None:
    net = NetworkBuilder((6,))
    module, images = lived_in(net.build(net.add(Dense(5), net.input)))
    with torch.no_grad():
        module.layers[1].weight[0] *= 10
    dense = quantise(module, images).kernels[1]
    assert dense.scales.shape == (1,)
    assert np.abs(dense.weights[0]).max() == 127
    assert np.abs(dense.weights[1:]).max() < 127
    wanted = module.layers[1].weight.detach().numpy()
    np.testing.assert_allclose(dense.weights * dense.scales, wanted, atol=0.51 * dense.scales[0])


def test_a_channel_without_weights_keeps_its_bias() -> None:
    net = NetworkBuilder((2, 4, 4))
    module, images = lived_in(net.build(net.add(Conv(3, (2, 2)), net.input)))
    with torch.no_grad():
        module.layers[1].weight[1] = 0
        module.layers[1].bias[:] = torch.tensor([0.0, 2.0, 0.0])
    outputs = run_quantised(quantise(module, images), images.numpy()).reshape(-1, 3, 9)
    np.testing.assert_allclose(outputs[:, 1], 2.0, rtol=0.02)


def test_zero_is_stored_exactly_and_the_range_is_covered() -> None:
    for low, high in [(-1.0, 3.0), (0.5, 3.0), (-3.0, -0.5), (-1e-6, 1e4), (0.0, 0.0)]:
        scheme = scheme_of(low, high)
        assert scheme.reals(scheme.quantised(np.zeros(1, np.float32))) == 0
        for real in (low, high):
            kept = scheme.reals(scheme.quantised(np.array([real], np.float32)))
            assert abs(kept - real) <= 1.01 * scheme.scale


def test_storing_rounds_ties_away_from_zero_and_clamps() -> None:
    reals = np.array([0.25, -0.25, 0.75, -0.75, 0.24, 100, -100], np.float32)
    assert Scheme(0.5, 3).quantised(reals).tolist() == [4, 2, 5, 1, 3, 127, -128]


def test_fixed_point_rounds_twice() -> None:
    # A factor of one is 2**30 * 2**1 / 2**31. Ties of the high half go up, those of the shift away from zero, so
    # that 5 / 4 becomes 2, by 3 / 2, and -7 / 8 becomes -1, by -3 / 4.
    assert [tensor.tolist() for tensor in factors(1.0, 0.5, 0.0)] == [[2**30, 2**30, 0], [1, 0, 0]]
    values = torch.tensor([[6, 6], [-6, -6], [5, -7]])
    assert scaled(values, factors(0.25, 0.125)).tolist() == [[2, 1], [-2, -1], [2, -1]]


def test_means_of_integers_round_ties_away_from_zero() -> None:
    means = rounded_quotient(torch.tensor([3, -3, 5, -5, 4, 0]), torch.tensor([2, 2, 3, 3, 3, 4]))
    assert means.tolist() == [2, -2, 2, -2, 1, 0]


def test_quantising_leaves_the_module_as_it_was() -> None:
    module, images = lived_in(everything())
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    quantise(module, images)
    assert module.training
    assert all(layer.training for layer in module.layers)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_accuracy_counts_the_classes_of_the_outputs() -> None:
    module, _ = lived_in(small_munas(1)[0])
    pixels = np.random.default_rng(0).integers(0, 256, (120, 3, 11, 9), np.uint8)
    images = PLAIN(torch.from_numpy(pixels))
    net = quantise(module, images)
    classes = run_quantised(net, images.numpy()).argmax(1)
    labels = np.where(np.arange(120) < 90, classes, (classes + 1) % 4)
    assert int8_accuracy(net, LabelledImages(pixels, labels), PLAIN) == 75


def test_images_that_do_not_fit_are_refused() -> None:
    module, images = lived_in(everything())
    with pytest.raises(UsageError, match=r"calibration images of shape \(0, 2, 7, 6\); expected"):
        quantise(module, images[:0])
    with pytest.raises(UsageError, match=r"calibration images of shape \(32, 2, 7, 5\); expected"):
        quantise(module, images[..., :5])
    with pytest.raises(UsageError, match=r"images of shape \(32, 2, 7, 5\); the network reads \(N, 2, 7, 6\)"):
        run_quantised(quantise(module, images), images[..., :5].numpy())


def test_numbers_that_are_not_finite_are_refused() -> None:
    module, images = lived_in(everything())
    images[3, 0, 0, 0] = torch.nan
    with pytest.raises(UsageError, match="int8 needs finite ones"):
        quantise(module, images)


@needs_data
@pytest.mark.slow
def test_a_trained_network_loses_little_accuracy() -> None:
    stored = np.load(DATA / "cifar10_small.npz")
    train, test = (
        LabelledImages(
            np.ascontiguousarray(stored[f"{part}_images"].transpose(0, 3, 1, 2)),
            stored[f"{part}_labels"].astype(np.int64),
        )
        for part in ("train", "test")
    )
    space, rng = MunasSpace(), Random(0)
    network = next(
        net
        for net in (space.decode(space.sample(rng)) for _ in range(1000))
        if 2e5 < macs(net) < 4e5 and any(isinstance(op, Add) for op in net.ops)
    )
    training = Training(network, Splits(train, test, test, PLAIN, 10, "small"), Recipe(epochs=5, batch=50))
    while not training.done:
        training.run_epoch()
    net = quantise(training.module, PLAIN(torch.from_numpy(train.pixels[:300])))
    float_accuracy = accuracy(training.module, test, PLAIN)
    assert float_accuracy > 20
    assert int8_accuracy(net, test, PLAIN) > float_accuracy - 2
