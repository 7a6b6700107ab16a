"""Problems small enough to try what holds for every space and every strategy."""

from __future__ import annotations

from functools import cache

from engine.config import RunConfig
from engine.setup import Setup
from engine.strategies import STRATEGIES
from spaces import SPACES
from spaces.errors import UsageError
from spaces.registry import takes


def short(space: str) -> dict[str, object]:
    """Options that repeat cells less often, with every kind of cell: the same has to hold, at less cost."""
    return {name: value for name, value in {"depth": 4, "cells": 1}.items() if takes(SPACES.load(space), name)}


def short_name(space: str) -> str:
    """The same as a command line names it: `nds-darts(depth=4)`."""
    options = ", ".join(f"{name}={value}" for name, value in short(space).items())
    return f"{space}({options})" if options else space


def relaxes(strategy: str) -> bool:
    """Whether it searches supernets: such a search knows no architecture before its end."""
    return getattr(STRATEGIES.load(strategy), "relaxes", False)


def deterministic(strategy: str) -> bool:
    """Whether it draws nothing, so that its seed makes no difference."""
    return getattr(STRATEGIES.load(strategy), "deterministic", False)


def refused(setup: Setup) -> bool:
    """Whether a strategy refuses to search that space, or to pursue those objectives."""
    try:
        setup.strategy()
    except UsageError:
        return True
    return False


@cache
def space_for(strategy: str, *first: str) -> str:
    """The first space that a strategy does not refuse, those named before the others."""
    return next(
        name
        for name in (*first, *map(short_name, SPACES))
        if not refused(Setup(RunConfig(space=name, strategy=strategy, fitness="params", target="none")))
    )
