"""What a config calls by name, found, made and checked: spaces, and whatever is meant to be a fitness."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from random import Random
from typing import Any

from fitness.base import Fitness
from fitness.expression import parse
from spaces import SPACES
from spaces.errors import RunError, UsageError
from spaces.space import Space
from spaces.tabular import Sampled

__all__ = ["Ends", "checked_fitness", "named", "registered_space", "sampled_space", "space_factory"]

#: What a space is told of its data: shape and classes of images, or columns of a time series.
Ends = tuple[tuple[str, object], ...]


def named(kind: str, text: str, example: str) -> tuple[str, dict[str, object]]:
    """Name and options of `name(option=value, ...)`.

    Raises:
        UsageError: Not of that form.
    """
    if "(" not in text:
        return text, {}
    term, *more = parse("".join(text.split()), kind)
    if more:
        raise UsageError(f"{kind} {text!r}; expected one {kind}, e.g. {example}")
    return term.name, dict(term.options)


def space_factory(text: str) -> tuple[object, Mapping[str, object]]:
    """What makes a space, and the options that its text gives.

    Raises:
        UsageError: No such space, or not of that form.
    """
    name, options = _space_named(text)
    return SPACES.load(name), options


def registered_space(text: str, ends: Ends) -> Space:
    """A space by name and options, for some data.

    Raises:
        UsageError: No such space, or none of its networks can read such data.
        RunError: What is registered is none.
    """
    name, options = _space_named(text)
    space = SPACES.create(name, options, dict(ends))
    if not isinstance(space, Space):
        raise RunError(f"space {text!r} makes {space!r}; expected a spaces.space.Space")
    try:
        space.decode(space.sample(Random(0)))
    except UsageError as error:
        size = "x".join(map(str, space.input_shape))
        raise UsageError(
            f"space {text!r} has no network for input shape {size}: {error}; expected larger images"
        ) from error
    return space


def _space_named(text: str) -> tuple[str, dict[str, object]]:
    return named("space", text, "nats-tss(channels=3, cells=1)")


@lru_cache(maxsize=8)
def sampled_space(text: str, ends: Ends, networks: tuple[str, ...]) -> Sampled:
    """Listed networks of a registered space; the many runs of a comparison share one."""
    return Sampled(registered_space(text, ends), networks)


def checked_fitness(what: str, made: object) -> Fitness:
    """A fitness that keeps the contract.

    Raises:
        UsageError: It lacks a member, or one is not what the contract allows.
    """
    lacks = [name for name in ("name", "direction", "unit", "needs") if not hasattr(made, name)]
    if lacks or not callable(made):
        raise UsageError(
            f"{what} is {made!r:.80} without {', '.join(lacks) or 'a call'}; expected a fitness.base.Fitness"
        )
    fitness: Any = made
    for member, allowed in (("direction", ("max", "min")), ("needs", ("genotype", "network", "module", "images"))):
        if getattr(fitness, member) not in allowed:
            got = getattr(fitness, member)
            raise UsageError(f"{what}: {member} is {got!r:.80}; expected {' or '.join(map(repr, allowed))}")
    return fitness  # type: ignore[no-any-return]
