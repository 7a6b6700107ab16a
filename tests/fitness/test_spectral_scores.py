"""Zen, MeCo, NEAR, VKDNW: each against a second, plain implementation and cases worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional

from fitness.lower import lower
from fitness.probing.measure import measure
from fitness.probing.probe import Probe
from fitness.scores.az_nas import AzExpressivity, AzProgressivity, AzTrainability
from fitness.scores.base import Score
from fitness.scores.meco import MeCo
from fitness.scores.near import Near, effective_ranks
from fitness.scores.vkdnw import Vkdnw
from fitness.scores.zen import Zen
from spaces.nats import NatsTss
from spaces.space import Space
from tests.authors_network import AuthorsNetwork, golden_authors_network
from tests.fitness.modules import Blocks, Functional, chain_network, probe, reason, value
from tests.golden_nets import GOLDEN_NAMES, golden_inputs
from tests.small import IMAGE_SPACES, each_build

SCORES: tuple[Score, ...] = (
    Zen(),
    Zen(compat=True, draws=2),
    MeCo(),
    MeCo(compat=True, channels=4),
    Near(),
    AzExpressivity(),
    AzProgressivity(),
    AzTrainability(),
    Vkdnw(),
)
CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"


# --- all of them -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("make_space", each_build(IMAGE_SPACES), indirect=True)
def test_networks_of_every_space_have_the_same_values_twice_or_a_reason(space: Space) -> None:
    rng, found = Random(3), set()
    for _ in range(2):
        network = space.decode(space.sample(rng))
        module, on = lower(network), probe(2, *network.shapes[0])
        first = measure(module, SCORES, on)
        again = SCORES[rng.randrange(len(SCORES))]
        assert measure(module, [again], on)[again.name] == first[again.name]
        assert all(each.value is not None or each.reason for each in first.values())
        found |= {name for name, each in first.items() if each.value is not None}
    vectors = all(len(shape) == 1 for shape in network.shapes[1:])
    assert found == {score.name for score in SCORES if not vectors or isinstance(score, Near | Vkdnw)}


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.name)
@pytest.mark.parametrize("make", [Functional, lambda: AuthorsNetwork(CELL, channels=4, cells=1)])
def test_module_is_left_as_found_and_alone_or_together_counts_alike(
    score: Score, make: Callable[[], nn.Module]
) -> None:
    module, on = make(), probe(4, 3, 8, 8)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.manual_seed(5)
    together = measure(module, SCORES, on)
    torch.manual_seed(6)
    assert measure(module, [score], on)[score.name] == together[score.name]
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert module.training
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())


def test_what_a_score_draws_comes_from_the_seed() -> None:
    module = AuthorsNetwork(CELL, channels=4, cells=1)
    for score in SCORES:
        if score.name != "meco":
            assert value(score, module, probe(4, 3, 8, 8)) != value(score, module, probe(4, 3, 8, 8, seed=1))


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.name)
def test_module_may_return_features_beside_the_logits(score: Score) -> None:
    alone, both = AuthorsNetwork(CELL, 4, 1), AuthorsNetwork(CELL, 4, 1, returns="features, logits")
    both.load_state_dict(alone.state_dict())
    on = probe(4, 3, 8, 8)
    chosen = Probe(on.images, batch=4, output=1)
    assert value(score, both, chosen) == value(score, alone, on)


# --- Zen ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compat", [False, True])
def test_zen_is_the_formula(compat: bool) -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5),
        nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2),
    )  # fmt: skip
    found = value(Zen(compat=compat), module, probe(6, 3, 8, 8, seed=4))

    torch.manual_seed(4)
    first, second, _ = torch.randn(4, 3, 3, 3), torch.randn(5, 4, 3, 3), torch.randn(2, 5)
    x, eps = torch.randn(6, 3, 8, 8), torch.randn(6, 3, 8, 8)
    running = {4: torch.ones(4), 5: torch.ones(5)}
    sigmas = []

    def norm(maps: Tensor) -> Tensor:
        mean, variance = maps.mean((0, 2, 3), keepdim=True), maps.var((0, 2, 3), correction=0, keepdim=True)
        channels, unbiased = maps.shape[1], maps.var((0, 2, 3))
        running[channels] = 0.9 * running[channels] + 0.1 * unbiased
        sigmas.append(float(variance.mean()))
        return (maps - mean) / torch.sqrt(variance + 1e-5)

    def phi(images: Tensor) -> Tensor:
        return norm(functional.conv2d(norm(functional.conv2d(images, first)).relu(), second)).relu()

    change = (phi(x) - phi(x + 0.01 * eps)).abs().sum((1, 2, 3)).mean()
    scales = [float(v.mean()) for v in running.values()] if compat else sigmas[:2]
    assert found == pytest.approx(log(change) + sum(log(s) / 2 for s in scales), rel=1e-4)


def test_zen_of_a_convolution_is_how_much_it_makes_of_the_noise() -> None:
    # Linear: |phi(x) - phi(x + 0.01 eps)| = 0.01 |w * eps|, with 27 weights from N(0, 1) on average
    # 0.01 sqrt(2 * 27 / pi) in each of 16 x 30 x 30 places.
    module = nn.Sequential(nn.Conv2d(3, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    expected = log(0.01 * (2 * 27 / pi) ** 0.5 * 16 * 30 * 30)
    assert value(Zen(draws=4, repeats=4), module, probe(8, 3, 32, 32)) == pytest.approx(expected, rel=0.02)


def test_zen_leaves_out_batch_norms_that_see_only_constants() -> None:
    with_dead = NatsTss().parse("|none~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|none~1|none~2|")
    assert value(Zen(), lower(NatsTss().decode(with_dead)), probe(2, 3, 32, 32)) > 0


def test_zen_says_why_there_is_no_value() -> None:
    on = probe(2, 3, 8, 8)
    assert "no submodule puts out a feature map" in reason(
        Zen(), nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), on
    )
    dead = AuthorsNetwork(CELL.replace("nor_conv_3x3", "none").replace("avg_pool_3x3", "none"), 4, 1)
    assert "does not reach" in reason(Zen(), dead, on)
    bare = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten())
    assert "no running statistics" in reason(Zen(compat=True), bare, on)
    assert value(Zen(), bare, on)


# --- MeCo --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_meco_of_the_authors_module_tree(name: str) -> None:
    network, record = golden_authors_network(name)
    on = Probe(golden_inputs()["x"][:1], batch=1)
    assert value(MeCo(compat=True), network, on) == pytest.approx(record["meco_1img_f32"], rel=1e-3)
    leaves = [child for child in network.modules() if next(child.children(), None) is None]
    assert value(MeCo(), network, on) == pytest.approx(_meco(network, leaves, on.images), rel=1e-3)


def _meco(module: nn.Module, layers: list[nn.Module], images: Tensor) -> float:
    found: list[float] = []

    def add(_: nn.Module, inputs: object, output: Tensor) -> None:
        if output.shape[2:].numel() > 1:
            with np.errstate(invalid="ignore", divide="ignore"):
                correlation = np.nan_to_num(np.corrcoef(output[0].detach().flatten(1).numpy()))
            found.append(np.linalg.eigvals(correlation).real.min())

    hooks = [layer.register_forward_hook(add) for layer in layers]
    with torch.no_grad():
        module(images)
    for hook in hooks:
        hook.remove()
    return sum(found)


def test_meco_of_two_channels_is_one_less_their_correlation() -> None:
    # Uncorrelated: 1. Opposite: 0. r of (0, 1, 2, 3) and (0, 1, 3, 2) is 0.8: 0.2.
    rows = {(1, -2, 1, 0): (1, 0, -1, 0), (-1, -2, -3, -4): (1, 2, 3, 4), (0, 1, 2, 3): (0, 1, 3, 2)}
    for (first, second), expected in zip(rows.items(), (1, 0, 0.2), strict=True):
        module = nn.Sequential(nn.Identity(), nn.Flatten())
        image = torch.tensor([first, second], dtype=torch.float32).reshape(1, 2, 2, 2)
        assert value(MeCo(), module, Probe(image)) == pytest.approx(expected, abs=1e-12)


def test_meco_counts_containers_once_for_each_level_if_asked() -> None:
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    module = nn.Sequential(nn.Sequential(inner), nn.Flatten())
    on = probe(1, 3, 8, 8)
    conv, relu = (value(MeCo(), nn.Sequential(each, nn.Flatten()), on) for each in (inner[0], inner))
    relu -= conv
    assert value(MeCo(), module, on) == pytest.approx(conv + relu)
    assert value(MeCo(compat=True), module, on) == pytest.approx(conv + 3 * relu)


def test_meco_of_some_channels_is_scaled_to_all() -> None:
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten())
    on = probe(1, 3, 8, 8)
    whole = value(MeCo(), module, on)
    assert value(MeCo(channels=6), module, on) == value(MeCo(channels=64), module, on) == whole
    maps = module[0](on.images)[0].detach().flatten(1).numpy()
    subsets = [[i, j] for i in range(6) for j in range(i)]
    possible = [3 * (1 - abs(np.corrcoef(maps[pair])[0, 1])) for pair in subsets]
    assert np.isclose(value(MeCo(channels=2), module, on), possible, rtol=1e-4).sum() == 1


def test_meco_reads_one_image_whatever_is_given() -> None:
    module, on = Functional(), probe(4, 3, 8, 8)
    assert value(MeCo(), module, on) == value(MeCo(), module, Probe(on.images[:1]))


def test_meco_without_maps_says_so() -> None:
    assert "more positions than channels" in reason(MeCo(), nn.Sequential(nn.Linear(6, 3)), probe(2, 6))


# --- NEAR --------------------------------------------------------------------------------------------------------


def test_effective_rank_of_known_matrices() -> None:
    matrices = torch.stack(
        [torch.eye(3), torch.ones(3, 3), torch.zeros(3, 3), torch.diag(torch.tensor([1, 1, 2.0]))]
    )
    # Shares 1/4, 1/4, 1/2 have the entropy 3/2 ln 2.
    assert effective_ranks(matrices.double()).tolist() == pytest.approx([3, 1, 0, 2**1.5])


def test_near_adds_pre_and_post_activation_of_dense_layers() -> None:
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU())
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(3))
    images = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, -2]])
    # diag(1, 1, -2) before, diag(1, 1, 0) after the ReLU.
    assert value(Near(), module, Probe(images, batch=3)) == pytest.approx(2**1.5 + 2)


def test_near_takes_a_square_of_successive_positions() -> None:
    module, on = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.GELU()), probe(2, 3, 6, 7)
    output = module[0](on.images).detach()
    rows = output.transpose(1, 3).flatten(0, 2)  # column by column
    windows = {start: rows[start : start + 5] for start in range(0, len(rows) - 4, output.shape[2])}
    flat = _rank(functional.gelu(output.flatten(1)))  # 2 samples of 100 units
    possible = [_rank(window) + flat for window in windows.values()]
    chosen = [value(Near(), module, Probe(on.images, seed=seed, batch=2)) for seed in range(8)]
    places = [np.isclose(each, possible, rtol=1e-5).tolist() for each in chosen]
    assert all(sum(each) == 1 for each in places)
    assert len({each.index(True) for each in places}) > 2


def _rank(matrix: Tensor) -> float:
    eigenvalues = np.linalg.eigvalsh(matrix.double().numpy().T @ matrix.double().numpy())
    values = np.sqrt(eigenvalues[eigenvalues > 1e-13])
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def test_near_counts_norms_and_functional_relus() -> None:
    module, on = Functional(), probe(8, 3, 8, 8)
    ranks = value(Near(), module, on)
    # first 4, norm 4, ReLU 4, second 4, ReLU 4, dense 5, last 5: at most 30. An effective rank is 1 at least,
    # so what is left out would show in the sum of those that count alone.
    assert 7 < ranks <= 30
    convolutions_alone = nn.Sequential(module.first, nn.Flatten())
    assert ranks > value(Near(), convolutions_alone, on) + 5


@pytest.mark.parametrize("kind", [nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU])
def test_near_counts_every_kind_of_activation_once(kind: type[nn.Module]) -> None:
    module = nn.Sequential(nn.Linear(3, 3, bias=False), kind())
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(3))
    # Multiples of the identity before and after.
    assert value(Near(), module, Probe(torch.eye(3), batch=3)) == pytest.approx(6)


def test_near_without_layers_says_so() -> None:
    assert "no layer" in reason(Near(), nn.Sequential(nn.Flatten()), probe(2, 3, 4, 4))


# --- VKDNW -------------------------------------------------------------------------------------------------------


class Mixed(nn.Module):
    """With a layer whose derivatives `_Watch` does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.LayerNorm(4)
        self.dense = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.norm(self.conv(x).relu().mean((2, 3))))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "make", [Functional, Mixed, lambda: lower(chain_network()[0]), lambda: AuthorsNetwork(CELL, 4, 1)]
)
def test_vkdnw_is_the_definition(make: Callable[[], nn.Module]) -> None:
    module, on = make(), probe(5, 3, 12, 12, seed=2)
    found = value(Vkdnw(aleph=False), module, on)
    assert value(Vkdnw(), module, on) == found + len(list(module.parameters()))

    torch.manual_seed(2)
    for child in module.modules():
        if isinstance(child, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(child.weight, mode="fan_in", nonlinearity="relu")
            if child.bias is not None:
                nn.init.zeros_(child.bias)
    x = torch.randn(5, 3, 12, 12).double()
    module.double().eval()
    given = {name: p.detach() for name, p in module.named_parameters()}
    entries = {name: p.flatten()[:1] for name, p in list(given.items())[:128]}

    def logits(chosen: dict[str, Tensor], image: Tensor) -> Tensor:
        filled = given | {
            name: torch.cat([entry, given[name].flatten()[1:]]).reshape(given[name].shape)
            for name, entry in chosen.items()
        }
        return functional_call(module, filled, (image[None],))[0]  # type: ignore[no-any-return]

    parts = vmap(jacrev(logits), (None, 0))(entries, x)
    jacobian = torch.cat([parts[name] for name in entries], dim=2)
    p = module(x).detach().softmax(1) * 0.95 + 0.05 / jacobian.shape[1]
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    fisher = (jacobian.mT @ middle @ jacobian).mean(0)
    deciles = np.quantile(np.linalg.svd(fisher.numpy(), compute_uv=False), np.arange(1, 10) / 10)
    shares = deciles[deciles > 0] / deciles.sum()
    assert found == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-3)


def test_vkdnw_of_a_bias_alone() -> None:
    # The layer sees zeros, so p is uniform and J of the first bias is (1, 0).
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(1, 2, bias=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.dense(0 * x.flatten(1)[:, :1])  # type: ignore[no-any-return]

    # Eigenvalues 0 (the weight, which sees zeros) and 1/4: deciles 1/40 ... 9/40.
    shares = np.arange(1, 10) / 45
    assert value(Vkdnw(), Constant(), probe(3, 4)) == pytest.approx(2 - (shares * np.log(shares)).sum())


def test_vkdnw_says_why_there_is_no_value() -> None:
    on = probe(2, 3, 8, 8)
    bare = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten())
    assert "no running statistics" in reason(Vkdnw(), bare, on)
    away = Blocks(lambda x: torch.ones_like(x))
    assert "does not depend on the images" in reason(Vkdnw(), away, on)
    one = nn.Sequential(nn.Flatten(), nn.Linear(192, 1))
    assert "deciles of the spectrum are 0" in reason(Vkdnw(), one, on)
