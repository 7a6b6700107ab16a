"""Text to a file or to standard output."""

from __future__ import annotations

from pathlib import Path

from spaces.errors import RunError


def write_text(text: str, path: str | None) -> None:
    """Print `text`, or write it to a file.

    Raises:
        RunError: The file cannot be written.
    """
    if path is None:
        print(text)
        return
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
