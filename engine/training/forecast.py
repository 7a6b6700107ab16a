"""A series that the candidates of a run are trained to forecast."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.reading import check_columns, check_look_back
from engine.training.forecast_plan import ForecastPlan
from engine.training.task import DIGITS, Material
from fitness.probing.source import usable_device
from fitness.series import Series, load_series, persistence
from spaces.errors import RunError
from spaces.network import Network
from spaces.space import Space

if TYPE_CHECKING:
    from fitness.training.loop import EpochLoop

__all__ = ["SeriesMaterial", "check", "load"]


@dataclass(frozen=True)
class SeriesMaterial:
    """A series that is forecast by a plan; see `Material`."""

    plan: ForecastPlan
    series: Series

    def fingerprint(self) -> Mapping[str, object]:
        """How many rows each part has, and a digest of the scaled rows and of their scaling."""
        series = self.series
        digest = hashlib.sha256()
        for rows in (series.inputs, series.targets):
            digest.update(f"{rows.shape} {rows.dtype}".encode())
            digest.update(np.ascontiguousarray(rows).data)
        digest.update(repr(series.scaling).encode())
        counts: dict[str, object] = {name: len(rows) for name, rows in series.parts.items()}
        return counts | {"digest": digest.hexdigest()[:DIGITS]}

    def described(self) -> Mapping[str, object]:
        """See `Material.described`."""
        series = self.series
        return {
            "recipe": self.plan.recipe.to_dict(),
            "split": {name: [rows.start, rows.stop] for name, rows in series.parts.items()},
            "inputs": list(series.names),
            "targets": list(series.target_names),
            "input_scaling": asdict(series.input_scaling),
            "scaling": asdict(series.scaling),
        }

    def begin(self, network: Network) -> EpochLoop:
        """See `Material.begin`."""
        from fitness.training.forecast import Forecasting

        plan = self.plan
        return Forecasting(network, self.series, plan.recipe, plan.seed, plan.device)

    def judged(self, training: EpochLoop, weights: Path) -> Mapping[str, float]:
        """Errors on the test windows, and of persistence there, scaled as the series is; see `Material.judged`.

        MSLE and MAPE are missing where they are not defined, the error in the unit of the data where nothing is
        scaled, or there are several targets, which may have several units.
        """
        from fitness.training.checkpoint import save_weights
        from fitness.training.forecast import errors

        series, module = self.series, training.take_best()
        test, validation = (errors(module, series, part, self.plan.device) for part in ("test", "validation"))
        save_weights(weights, module)
        scores = {"test_mae": test.mae, "validation_mae": validation.mae, "test_mse": test.mse}
        scores |= {} if test.msle is None else {"test_msle": test.msle}
        scores |= {} if test.mape is None else {"test_mape": test.mape}
        if series.scaling.kind != "none" and series.outputs == 1:
            scores["test_mae_unscaled"] = test.mae * series.scaling.factor[0]
        return scores | {"persistence_mae": persistence(series, "test", module.network.shapes[0][0])}

    def shared(self, folder: Path) -> Callable[[], Material]:
        """The series read anew by every process; see `Material.shared`."""
        return partial(_read_again, self.plan, self.fingerprint())


def load(plan: ForecastPlan, space: Space) -> SeriesMaterial:
    """The series of a plan; see `Plan.load`."""
    check_columns(plan.data, space)
    return SeriesMaterial(plan, load_series(plan.data))


def check(plan: ForecastPlan, space: Space) -> None:
    """See `Plan.check`."""
    check_columns(plan.data, space)
    check_look_back(plan.data, space)
    if plan.device != "auto":
        usable_device(plan.device)


def _read_again(plan: ForecastPlan, fingerprint: Mapping[str, object]) -> SeriesMaterial:
    material = SeriesMaterial(plan, load_series(plan.data))
    if material.fingerprint() != fingerprint:
        raise RunError(f"{plan.data} has changed while networks were trained; the same command starts them anew")
    return material
