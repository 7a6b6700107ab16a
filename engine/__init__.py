"""How to search: strategies, records, fronts and the command line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.api import Result, resume, search
    from engine.prediction.predicting import predict
    from engine.training.of_run import train

__all__ = ["Result", "predict", "resume", "search", "train"]


def __getattr__(name: str) -> object:
    # Imported on first use: `engine --help` answers before numpy could have been loaded.
    if name == "train":
        from engine.training import of_run

        return of_run.train
    if name == "predict":
        from engine.prediction import predicting

        return predicting.predict
    if name in __all__:
        from engine import api

        return getattr(api, name)
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
