"""Predictors: they learn the accuracies of some networks and tell those of others, with their doubt."""

from __future__ import annotations

from spaces.registry import Registry

__all__ = ["PREDICTORS"]

PREDICTORS = Registry(
    "predictor",
    {
        "bananas": "fitness.predictors.mlp_ensemble:MlpEnsemble",
        "blend": "fitness.predictors.blend:Blend",
        "boosting": "fitness.predictors.boosting:Boosting",
        "emprox": "fitness.predictors.emprox:EmProx",
        "emprox_untrained": "fitness.predictors.emprox:untrained",
        "extra_trees": "fitness.predictors.forest:ExtraTrees",
        "forest": "fitness.predictors.forest:Forest",
        "gp": "fitness.predictors.gp:GaussianProcess",
        "knn": "fitness.predictors.neighbours:Neighbours",
        "mlp": "fitness.predictors.mlp_ensemble:single",
        "nao": "fitness.predictors.nao:Nao",
        "ridge": "fitness.predictors.ridge:Ridge",
        "seminas": "fitness.predictors.seminas:SemiNas",
    },
    "nas_engine.predictors",
)
