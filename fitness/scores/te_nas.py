"""TE-NAS's two scores on its thin networks. Chen, Gong, Wang, ICLR 2021, arXiv:2102.11535.

Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired Perspective; the objectives of
its pruning search (`engine.strategies.prune`). In a run they are computed on the thin networks that the space makes
of a genotype, a layer's weights being drawn for its place: supernets share those of all operations that both have,
as in the authors' code. Called with a module, they are computed on that.
Differs from the authors' code: patches are cut from 1000 images at most; all architectures see the same images;
what has no finite condition number fails.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from statistics import fmean
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fitness.base import Direction
from fitness.lower import LoweredNetwork, lower
from fitness.probing.probe import Probe, Probed
from fitness.scores.base import GenotypeScore, equal_spans
from fitness.scores.linear_regions import LinearRegions
from fitness.scores.ntk import Ntk
from spaces.errors import UsageError
from spaces.space import Genotype
from spaces.supernet import Placed, Thinned, ThinNetworks, spaces_that_offer

__all__ = ["TeNasNtk", "TeNasRegions", "random_patches", "shared_weights"]

_PATCH = 3  # pixels a side
_CUT_FROM = 1000  # images


@dataclass(frozen=True, kw_only=True)
class _ThinScore(GenotypeScore):
    """What both have in common.

    Args:
        draws: How many draws of images are averaged over; the weights stay. The authors' "repeat".
    """

    draws: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("draws")
        if self.space is not None and not isinstance(self.space, Thinned):
            raise UsageError(
                f"{self.title} is computed on thin networks, which space {self.space.name!r} does not offer; "
                f"expected one of {', '.join(spaces_that_offer('thin_networks'))}"
            )

    def _check(self, name: str) -> None:
        value = getattr(self, name)
        if type(value) is not int or value < 1:
            raise UsageError(f"{self.title}: {name} is {value!r}; expected a whole number of at least 1")

    def spans(self, count: int) -> tuple[tuple[int, int], ...]:
        """See `Score.spans`: the draws."""
        return equal_spans(self.name, count, self.draws)

    def _thin(self, genotype: Genotype) -> ThinNetworks:
        assert isinstance(self.space, Thinned), "a run gives its space, which was checked"
        return self.space.thin_networks(genotype)


@dataclass(frozen=True, kw_only=True)
class TeNasNtk(_ThinScore):
    """Condition number of the tangent kernel (`ntk`) of a network of 3 channels and one cell a stage.

    The mean over 3 mini-batches of 72 images.
    """

    title: ClassVar[str] = "te_nas_ntk"
    unit: ClassVar[str] = "ratio"
    direction: ClassVar[Direction] = "min"
    positive: ClassVar[bool] = True
    published_batch: ClassVar[int] = 216
    cost: ClassVar[str] = "3 forwards, B backwards"

    def subject(self, genotype: Genotype, probe: Probe) -> Probed:
        """See `GenotypeScore.subject`."""
        return Probed(shared_weights(self._thin(genotype).ntk, probe), probe)

    def compute(self, module: nn.Module, probe: Probe) -> float:
        """See `SoloScore.compute`."""
        values = []
        for first, last in self.spans(probe.count(self)):
            part = replace(probe, images=probe.images[first:last])
            values.append(Ntk(batch=last - first).compute(module, part))
        return fmean(values)


@dataclass(frozen=True, kw_only=True)
class TeNasRegions(_ThinScore):
    """Linear regions (`linear_regions`) that 3 x 1000 patches of 3 x 3 pixels find in one cell of one channel.

    The mean over 3 draws of so many patches: random places, one random colour channel.

    Args:
        batches: How many mini-batches a draw is split into, each with its own pass.
    """

    batches: int = 3
    title: ClassVar[str] = "te_nas_regions"
    unit: ClassVar[str] = "regions"
    positive: ClassVar[bool] = True
    published_batch: ClassVar[int] = 9000
    cost: ClassVar[str] = "9 forwards"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("batches")

    def spans(self, count: int) -> tuple[tuple[int, int], ...]:
        """See `Score.spans`: the draws, each of which has to suffice for all mini-batches."""
        equal_spans(self.name, count, self.draws * self.batches)
        return super().spans(count)

    def loaded(self, count: int) -> int:
        """See `Score.loaded`."""
        return min(count, _CUT_FROM)

    def subject(self, genotype: Genotype, probe: Probe) -> Probed:
        """See `GenotypeScore.subject`."""
        count = self.batch or probe.batch or self.published_batch
        patches = random_patches(probe.images[: self.loaded(count)], count, probe.seed)
        return Probed(shared_weights(self._thin(genotype).regions, probe), replace(probe, images=patches))

    def compute(self, module: nn.Module, probe: Probe) -> float:
        """See `SoloScore.compute`."""
        values = []
        for first, last in self.spans(probe.count(self)):
            part = replace(probe, images=probe.images[first:last], labels=None, batch=last - first)
            values.append(LinearRegions(batches=self.batches)(Probed(module, part)))
        return fmean(values)


def random_patches(images: Tensor, count: int, seed: int) -> Tensor:
    """(count, 1, 3, 3): cut from (N, C, H, W) images in turn, at random places of a random channel each."""
    generator = torch.Generator().manual_seed(seed)
    number, channels, height, width = images.shape

    def draw(size: int) -> Tensor:
        return torch.randint(size, (count, 1, 1), generator=generator)

    offsets = torch.arange(_PATCH)
    channel, top, left = draw(channels), draw(height - _PATCH + 1), draw(width - _PATCH + 1)
    places = torch.arange(count).view(-1, 1, 1) % number, channel, top + offsets.view(-1, 1), left + offsets
    return images[tuple(place.to(images.device) for place in places)].unsqueeze(1)


def shared_weights(placed: Placed, probe: Probe) -> LoweredNetwork:
    """The module of a network on the probe's device; a layer's weights follow from the seed and its place alone."""
    with torch.random.fork_rng([]):
        module = lower(placed.network)
        for index, (place, shares) in enumerate(zip(placed.places, placed.shares, strict=True)):
            reset: Any = getattr(module.layers[index], "reset_parameters", None)
            if reset is not None:
                digest = blake2b(f"{probe.seed} {place}".encode(), digest_size=8).digest()
                torch.manual_seed(int.from_bytes(digest))
                reset()
            if any(share != 1 for share in shares):
                module.layers[index] = _SharedSum(shares)
    return module.to(probe.images.device)


class _SharedSum(nn.Module):
    """Sum of maps of one shape, each times its share."""

    def __init__(self, shares: tuple[float, ...]) -> None:
        super().__init__()
        self._shares = shares

    def forward(self, first: Tensor, *maps: Tensor) -> Tensor:
        total = first * self._shares[0]
        for term, share in zip(maps, self._shares[1:], strict=True):
            total = torch.add(total, term, alpha=share)
        return total
