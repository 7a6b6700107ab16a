"""Names to implementations: a dict literal of import strings, plus entry points of other distributions.

Nothing is imported before it is asked for, so that listing names costs nothing.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

from spaces.errors import RunError, UnknownName, UsageError


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
        except (ImportError, AttributeError) as error:
            raise RunError(
                f"{self.kind} {name!r} is announced by an installed distribution as "
                f"{plugins[name].value!r}, which cannot be imported: {error}"
            ) from error

    def create(self, name: str, options: Mapping[str, object]) -> object:
        """Call the implementation with keyword options; an option it does not take is a usage error."""
        factory = self.load(name)
        if not callable(factory):
            raise RunError(f"{self.kind} {name!r} is {factory!r}; expected something to call")
        accepted = inspect.signature(factory).parameters
        for option in options:
            if option not in accepted:
                takes = ", ".join(p for p in accepted) or "none"
                raise UsageError(f"{self.kind} {name!r} takes no option {option!r}; its options: {takes}")
        try:
            return factory(**options)
        except TypeError as error:
            raise UsageError(f"{self.kind} {name!r}: {error}") from error

    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}
