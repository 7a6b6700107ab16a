"""What trainings measure: the kinds of task, and scores that objectives may name, from the records of trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fitness.base import Direction, Needs
from spaces.errors import ScoreFailed

__all__ = ["CLASSIFICATION", "FORECASTING", "KINDS", "MEASURED", "Kind", "Measured"]


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


@dataclass(frozen=True)
class Kind:
    """A kind of task: what its trainings measure, and how that is shown.

    Attributes:
        reads: `Space.reads` of the networks that learn it, and what data are called.
        validation: What epochs are judged by.
        lines: How scores are written on the line of a candidate, the most telling first.
        columns: Scores shown in tables, all with the same direction.
        judged_by: Which of them says which network is better.
        direction: Of these.
        form: Format of one of them in tables.
        baseline: A score that those that learned nothing have too; "" where there is none.
        remarks: What is said where a score is known.
    """

    reads: str
    validation: str
    lines: Mapping[str, str]
    columns: tuple[str, ...]
    judged_by: str
    direction: Direction
    form: str
    baseline: str = ""
    remarks: Mapping[str, str] = field(default_factory=dict)


CLASSIFICATION: Final = Kind(
    reads="images",
    validation="validation {:.2f} %",
    lines={
        "test_accuracy": "test {:.2f} %",
        "int8_test_accuracy": "int8 test {:.2f} %",
        "validation_accuracy": "validation {:.2f} %",
    },
    columns=("test_accuracy", "int8_test_accuracy", "validation_accuracy"),
    judged_by="int8_test_accuracy",  # what a microcontroller runs
    direction="max",
    form="{:.2f}",
)
FORECASTING: Final = Kind(
    reads="series",
    validation="validation MSE {:.6f}",
    lines={
        "test_mae": "test MAE {:.4g}",
        "validation_mae": "validation MAE {:.4g}",
        "persistence_mae": "persistence MAE {:.4g}",
    },
    columns=("test_mae", "validation_mae", "test_mse", "test_msle", "test_mape", "test_mae_unscaled"),
    judged_by="test_mae",
    direction="min",
    form="{:.4g}",
    baseline="persistence_mae",
    remarks={
        "test_mae_unscaled": "test_mae, validation_mae, test_mse and persistence_mae are of the scaled series, "
        "test_mae_unscaled in the units of the data"
    },
)
KINDS: Final = {kind.reads: kind for kind in (CLASSIFICATION, FORECASTING)}
"""By `Space.reads`."""
_PERCENT: Final = (*CLASSIFICATION.columns, "test_mape")

MEASURED: Final = (
    *(
        Measured(name, kind.direction, "%" if name in _PERCENT else "")
        for kind in KINDS.values()
        for name in kind.columns
    ),
    Measured("persistence_mae", "min", ""),
    Measured("tflite_bytes", "min", "B"),
    Measured("train_seconds", "min", "s"),
)
