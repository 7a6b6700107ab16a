"""How to choose what to try next; one strategy per file, all behind `engine.strategies.base.Strategy`."""

from spaces.registry import Registry

__all__ = ["STRATEGIES"]

STRATEGIES = Registry(
    "strategy",
    {
        "aging": "engine.strategies.aging:AgingEvolution",
        "area": "engine.strategies.area:AssistedEvolution",
        "bo": "engine.strategies.bo:BayesianOptimisation",
        "exhaustive": "engine.strategies.exhaustive:ExhaustiveSearch",
        "local": "engine.strategies.local:LocalSearch",
        "mipego": "engine.strategies.mipego:MixedIntegerBayes",
        "nsga2": "engine.strategies.nsga2:NonDominatedSorting",
        "predictor": "engine.strategies.predictor:PredictorSearch",
        "prune": "engine.strategies.prune:Pruning",
        "random": "engine.strategies.random:RandomSearch",
        "resn": "engine.strategies.resn:LayerEvolution",
        "tpe": "engine.strategies.tpe:TreeParzen",
    },
    "nas_engine.strategies",
)
