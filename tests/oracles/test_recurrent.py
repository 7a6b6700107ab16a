"""Recurrent networks against a loop over their steps, torch's own modules, and memory added up by hand."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from engine.targets import TARGETS
from fitness import FITNESS, figures, score
from fitness.latency import Rates
from fitness.lower import lower
from fitness.probing.memory import least_bytes
from fitness.quantise import quantise
from fitness.recurrent import RecurrentLayer
from fitness.stream import planned_tensors
from fitness.tflite_overhead import arena_bytes, tflite_file_bytes
from spaces.errors import ScoreFailed, UsageError
from spaces.layers import Add, Dense, Flatten, Op, Recurrent, ReLU, Sigmoid, Tanh, Zero
from spaces.munas import MunasSpace
from spaces.network import Network, NetworkBuilder
from spaces.rnn import RnnSpace

Floats = NDArray[np.float64]
KINDS = ("lstm", "gru", "rnn")
each_kind = pytest.mark.parametrize("kind", KINDS)


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def _by_steps(layer: RecurrentLayer, steps: Floats) -> Floats:
    """The equations, one sequence and one step at a time: (N, L, F) to (N, L, units)."""
    w, u, b = (p.detach().double().numpy() for p in (layer.weight_ih, layer.weight_hh, layer.bias))
    outputs = np.zeros((*steps.shape[:2], layer.op.units))
    for n, sequence in enumerate(steps):
        h = c = np.zeros(layer.op.units)
        for t, x in enumerate(sequence):
            if layer.op.kind == "lstm":  # Hochreiter and Schmidhuber 1997; Gers et al. 2000, forget gate
                i, f, g, o = np.split(w @ x + u @ h + b, 4)
                c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
                h = _sigmoid(o) * np.tanh(c)
            elif layer.op.kind == "gru":  # Cho et al. 2014, arXiv:1406.1078, the reset behind the product
                assert layer.bias_hh is not None
                (r, z, candidate), recurrent = (
                    np.split(w @ x + b, 3),
                    u @ h + layer.bias_hh.detach().double().numpy(),
                )
                hr, hz, hn = np.split(recurrent, 3)
                kept = _sigmoid(z + hz)
                h = (1 - kept) * np.tanh(candidate + _sigmoid(r + hr) * hn) + kept * h
            else:
                h = np.tanh(w @ x + u @ h + b)
            outputs[n, t] = h
    return outputs


@each_kind
def test_layers_compute_their_equations(kind: str) -> None:
    torch.manual_seed(1)
    steps = torch.randn(3, 7, 4)
    layer = RecurrentLayer(Recurrent(kind, 5, sequences=True), 4)  # type: ignore[arg-type]
    wanted = _by_steps(layer, steps.double().numpy())
    assert np.abs(layer(steps).detach().numpy() - wanted).max() < 1e-6
    last = RecurrentLayer(Recurrent(kind, 5), 4)  # type: ignore[arg-type]
    last.load_state_dict(layer.state_dict())
    assert np.abs(last(steps).detach().numpy() - wanted[:, -1]).max() < 1e-6


@each_kind
def test_layers_compute_what_torchs_own_do(kind: str) -> None:
    modules: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
    theirs = modules[kind](3, 6, batch_first=True)
    ours = RecurrentLayer(Recurrent(kind, 6, sequences=True), 3)  # type: ignore[arg-type]
    with torch.no_grad():
        ours.weight_ih.copy_(theirs.weight_ih_l0)  # type: ignore[arg-type]
        ours.weight_hh.copy_(theirs.weight_hh_l0)  # type: ignore[arg-type]
        if ours.bias_hh is None:
            ours.bias.copy_(theirs.bias_ih_l0 + theirs.bias_hh_l0)  # type: ignore[operator]
        else:
            ours.bias.copy_(theirs.bias_ih_l0)  # type: ignore[arg-type]
            ours.bias_hh.copy_(theirs.bias_hh_l0)  # type: ignore[arg-type]
    steps = torch.randn(4, 9, 3)
    assert torch.allclose(ours(steps), theirs(steps)[0], atol=1e-6)


@each_kind
def test_weights_are_drawn_by_torchs_law(kind: str) -> None:
    layer = RecurrentLayer(Recurrent(kind, 25), 30)  # type: ignore[arg-type]
    for parameter in layer.parameters():
        values = parameter.detach()
        assert values.abs().max() <= 1 / math.sqrt(25)
        assert abs(float(values.std()) * math.sqrt(75) - 1) < 0.25  # of a uniform law
    names = ["weight_ih", "weight_hh", "bias", *(["bias_hh"] if kind == "gru" else [])]
    assert list(layer.state_dict()) == names


def _random(seed: int, **options: object) -> Network:
    space = RnnSpace(cell="any", max_units=20, max_look_back=6, **options)  # type: ignore[arg-type]
    return space.decode(space.sample(Random(seed)))


def test_modules_survive_copies_pickling_devices_and_evaluation(device: str) -> None:
    network = _random(3, features=2, min_layers=3)
    module = lower(network)
    steps = torch.randn(5, *network.shapes[0])
    wanted = module(steps)
    again = lower(network)
    again.load_state_dict(module.state_dict())
    for other in (again, copy.deepcopy(module), pickle.loads(pickle.dumps(module)), copy.deepcopy(module).double()):
        kind = next(other.parameters()).dtype
        assert torch.allclose(other(steps.to(kind)).float(), wanted, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        there = module.to(device).eval()
        found = there(steps.to(device))
        assert torch.allclose(found.cpu(), wanted, atol=1e-5)
        weight = next(there.parameters())
        (slope,) = torch.autograd.grad(found.square().sum(), weight, create_graph=True)
        (bend,) = torch.autograd.grad(slope.square().sum(), weight)  # twice, in evaluation
    assert bool(torch.isfinite(bend).all())
    assert torch.backends.cudnn.enabled


# --- figures -----------------------------------------------------------------------------------------


def test_figures_of_a_stack_by_hand() -> None:
    """Of Camero et al.'s sine network 1-2-2-1 with a look-back of 2: 24 + 40 + 3 weights and biases."""
    builder = NetworkBuilder((2, 1))
    x = builder.add(Recurrent("lstm", 2), builder.add(Recurrent("lstm", 2, sequences=True), builder.input))
    network = builder.build(builder.add(Tanh(), builder.add(Dense(1), x)))
    assert figures.params(network) == (4 * 2 * (1 + 2) + 8) + (4 * 2 * (2 + 2) + 8) + 3
    assert figures.step_macs(network) == 24 + 32 + 2
    assert figures.macs(network) == 2 * (24 + 32) + 2
    assert figures.macs_by_kind(network) == (0, 0, 114)
    assert figures.state_bytes(network) == 2 * (2 + 2 * 2)
    assert figures.model_bytes(network) == 24 + 8 + 32 + 8 + 3
    assert figures.flash_bytes(network) == 24 + 32 + 2 + 4 * (8 + 8 + 1)
    assert figures.depth(network) == 3
    assert figures.aleph(network) == 3 + 3 + 2
    assert figures.log_capacity(network) == pytest.approx(math.log(24 * 32 * 2))
    assert (figures.n_relu(network), figures.bottleneck(network)) == (0, 2)


