"""Predictors as parts of a run: the fitness predict:PREDICTOR, and what the strategy predictor learns by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from engine.prediction import DEFAULT
from spaces.errors import UsageError
from spaces.registry import takes

if TYPE_CHECKING:
    from engine.config import RunConfig
    from engine.setup import Setup
    from fitness.predictors.base import Predictor
    from fitness.predictors.fitness import PredictedFitness
    from spaces.space import Space

__all__ = ["check_learnt", "learner_of", "predicted", "predictor_of", "reads_table"]


def predictor_of(config: RunConfig, strategy: object) -> str | None:
    """What the strategy of a run learns by; None if it takes no predictor.

    Raises:
        UsageError: The config names one for a strategy that does not ask for it.
    """
    if takes(strategy, "predictor"):
        return config.predictor or DEFAULT
    if config.predictor is not None:
        raise UsageError(f"strategy {config.strategy!r} learns nothing; leave out predictor {config.predictor!r}")
    return None


def learner_of(text: str, space: Space) -> Callable[[int], Predictor]:
    """Makes fresh predictors, by their seeds.

    Raises:
        UsageError: There is no such predictor, or not for this space.
    """
    made = partial(_made, text, space)
    made(0)  # a wrong option is found before anything runs
    return made


def _made(text: str, space: Space, seed: int) -> Predictor:
    from fitness.predictors.base import make_predictor

    return make_predictor(text, space, seed=seed)


def predicted(setup: Setup, name: str, options: Mapping[str, object]) -> PredictedFitness:
    """The fitness `predict:NAME(options)` of what a setup knows.

    Raises:
        UsageError: No such predictor, or nothing is known; see `engine.prediction.known.known_of`.
        RunError: Likewise.
    """
    from fitness.predictors.fitness import PredictedFitness

    listed = ",".join(f"{option}={value}" for option, value in options.items())
    text = f"{name}({listed})" if listed else name
    learner_of(text, setup.space)  # before what is known of networks is read
    known = setup.known
    return PredictedFitness(
        text, setup.space, known.networks, known.values, known.direction, known.unit, setup.config.seed
    )


def check_learnt(setup: Setup) -> None:
    """Refuse what is to be learnt where no prediction is computed.

    Raises:
        UsageError: Says what to leave out, or to search by.
    """
    given = {name: getattr(setup.config, name) for name in ("metric", "known", "known_run")}
    told = [f"{name} {value!r}" for name, value in given.items() if value is not None]
    if told and not any(score.name.startswith("predict:") for score in setup.computed):
        raise UsageError(
            f"{told[0]} is what predict:PREDICTOR learns, and nothing is predicted; leave it out, or "
            f"name predict:{DEFAULT} as fitness"
        )


def reads_table(config: RunConfig, score: str) -> bool:
    """Whether a score takes its values from the table of a run."""
    return score.startswith("table:") or (score.startswith("predict:") and config.known_run is None)
