"""TE-NAS's scores: against the authors' numbers, against plain torch, and in runs."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.api import search
from fitness import score
from fitness.lower import lower
from fitness.probing.ntk_gram import ntk_gram
from fitness.probing.probe import Probe, Probed
from fitness.probing.source import ProbeSource
from fitness.scores.linear_regions import LinearRegions
from fitness.scores.te_nas import TeNasNtk, TeNasRegions, random_patches, shared_weights
from spaces.errors import ScoreFailed, UsageError
from spaces.layers import Conv, Dense, Flatten, ReLU
from spaces.nats import NatsTss
from spaces.network import Network, NetworkBuilder
from spaces.space import Choose, Genotype, Integer, Space
from spaces.supernet import Placed, ThinNetworks
from tests.golden_nets import golden_inputs, golden_thin_network

SPACE = NatsTss((8, 8, 3), channels=2, cells=1)
SUPERNETS = SPACE.relaxed()
BRANCHED = SUPERNETS.parse(
    "|skip_connect~0|+|skip_connect+nor_conv_3x3~0|none+skip_connect~1|+"
    "|avg_pool_3x3~0|nor_conv_1x1+nor_conv_3x3+avg_pool_3x3~1|none~2|"
)


def _probe(count: int = 40) -> Probe:
    images = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return Probe(images, batch=count)


# --- the numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a0_best_c10", "a2_pool", "a5_allnone"])
def test_regions_are_the_authors(name: str) -> None:
    module, record = golden_thin_network(name)
    patches = golden_inputs()["patches"]
    assert score("te_nas_regions(draws=1)", module, patches) == record["linear_regions_thin_3x1000"]


def test_regions_are_the_mean_over_draws() -> None:
    patches = torch.randn(36, 1, 3, 3, generator=torch.Generator().manual_seed(2))
    module = lower(SUPERNETS.thin_networks(SUPERNETS.whole).regions.network)
    each = [LinearRegions(batches=3)(Probed(module, Probe(part, batch=12))) for part in patches.split(12)]
    assert score("te_nas_regions", module, patches) == fmean(each)


def test_the_condition_number_is_the_mean_over_draws_with_the_same_weights() -> None:
    probe = _probe(24)
    module = lower(SUPERNETS.thin_networks(BRANCHED).ntk.network).train()
    kappas = []
    for part in probe.images.split(8):
        eigenvalues = torch.linalg.eigvalsh(ntk_gram(module, part))
        kappas.append(float(eigenvalues[-1] / eigenvalues[0]))
    assert TeNasNtk()(Probed(module, probe)) == pytest.approx(fmean(kappas), rel=1e-6)
    assert len(set(kappas)) == 3


def test_a_network_without_a_condition_number_fails() -> None:
    empty = SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    fitness = TeNasNtk(space=SPACE)
    with pytest.raises(ScoreFailed, match="singular"):
        fitness(fitness.subject(empty, _probe(9)))


# --- supernets ---------------------------------------------------------------------------------------


def test_figures_of_a_supernet_are_those_of_its_module() -> None:
    """Counted layer by layer in a module of which only torch is known."""
    rng = Random(6)
    for genotype in (SUPERNETS.whole, *(SUPERNETS.sample(rng) for _ in range(3))):
        network = SUPERNETS.decode(genotype)
        names, images = ["params", "macs", "n_relu"], _probe(2).images
        assert score(names, nn.Sequential(lower(network)), images) == score(names, network, images)


# --- thin networks ----------------------------------------------------------------------------------


def test_every_edge_is_the_mean_of_its_operations() -> None:
    """The cell written down by hand in torch, with the weights that the places name."""
    placed, probe = SUPERNETS.thin_networks(BRANCHED).regions, _probe()
    module = shared_weights(placed, probe).train()
    layers = dict(zip(placed.places, module.layers, strict=True))

    def convolved(x: Tensor, place: str) -> Tensor:
        layer: Any = layers[f"{place} Conv 1"]
        made = functional.conv2d(functional.relu(x), layer.weight, padding=layer.padding)
        return functional.batch_norm(made, None, None, training=True)

    def pooled(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    image = torch.randn(10, 1, 3, 3)
    one = image
    two = (image + convolved(image, "0->2 nor_conv_3x3")) / 2 + one / 2
    convolutions = convolved(one, "1->3 nor_conv_1x1") + convolved(one, "1->3 nor_conv_3x3")
    three = pooled(image) + (convolutions + pooled(one)) / 3 + 0 * two
    expected = functional.relu(functional.batch_norm(three, None, None, training=True))
    assert torch.allclose(module(image), expected, atol=1e-6)


def test_one_operation_on_every_edge_makes_the_plain_module() -> None:
    genotype = SPACE.sample(Random(3))
    placed = SPACE.thin_networks(genotype).ntk
    module, images = shared_weights(placed, _probe()), _probe().images
    plain = lower(NatsTss((8, 8, 3), channels=3, cells=1).decode(genotype))
    plain.load_state_dict(module.state_dict())
    assert torch.equal(plain(images), module(images))


def test_supernets_share_the_weights_of_what_both_have() -> None:
    whole = _weights(SUPERNETS.whole)
    rng = Random(4)
    for _ in range(5):
        own = _weights(SUPERNETS.sample(rng))
        assert own.keys() <= whole.keys()
        assert all(torch.equal(weight, whole[place]) for place, weight in own.items())
    values = [weight.flatten()[0].item() for weight in whole.values()]
    assert len(set(values)) == len(values)
    assert not any(torch.equal(whole[p], other) for p, other in _weights(SUPERNETS.whole, 1).items())


def _weights(genotype: Genotype, seed: int = 0) -> dict[str, Tensor]:
    placed = SUPERNETS.thin_networks(genotype).ntk
    module = shared_weights(placed, replace(_probe(), seed=seed))
    return {
        place: layer.weight
        for place, op, layer in zip(placed.places, placed.network.ops, module.layers, strict=True)
        if isinstance(op, Conv | Dense) and isinstance(layer, nn.Conv2d | nn.Linear)
    }


def test_weights_are_drawn_as_pytorch_draws_them() -> None:
    for weight in _weights(SUPERNETS.whole).values():
        bound = weight[0].numel() ** -0.5  # kaiming_uniform with a = sqrt(5)
        assert weight.abs().max() <= bound
        assert weight.numel() < 20 or weight.abs().max() > 0.6 * bound


# --- patches ----------------------------------------------------------------------------------------


def test_patches_are_cut_out_of_the_images_in_turn() -> None:
    images = _probe(7).images
    patches = random_patches(images, 100, 5)
    assert patches.shape == (100, 1, 3, 3)
    windows = functional.unfold(images.reshape(21, 1, 8, 8), 3).transpose(1, 2).reshape(7, 3 * 36, 9)
    found = [int((windows[i % 7] == patch.flatten()).all(1).nonzero()) for i, patch in enumerate(patches)]
    assert len({place // 36 for place in found}) == 3, "of every channel"
    assert len({place % 36 for place in found}) > 30, "of nearly all of 36 places"
    assert torch.equal(patches, random_patches(images, 100, 5))
    assert not torch.equal(patches, random_patches(images, 100, 6))


def test_a_run_loads_no_more_images_than_patches_are_cut_from() -> None:
    source = ProbeSource("noise", (3, 8, 8), 10)
    assert len(source.open([TeNasRegions()]).images) == 1000
    assert len(source.open([TeNasRegions(batch=90)]).images) == 90
    assert len(source.open([TeNasNtk()]).images) == 216
    fitness, probe = TeNasRegions(space=SPACE), source.open([TeNasRegions()])
    assert fitness.subject(SPACE.sample(Random(0)), probe).probe.images.shape == (9000, 1, 3, 3)


class _Foreign(Space):
    """A space that nothing of ours knows, with thin networks of its own."""

    def build(self, choose: Choose) -> Network:
        choose("one", Integer(1, 2))
        return self.thin_networks(Genotype({})).ntk.network

    def thin_networks(self, genotype: Genotype) -> ThinNetworks:
        return ThinNetworks(*(self._placed(shape) for shape in (self.channels_first, (1, 3, 3))))

    def _placed(self, shape: tuple[int, ...]) -> Placed:
        net = NetworkBuilder(shape)
        x = net.add(ReLU(), net.add(Conv(2, (3, 3)), net.input))
        network = net.build(net.add(Dense(2), net.add(Flatten(), x)))
        return Placed(network, tuple(map(str, range(len(network)))), ((1.0,),) * len(network))


def test_any_space_may_offer_thin_networks() -> None:
    space = _Foreign((8, 8, 3))
    for fitness in (TeNasNtk(batch=9, space=space), TeNasRegions(batch=9, space=space)):
        assert fitness(fitness.subject(space.sample(Random(0)), _probe())) > 0


# --- in runs ----------------------------------------------------------------------------------------


def test_a_run_scores_thin_networks_of_genotypes() -> None:
    names = ["te_nas_regions(batch=90)", "te_nas_ntk(batch=6,draws=2)"]
    result = search(SPACE, "random", objectives=names, budget=4, score_seed=3, device="cpu", target="none")
    probe = ProbeSource("noise", (3, 8, 8), 10, 3, device="cpu").open([TeNasRegions(batch=90)])
    for record in result.records:
        for fitness in (TeNasRegions(batch=90, space=SPACE), TeNasNtk(batch=6, draws=2, space=SPACE)):
            expected = fitness(fitness.subject(record.genotype, probe))
            assert record.scores[fitness.name] == pytest.approx(expected, rel=1e-6)


def test_networks_of_one_key_are_scored_each_for_itself() -> None:
    """Node 1 and the input are the same; which of two edges holds the convolution decides whose weights it has."""
    twins = [
        SPACE.parse("|skip_connect~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"),
        SPACE.parse("|skip_connect~0|+|skip_connect~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"),
    ]
    assert SPACE.decode(twins[0]) == SPACE.decode(twins[1])
    fitness = TeNasRegions(batch=900, space=SPACE)
    values = [fitness(fitness.subject(twin, _probe())) for twin in twins]
    assert values[0] != values[1]


@pytest.mark.parametrize("options", [{"draws": 0}, {"draws": 1.5}, {"batch": -1}, {"repeats": 0}, {"batches": 0}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(UsageError, match=re.escape(f"te_nas_regions: {name} is {options[name]!r}")):
        TeNasRegions(**options)


def test_names_say_what_differs_and_not_the_space() -> None:
    assert TeNasNtk(space=SPACE).name == "te_nas_ntk"
    assert TeNasRegions(space=SPACE, draws=1, batch=90).name == "te_nas_regions(batch=90,draws=1)"
