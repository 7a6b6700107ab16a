"""What every space's `parse` reads: JSON of choices that a user wrote."""

from __future__ import annotations

import json

from spaces.errors import UsageError

__all__ = ["json_object"]

_DEEPEST = 10  # levels of lists and objects; published cells have four


def json_object(text: str) -> dict[str, object]:
    """The JSON object in a text, whatever the text is; flat enough that any value can be shown in a message.

    Raises:
        UsageError: Not such an object, or one with longer numbers than Python takes.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"architecture {text[:80]!r} is not JSON ({error}); expected its choices") from error
    if not isinstance(value, dict):
        raise UsageError(f"architecture {text[:80]!r}; expected a JSON object of choices")
    level: list[object] = [value]
    for _ in range(_DEEPEST):
        held = [
            each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)
        ]
        level = [inner for values in held for inner in values]
    if level:
        raise UsageError(f"architecture {text[:80]!r} is more than {_DEEPEST} levels deep; expected its choices")
    return value
