"""Train candidates that a search has picked, and record how good they are."""

from engine.training.forecast_plan import ForecastPlan
from engine.training.plan import TrainingPlan
from engine.training.store import trained_store

__all__ = ["ForecastPlan", "TrainingPlan", "trained_store"]
