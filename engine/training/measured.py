"""What trainings measure, as scores that objectives may name; their values are in the records of trainings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fitness.base import Direction, Needs
from spaces.errors import ScoreFailed

__all__ = ["ACCURACIES", "MEASURED", "Measured"]

ACCURACIES: Final = ("test_accuracy", "int8_test_accuracy", "validation_accuracy")
"""In percent."""


@dataclass
class Measured:
    """A fitness that is recorded and never computed."""

    name: str
    direction: Direction
    unit: str
    needs: Needs = "network"

    def __call__(self, subject: Any) -> float:
        """Refuse: training takes more than a network.

        Raises:
            ScoreFailed: Always.
        """
        raise ScoreFailed(f"{self.name} is measured by `engine train`; expected it to be read from trained.jsonl")


MEASURED: Final = (
    *(Measured(name, "max", "%") for name in ACCURACIES),
    Measured("tflite_bytes", "min", "B"),
    Measured("train_seconds", "min", "s"),
)