@each_kind
def test_memory_of_one_layer_by_hand(kind: str) -> None:
    builder = NetworkBuilder((10, 7))
    network = builder.build(builder.add(Dense(3), builder.add(Recurrent(kind, 20), builder.input)))  # type: ignore[arg-type]
    states = {"lstm": 32 + 48, "gru": 32, "rnn": 32}[kind]  # 20 and 40 bytes, rounded up to 16
    scratch = {"lstm": 4, "gru": 4, "rnn": 1}[kind] * 48
    assert figures.peak_ram_bytes(network) == 80 + states + scratch  # the output of 16 comes when scratch is gone
    assert figures.peak_live_bytes(network) == figures.peak_ram_bytes(network)
    assert figures.state_bytes(network) == {"lstm": 60, "gru": 20, "rnn": 20}[kind]


def test_sequences_take_one_step_unless_they_are_read_whole() -> None:
    def sizes(flat: bool) -> list[int]:
        builder = NetworkBuilder((10, 16))
        x = builder.add(ReLU(), builder.add(Recurrent("rnn", 32, sequences=True), builder.input))
        last = builder.add(Flatten(), x) if flat else builder.add(Recurrent("rnn", 16), x)
        return [tensor.size for tensor in planned_tensors(builder.build(builder.add(Dense(1), last)))]

    assert sorted(sizes(flat=False)) == sorted([160, 32, 64, 32, 16, 32, 16])
    assert sorted(sizes(flat=True)) == sorted([160, 32, 64, 320, 16])


def test_memory_follows_the_window_the_states_and_the_widest_layer() -> None:
    for seed in range(40):
        network = _random(seed, preset="waste", min_units=1, features=5)
        layers = [op for op in network.ops if isinstance(op, Recurrent)]
        exact = network.volumes[0] + figures.state_bytes(network)
        exact += max({"lstm": 8, "gru": 8, "rnn": 2}[op.kind] * op.units for op in layers)
        buffers = 1 + 2 * len(layers) + 4
        assert exact <= figures.peak_ram_bytes(network) < exact + 16 * buffers + 2 * 224  # and the output's


def test_figures_of_a_stream_are_zero_of_networks_that_read_images() -> None:
    space = MunasSpace()
    network = space.decode(space.sample(Random(0)))
    assert (figures.step_macs(network), figures.state_bytes(network)) == (0, 0)


