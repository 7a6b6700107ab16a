"""Microcontrollers: what memory they leave to a model and how fast they are, each number with its source.

The boards are data, `boards.toml` beside this file; a table of it, copied into a file of its own and changed, is a
target too: `--target my-board.toml`.
"""

from __future__ import annotations

from pathlib import Path

from engine.targets.profile import Rate, Speed, Target
from engine.targets.reading import read_own_target, read_targets
from spaces.errors import UnknownName

__all__ = ["BOARDS_FILE", "TARGETS", "Rate", "Speed", "Target", "find_target", "is_own"]

BOARDS_FILE = Path(__file__).with_name("boards.toml")
TARGETS = read_targets(BOARDS_FILE.read_text(encoding="utf-8"), BOARDS_FILE.name)


def is_own(name: str) -> bool:
    """Whether a target is a file of the user's."""
    return name.endswith(".toml")


def find_target(name: str) -> Target | None:
    """The profile called `name`, or of a user's TOML file; None for "none".

    Raises:
        UnknownName: No such target.
        UsageError: The file does not hold a profile.
    """
    if name == "none":
        return None
    if is_own(name):
        return read_own_target(name)
    if name not in TARGETS:
        raise UnknownName("target", name, [*TARGETS, "none", "FILE.toml"])
    return TARGETS[name]
