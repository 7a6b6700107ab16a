"""The trace score: how many ReLU activations a mini-batch switches.

Fernandes: Efficient Trainingless Metric for Performance Evaluation in the Context of Neural Architecture
Search, UFSC 2022. The sum of the eigenvalues of NAS-WOT's kernel is its trace, N_A * K (eq. 13), which depends on
neither weights nor data: a walk over the shapes gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fitness.base import Direction, Needs
from fitness.figures import n_relu
from spaces.network import Network

BATCH = 128  # K, the mini-batch size


@dataclass(frozen=True)
class Trace:
    """trace(K_H) = N_A * K.

    Args:
        live: Count only activations that reach the output.
    """

    live: bool = False
    direction: ClassVar[Direction] = "max"
    unit: ClassVar[str] = "activations per batch of 128"
    needs: ClassVar[Needs] = "network"
    positive: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """What its values are recorded under."""
        return "trace(live=true)" if self.live else "trace"

    def __call__(self, network: Network) -> int:
        """N_A * K of a network."""
        return BATCH * n_relu(network, live=self.live)


def trace(live: bool = False) -> Trace:
    """Number of ReLU activations of a batch of 128 images; needs no weights, data or torch."""
    return Trace(live)
