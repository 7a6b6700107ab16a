"""Registries answer wrong names and options with what would be right, and import nothing early."""

from __future__ import annotations

import importlib.metadata
import sys
from importlib.metadata import EntryPoint

import pytest

from spaces.errors import EngineError, RunError, UnknownName, UsageError
from spaces.registry import Registry


class Thing:
    def __init__(self, size: int = 3, name: str = "x") -> None:
        if size < 0:
            raise UsageError(f"size {size}; expected at least 0")
        self.size, self.name = size, name


@pytest.fixture
def things(monkeypatch: pytest.MonkeyPatch) -> Registry:
    points = [
        EntryPoint("plugged", "collections:OrderedDict", "group"),
        EntryPoint("lost", "no_such_module:Thing", "group"),
        EntryPoint("gone", "collections:NoSuchThing", "group"),
        EntryPoint("builtin", "collections:OrderedDict", "group"),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points if group == "group" else [])
    monkeypatch.setitem(sys.modules, "things_for_tests", sys.modules[__name__])
    return Registry("thing", {"builtin": "things_for_tests:Thing", "never": "no_such_module:X"}, "group")


def test_names_are_sorted_and_plugins_are_among_them(things: Registry) -> None:
    assert list(things) == ["builtin", "gone", "lost", "never", "plugged"]
    assert "plugged" in things
    assert "unplugged" not in things


def test_builtin_names_win(things: Registry) -> None:
    assert things.load("builtin") is Thing
    assert isinstance(things.create("plugged", {}), dict)


def test_unknown_names_are_answered_with_the_nearest(things: Registry) -> None:
    with pytest.raises(UnknownName) as caught:
        things.load("builtim")
    assert str(caught.value) == (
        "unknown thing 'builtim'; did you mean 'builtin'? known: builtin, gone, lost, never, plugged"
    )
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, LookupError)
    with pytest.raises(UnknownName) as caught:
        things.load("zzz")
    assert "did you mean" not in str(caught.value)


def test_options_are_passed_and_unknown_ones_refused(things: Registry) -> None:
    made = things.create("builtin", {"size": 5})
    assert isinstance(made, Thing)
    assert (made.size, made.name) == (5, "x")
    with pytest.raises(UsageError, match="takes no option 'colour'; its options: size, name"):
        things.create("builtin", {"colour": "red"})
    with pytest.raises(UsageError, match="size -1; expected at least 0"):
        things.create("builtin", {"size": -1})


@pytest.mark.parametrize("name", ["lost", "gone"])
def test_broken_plugins_are_named(things: Registry, name: str) -> None:
    with pytest.raises(RunError, match=f"thing '{name}' is announced by an installed distribution"):
        things.load(name)


def test_errors_are_also_builtin_ones() -> None:
    assert issubclass(UsageError, ValueError)
    assert issubclass(RunError, RuntimeError)
    assert (UsageError.exit_code, RunError.exit_code) == (2, 1)
    assert issubclass(UsageError, EngineError)
