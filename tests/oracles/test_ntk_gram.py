"""The Gram matrix of gradients against one backward pass per image, and against the authors' own programs."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from fitness import score
from fitness.lower import lower
from fitness.probing.ntk_gram import ntk_gram
from fitness.scores.linear_regions import count_rows
from spaces.munas import MunasSpace
from spaces.nats import NatsTss
from spaces.network import Network
from tests.golden_nets import GOLDEN_NAMES, golden_inputs, golden_network, golden_thin_network


def gram_by_single_passes(module: nn.Module, images: Tensor) -> Tensor:
    """The definition: one backward pass per image."""
    weights = [p for name, p in module.named_parameters() if "weight" in name]
    logits = module(images).flatten(1).sum(1)
    rows = []
    for logit in logits:
        gradients = torch.autograd.grad(logit, weights, retain_graph=True, materialize_grads=True)
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    matrix = torch.stack(rows)
    return matrix @ matrix.T


def check(module: nn.Module, images: Tensor) -> None:
    """Equal to the definition in float64, where nothing is lost in rounding."""
    module, images = module.double(), images.double()
    ours = ntk_gram(module, images)
    expected = gram_by_single_passes(module, images)
    assert ours.dtype == torch.float64
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10 * float(expected.abs().max()))


# --- every kind of network ----------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_topologies(training: bool) -> None:
    space, rng = NatsTss((16, 16, 3), channels=3, cells=1), Random(0)
    for seed in range(12):
        torch.manual_seed(seed)
        check(lower(space.decode(space.sample(rng))).train(training), torch.randn(5, 3, 16, 16))


def test_benchmark_width_in_float32() -> None:
    torch.manual_seed(0)
    module, images = lower(NatsTss(cells=1).decode(NatsTss().sample(Random(3)))), torch.randn(3, 3, 32, 32)
    ours = ntk_gram(module, images)
    expected = gram_by_single_passes(module.double(), images.double())
    assert ours.dtype == torch.float64
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=0)


def test_munas(networks: Callable[..., list[Network]]) -> None:
    torch.manual_seed(0)
    space, rng, checked = MunasSpace((17, 12, 2), 4), Random(5), 0
    while checked < 12:
        network = space.decode(space.sample(rng))
        if max(network.volumes) < 20000:
            check(lower(network), torch.randn(4, 2, 17, 12))
            checked += 1


@pytest.mark.parametrize("batch", [1, 2, 7, 40])
def test_any_batch(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the gradients do not divide into equal chunks."""
    monkeypatch.setattr("fitness.probing.ntk_gram._CHUNK_BYTES", 3 * 4 * batch * 4 * 8 * 8)
    check(Patchwork(), torch.randn(batch, 3, 8, 8))


@pytest.mark.parametrize("size", [(9, 9), (8, 9), (11, 7)])
@pytest.mark.parametrize(
    "conv",
    [
        *[dict(kernel_size=k, stride=s, padding=p) for k in (1, 2, 3, 5) for s in (1, 2, 3) for p in (0, 1, 2)],
        dict(kernel_size=3, stride=(2, 1), padding=1),
        dict(kernel_size=(3, 1), stride=1, padding=(1, 0)),
        dict(kernel_size=(1, 4), stride=2, padding=(0, 1)),
        dict(kernel_size=3, dilation=2, padding=2),
        dict(kernel_size=3, dilation=2, stride=2),
        dict(kernel_size=3, groups=2, padding=1),
        dict(kernel_size=3, groups=4, stride=2),
        dict(kernel_size=3, padding=1, padding_mode="circular"),
        dict(kernel_size=3, padding="same"),
    ],
    ids=str,
)
def test_any_convolution(conv: dict[str, object], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, **conv), nn.Flatten())  # type: ignore[arg-type]
    check(module, torch.randn(3, 3, *size))


@pytest.mark.parametrize("size", [(9, 9), (8, 11)])
@pytest.mark.parametrize(
    "pool",
    [
        *[nn.AvgPool2d(k, s, p, c, i) for k, s, p in ((3, 1, 1), (2, 2, 0), (3, 2, 1), (2, 3, 0), (4, 3, 2))
          for c in (False, True) for i in (False, True)],
        nn.AvgPool2d((1, 3), (1, 2), (0, 1)),
        nn.AvgPool2d(3, divisor_override=5),
        nn.MaxPool2d(3, 2, 1),
        nn.AdaptiveAvgPool2d(3),
        nn.AdaptiveAvgPool2d(1),
    ],
    ids=repr,
)  # fmt: skip
def test_any_pool(pool: nn.Module, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    check(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), pool, nn.Flatten()), torch.randn(3, 3, *size))


