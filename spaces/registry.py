"""Names to implementations: a dict literal of import strings, plus entry points of other distributions.

Nothing is imported before it is asked for, so that listing names costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spaces.errors import RunError, UnknownName, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from inspect import Parameter


class Registry:
    """What a kind of thing is called and where it lives.

    Args:
        kind: What an entry is, in the singular, for messages ("space").
        builtin: Name -> "module:attribute".
        group: Entry-point group under which other distributions add names.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str], group: str) -> None:
        self.kind = kind
        self.builtin = dict(builtin)
        self.group = group

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self.builtin, *self._plugins()}))

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or name in self._plugins()

    def load(self, name: str) -> object:
        """The implementation called `name`; built-in names win over plug-ins.

        Raises:
            UnknownName: No such name; the message offers the nearest one.
            RunError: The module that a plug-in names cannot be imported.
        """
        if name in self.builtin:
            module, _, attribute = self.builtin[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        plugins = self._plugins()
        if name not in plugins:
            raise UnknownName(self.kind, name, self)
        try:
            return plugins[name].load()
        except Exception as error:  # importing runs foreign code, which may raise anything
            raise RunError(
                f"{self.kind} {name!r} is announced by an installed distribution as {plugins[name].value!r}, "
                f"which cannot be imported: {type(error).__name__}: {error}"
            ) from error

    def create(self, name: str, options: Mapping[str, object], parts: Mapping[str, object] | None = None) -> object:
        """Call the implementation with keyword arguments.

        Args:
            name: Of the entry.
            options: What a user chose.
            parts: What the caller gives to every entry of this kind.

        Raises:
            UsageError: An option that the implementation does not take, lacks, or that is of the wrong kind.
        """
        return construct(f"{self.kind} {name!r}", self.load(name), options, parts or {})

    def _plugins(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points  # a third of what `engine --help` may take

        return {point.name: point for point in entry_points(group=self.group)}


def construct(what: str, factory: object, options: Mapping[str, object], parts: Mapping[str, object]) -> Any:
    """Call a factory with keyword arguments; errors that it raises itself pass through.

    Args:
        what: The factory, for messages ("fitness 'trace'").
        factory: What to call.
        options: What a user chose.
        parts: Arguments that are not the user's.

    Raises:
        UsageError: An option that the factory does not take, lacks, or that is of the wrong kind; or it does not
            take a part.
        RunError: Not something to call.
    """
    if not callable(factory):
        raise RunError(f"{what} is {factory!r}; expected something to call")
    accepted = _parameters(factory)
    if accepted is not None:
        _check_options(what, accepted, options, parts)
    return factory(**parts, **options)


def takes(factory: object, name: str) -> bool:
    """Whether a factory has a parameter of that name."""
    return callable(factory) and name in (_parameters(factory) or {})


def _check_options(
    what: str, accepted: Mapping[str, Parameter], options: Mapping[str, object], parts: Mapping[str, object]
) -> None:
    own = [p for p in accepted.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes = "its options: " + (", ".join(p.name for p in own if p.name not in parts) or "none")
    anything = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    for name, value in options.items():
        if name in parts or name not in (p.name for p in own):
            if name in parts or not anything:
                raise UsageError(f"{what} takes no option {name!r}; {takes}")
        elif expected := _misfit(value, accepted[name].default):
            raise UsageError(f"{what}: {name} is {value!r}; expected {expected}")
    for p in own:
        if p.default is p.empty and p.name not in options and p.name not in parts:
            raise UsageError(f"{what} lacks the option {p.name!r}; {takes}")
    for name in parts:
        if name not in (p.name for p in own) and not anything:
            raise UsageError(f"{what} does not take {name!r}; expected something to call with {', '.join(parts)}")


def _parameters(factory: Callable[..., Any]) -> Mapping[str, Parameter] | None:
    from inspect import signature

    try:
        return signature(factory).parameters
    except ValueError:  # built into Python: nothing is known of it before it is called
        return None


def _misfit(value: object, default: object) -> str | None:
    """What was expected instead of an option's value, judged by the option's default."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, int):
        return None if number and isinstance(value, int) else "a whole number"
    if isinstance(default, float):
        return None if number else "a number"
    if isinstance(default, str):
        return None if isinstance(value, str) else "a word"
    return None
