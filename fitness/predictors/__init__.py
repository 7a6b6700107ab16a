"""Predictors: they learn the accuracies of some networks and tell those of others, with their doubt."""

from __future__ import annotations

from spaces.registry import Registry

__all__ = ["PREDICTORS"]

PREDICTORS = Registry(
    "predictor",
    {
        "extra_trees": "fitness.predictors.forest:ExtraTrees",
        "forest": "fitness.predictors.forest:Forest",
    },
    "nas_engine.predictors",
)