class Double(torch.autograd.Function):
    """A function of the user's own."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return 2 * gradient


class Patchwork(nn.Module):
    """What `lower` never makes: functional calls, shared and unused layers, groups, splits, broadcasting."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.shared = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(4)
        self.plain = nn.BatchNorm2d(4, affine=False, track_running_stats=False)
        self.vectors = nn.BatchNorm1d(16)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.unused = nn.Linear(3, 3)
        self.scale_weight = nn.Parameter(torch.rand(4, 1, 1))
        self.head = nn.Linear(16, 5)
        self.last = nn.Linear(5, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = functional.relu(self.shared(functional.relu(self.norm(x)))) + self.shared(x) * 0.5 - x
        one, other = self.plain(x).chunk(2, 1)
        x = torch.cat([other.sigmoid(), one * 0.0, one], 1)[:, 1:5] * self.scale_weight
        x = Double.apply(self.up(functional.max_pool2d(self.grouped(x), 2))) + x.mean((2, 3), keepdim=True)
        x = functional.adaptive_avg_pool2d(x, 2).flatten(1)
        return self.last(functional.gelu(self.head(self.vectors(x) if len(x) > 1 else x)))


@pytest.mark.parametrize("training", [True, False])
def test_what_lower_never_makes(training: bool) -> None:
    torch.manual_seed(0)
    check(Patchwork().train(training), torch.randn(6, 3, 8, 8))


def test_vectors_and_sequences() -> None:
    torch.manual_seed(0)
    check(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1)), torch.randn(5, 4))
    check(nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Flatten(), nn.Linear(18, 2)), torch.randn(5, 3, 4))
    check(nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten()), torch.randn(5, 3, 9))
    check(nn.Sequential(nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), nn.Flatten()), torch.randn(3, 2, 4, 4, 4))


class Attention(nn.Module):
    """Heads, a normalised sum, and a layer that is computed again when its gradient is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(4, 6), nn.LayerNorm(6)
        self.heads, self.last = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = checkpoint(self.embed, x, use_reentrant=False)
        return self.last(self.norm(x + self.heads(x, x, x)[0])).mean(1)


def test_attention_and_checkpoints() -> None:
    torch.manual_seed(0)
    check(Attention(), torch.randn(5, 3, 4))


def test_no_weight_reaches_the_logits() -> None:
    assert not ntk_gram(nn.Flatten(), torch.randn(3, 2)).any()
    cut = NatsTss((8, 8, 3), channels=3, cells=1)
    module = lower(cut.decode(cut.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")))
    check(module, torch.randn(3, 3, 8, 8))


# --- the module is left as found ----------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_module_is_left_as_found(training: bool) -> None:
    module = Patchwork().train(training)
    module.head.weight.requires_grad_(False)
    module.stem.weight.grad = torch.ones_like(module.stem.weight)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    required = [p.requires_grad for p in module.parameters()]
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        first = ntk_gram(module, images)
    assert torch.equal(first, ntk_gram(module, images))
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert [p.requires_grad for p in module.parameters()] == required
    assert [name for name, p in module.named_parameters() if p.grad is not None] == ["stem.weight"]
    assert (module.stem.weight.grad == 1).all()
    assert all(m.training is training for m in module.modules())
    assert not images.requires_grad


# --- the authors' programs ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [pytest.param("a0_best_c10", marks=pytest.mark.slow), "a2_pool"])
def test_golden_condition_number(name: str) -> None:
    module, record = golden_network(name)
    eigenvalues = torch.linalg.eigvalsh(ntk_gram(module, golden_inputs()["x"][:16]))
    assert float(eigenvalues[-1] / eigenvalues[0]) == pytest.approx(record["ntk_cond_b16_f32"], rel=1e-3)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_golden_linear_regions(name: str) -> None:
    module, record = golden_thin_network(name)
    found = score("linear_regions(batches=3)", module, golden_inputs()["patches"])
    assert found == record["linear_regions_thin_3x1000"]


@pytest.mark.parametrize("units", [1, 7, 8, 63, 64, 65, 200])
def test_regions_equal_the_published_sum(units: int) -> None:
    """sum_i 1 / #{j: the same pattern}, over patterns of which many are equal and some differ in one unit."""
    generator = torch.Generator().manual_seed(units)
    patterns = torch.randint(2, (300, units), generator=generator).bool()[torch.arange(300) // 3]
    patterns[::5, -1] ^= True
    equal = (patterns[:, None] == patterns).all(2)
    assert count_rows(np.packbits(patterns.numpy(), axis=1)) == round(float((1 / equal.sum(1)).sum()))
