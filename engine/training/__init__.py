"""Train candidates that a search has picked, and record how accurate they are."""

from engine.training.plan import TrainingPlan
from engine.training.store import trained_store

__all__ = ["TrainingPlan", "trained_store"]