def test_a_pass_holds_at_least_what_its_layers_read() -> None:
    network = RnnSpace(max_look_back=4, min_look_back=4).parse('{"look_back": 4, "layers": 1, "l0.units": 6}')
    graph = RnnSpace(max_look_back=4, min_look_back=4).decode(network)
    assert least_bytes(graph, 10, recorded=True) == 4 * 10 * (4 + 6)


def _graph(rng: Random) -> Network:
    """Sequences and vectors that fork, join and end dead, in any order."""
    builder = NetworkBuilder((rng.randint(1, 4), rng.randint(1, 3)))
    shapes = [builder.shape(builder.input)]
    for _ in range(rng.randint(2, 8)):
        source = rng.randrange(len(shapes))
        ops: list[Op] = [Zero(), ReLU(), Sigmoid(), Flatten()]
        if len(shapes[source]) == 2:
            ops += [Recurrent(kind, rng.randint(1, 3), rng.random() < 0.7) for kind in (*KINDS, *KINDS)]  # type: ignore[arg-type]
        else:
            ops += [Dense(rng.randint(1, 3))] * 3
        peers = [node for node, shape in enumerate(shapes) if shape == shapes[source]]
        joins = rng.random() < 0.3
        made = builder.add(Add(), source, rng.choice(peers)) if joins else builder.add(rng.choice(ops), source)
        shapes.append(builder.shape(made))
    return builder.build(len(shapes) - 1)


def test_figures_of_random_graphs_are_those_of_their_modules(rewrite: Callable[..., Network]) -> None:
    rng, several = Random(5), 0
    for _ in range(40):
        network = _graph(rng)
        assert rewrite(network, rng).key == network.key
        assert Network.from_json(network.to_json()) == network
        for graph in (network, network.live, network.simplified()):
            module = lower(graph)
            assert module(torch.zeros(2, *graph.shapes[0])).shape == (2, *graph.shapes[-1])
            assert figures.params(graph) == sum(p.numel() for p in module.parameters())
            assert figures.aleph(graph) == len(list(module.parameters()))
            assert figures.peak_ram_bytes(graph) >= figures.peak_live_bytes(graph) >= graph.volumes[0]
            assert figures.step_macs(graph) <= figures.macs(graph)
        several += sum(isinstance(op, Recurrent) for op in network.live.ops) > 1
    assert several > 3


# --- microcontrollers --------------------------------------------------------------------------------


def test_targets_bound_flash_and_memory_where_there_is_no_file() -> None:
    target = TARGETS["nucleo-f446re"]
    flash, ram = target.flash_budget_bytes, target.ram_budget_bytes
    assert target.bounds_for(RnnSpace()) == (f"flash_bytes<={flash}", f"peak_ram_bytes<={ram}")
    assert target.bounds_for(MunasSpace()) == target.bounds


def test_latency_counts_recurrent_work_at_the_rate_of_dense_layers() -> None:
    network = _random(1)
    latency = FITNESS.create("latency_ms", {}, {"rates": Rates(conv=1.0, depthwise=1.0, dense=1e6)})
    assert latency(network) == pytest.approx(figures.macs(network) / 1e3)  # type: ignore[operator]


@pytest.mark.parametrize("figure", [tflite_file_bytes, arena_bytes])
def test_there_is_no_file_of_a_recurrent_network(figure: Callable[[Network], int]) -> None:
    with pytest.raises(ScoreFailed, match=r"Recurrent\(.*\) has no place in a \.tflite file here") as refusal:
        figure(_random(2))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("activation", [Tanh(), Sigmoid()])
def test_vectors_with_other_activations_have_memory_but_no_file(activation: Tanh | Sigmoid) -> None:
    builder = NetworkBuilder((8,))
    network = builder.build(builder.add(activation, builder.add(Dense(20), builder.input)))
    assert figures.peak_ram_bytes(network) == 32 + 32
    with pytest.raises(ScoreFailed, match=r"\(\) has no place in a \.tflite file"):
        tflite_file_bytes(network)
    with pytest.raises(UsageError, match=r"\(\) cannot be quantised"):
        quantise(lower(network), torch.zeros(4, 8))


# --- training-free scores ----------------------------------------------------------------------------


def test_scores_of_a_recurrent_module_are_numbers_or_told_in_one_line() -> None:
    builder = NetworkBuilder((4, 3))
    x = builder.add(Recurrent("lstm", 6, sequences=True), builder.input)
    x = builder.add(Add(), x, builder.add(ReLU(), x))
    network = builder.build(builder.add(Dense(3), builder.add(Recurrent("gru", 5), x)))
    windows, labels = torch.randn(8, 4, 3), torch.arange(8) % 3
    reasons = []
    for name in ("naswot", "synflow", "grasp", "zen"):
        try:
            assert math.isfinite(score(name, network, windows, labels))
        except (ScoreFailed, UsageError) as refusal:
            reasons.append(str(refusal))
    assert len(reasons) < 3
    assert "\n" not in "".join(reasons)
