"""Microcontrollers: what memory they leave to a model and how fast they are, each number with its source.

The boards are data, `boards.toml` beside this file; a table of it, copied into a file of its own and changed, is a
target too: `--target my-board.toml`. Runs keep the text of such a file.
"""

from __future__ import annotations

import os
from pathlib import Path

from engine.targets.profile import Rate, Speed, Target
from engine.targets.reading import read_own_target, read_own_text, read_targets
from spaces.errors import UnknownName, UsageError

__all__ = ["BOARDS_FILE", "TARGETS", "Rate", "Speed", "Target", "find_target", "kept_target"]

BOARDS_FILE = Path(__file__).with_name("boards.toml")
TARGETS = read_targets(BOARDS_FILE.read_text(encoding="utf-8"), BOARDS_FILE.name)


def kept_target(name: str) -> str:
    """What a run keeps of a target: its name, or the text of the user's file, which may change or go.

    Raises:
        UsageError: The file cannot be read, or does not hold one profile.
    """
    if _is_text(name) or not name.lower().endswith(".toml"):
        return name
    where = f"target file {name!r}"
    text = read_own_text(name, where)
    read_own_target(text, where)  # what is wrong with it is told with the name of the file
    return f"{text}\n"


def find_target(name: str) -> Target | None:
    """The profile called `name`, of a user's TOML file, or of the text of one; None for "none".

    Raises:
        UsageError: No such target, or the file does not hold a profile.
    """
    if name == "none":
        return None
    if _is_text(kept := kept_target(name)):
        return read_own_target(kept, "the target's profile")
    if name in TARGETS:
        return TARGETS[name]
    if os.path.basename(name) != name or os.path.lexists(name):
        raise UsageError(
            f"target {name!r} is no board and no file that ends in .toml; expected a file of one board, e.g. "
            "my-board.toml, or a name that `engine list targets` shows"
        )
    raise UsageError(f"{UnknownName('target', name, [*TARGETS, 'none'])}; or a file of your own, FILE.toml")


def _is_text(name: str) -> bool:
    return "\n" in name
