"""How a run makes its probe: the same images and the same weight seed for every architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fitness.base import Fitness
from fitness.data import load_images
from fitness.scores.base import Score
from spaces.errors import UsageError

if TYPE_CHECKING:
    from fitness.lower import LoweredNetwork
    from fitness.probing.probe import Probe
    from spaces.network import Network

__all__ = ["ProbeSource", "seeded_module", "usable_device"]


@dataclass(frozen=True)
class ProbeSource:
    """Where images come from and what weights are drawn from; small, and free of torch until it is opened.

    Args:
        data: One of `fitness.data.SOURCES`.
        shape: (C, H, W) of the images.
        classes: Outputs of the networks.
        seed: Of images and weights.
        batch: Images for scores that name no batch of their own; None is the published one of each.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU if there is one.
    """

    data: str
    shape: tuple[int, ...]
    classes: int
    seed: int = 0
    batch: int | None = None
    device: str = "auto"

    def open(self, scores: Sequence[Fitness]) -> Probe:
        """Load the images that scores need; one that does not say how many gets 64.

        Raises:
            UsageError: A score has more passes than images, the data no labels or other classes than the networks,
                or the device is not there.
            RunError: The files cannot be read.
        """
        import torch

        from fitness.probing.probe import Probe

        count = 1
        for score in scores:
            published: int = getattr(score, "published_batch", 64)
            own: int = getattr(score, "batch", None) or self.batch or published
            if isinstance(score, Score):
                score.spans(own)  # raises if there are too few for it
                own = score.loaded(own)
            count = max(count, own)
        loaded = load_images(self.data, self.shape, count, self.seed)
        labelled = [score.name for score in scores if getattr(score, "needs_labels", False)]
        if labelled and loaded.labels is None:
            raise UsageError(f"{labelled[0]} needs class labels, which {self.data} has not; use --data digits")
        if labelled and loaded.classes > self.classes:
            raise UsageError(
                f"{self.data} has {loaded.classes} classes, the networks {self.classes}; "
                f"add --classes {loaded.classes}"
            )
        device = usable_device(self.device)
        images = torch.from_numpy(loaded.images).to(device)
        labels = None if loaded.labels is None else torch.from_numpy(loaded.labels).to(device)
        last = images.contiguous(memory_format=torch.channels_last)  # the layout convolutions are fastest in
        return Probe(last, labels, loaded.classes, self.seed, self.batch)


def seeded_module(network: Network, probe: Probe) -> LoweredNetwork:
    """The module of a network on a probe's device, its weights drawn on the CPU from the probe's seed."""
    import torch

    from fitness.lower import lower

    with torch.random.fork_rng([]):
        torch.manual_seed(probe.seed)
        return lower(network).to(probe.images.device)


def usable_device(name: str) -> str:
    """The device that a name means here: "auto" is a GPU if there is one.

    Raises:
        UsageError: There is no such device.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name).item()
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without the device
        first = str(error).partition("\n")[0]
        raise UsageError(f"device {name!r} cannot be used: {first}; expected cpu, cuda or cuda:N") from error
    return name
