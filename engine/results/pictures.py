"""Figures of matplotlib as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spaces.errors import RunError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_ending", "save_picture"]

_ENDINGS = ("png", "svg")


def check_ending(path: Path) -> None:
    """Find out before an hour's work that a picture cannot be written.

    Raises:
        UsageError: Neither PNG nor SVG.
    """
    if path.suffix[1:].lower() not in _ENDINGS:
        raise UsageError(f"plot {str(path)!r}; expected a name ending in .png or .svg")


def save_picture(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG file.

    Raises:
        UsageError: Neither of these endings.
        RunError: The file cannot be written.
    """
    check_ending(path)
    try:
        figure.savefig(path, dpi=150, format=path.suffix[1:].lower())
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
