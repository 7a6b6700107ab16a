"""From a run to the plan by which its networks are trained: what they read decides which flags there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from engine.reading import data_of
from engine.setup import Setup
from engine.training.forecast_plan import ForecastPlan
from engine.training.plan import TrainingPlan
from engine.training.task import Plan
from spaces.errors import UnknownName, UsageError

__all__ = ["PLANS", "options_of", "plan_for"]

PLANS: Final[tuple[type[TrainingPlan | ForecastPlan], ...]] = (TrainingPlan, ForecastPlan)


def options_of(plans: Iterable[type[Plan]] = PLANS) -> list[str]:
    """What can be set of any of these plans."""
    return list(dict.fromkeys(item.name for plan in plans for item in fields(plan)))


def plan_for(setup: Setup, asked: Mapping[str, Any]) -> Plan:
    """The plan for the networks of a run.

    Args:
        setup: Of the run; where its networks forecast, its own series is what they are trained on if nothing else
            is asked for.
        asked: Fields of the plan that somebody has set.

    Raises:
        UsageError: Something that no plan has, or not the one for these networks; or a value that cannot be.
    """
    reads = setup.space.reads
    plan = next(each for each in PLANS if each.kind.reads == reads)
    known = options_of([plan])
    for name in asked:
        if name not in options_of():
            raise UnknownName("option of training", name, options_of())
        if name not in known:
            other = next(each for each in PLANS if name in options_of([each]))
            raise UsageError(
                f"{name} (--{name.replace('_', '-')}) is of networks that read {other.kind.reads}, and those of "
                f"this run read {reads}; leave it out"
            )
    if "data" in asked:
        data_of(replace(setup.config, data=asked["data"]), reads, ())
    elif reads == "images":
        raise UsageError("training needs images with labels; add --data SOURCE, see `engine list data`")
    return plan(**{"data": setup.data, **asked})
