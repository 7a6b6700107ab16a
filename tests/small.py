"""Problems small enough to try what holds for every space and every strategy."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from random import Random

import pytest

from engine.config import RunConfig
from engine.setup import Setup
from engine.strategies import STRATEGIES
from spaces import SPACES
from spaces.errors import UsageError
from spaces.registry import takes
from spaces.space import Space

IMAGE_SPACES = [name for name in SPACES if getattr(SPACES.load(name), "reads", "") == "images"]
"""Spaces whose networks read images; there is no .tflite file of the others'."""


def short(space: str) -> dict[str, object]:
    """Options that repeat cells less often, with every kind of cell: the same has to hold, at less cost."""
    return {name: value for name, value in {"depth": 4, "cells": 1}.items() if takes(SPACES.load(space), name)}


def short_name(space: str) -> str:
    """The same as a command line names it: `nds-darts(depth=4)`."""
    options = ", ".join(f"{name}={value}" for name, value in short(space).items())
    return f"{space}({options})" if options else space


def each_build(names: Iterable[str] = SPACES) -> list[object]:
    """Every space as a parameter; of those that share a `build`, all but the one of the fewest nodes are slow."""
    spaces = {name: SPACES.create(name, short(name)) for name in names}
    assert all(isinstance(space, Space) for space in spaces.values())
    first: dict[object, str] = {}
    for name in sorted(spaces, key=lambda name: len(spaces[name].decode(spaces[name].sample(Random(0))))):
        first.setdefault(type(spaces[name]).build, name)
    kept = set(first.values())
    return [name if name in kept else pytest.param(name, marks=pytest.mark.slow) for name in spaces]


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
