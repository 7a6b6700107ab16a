"""Text to standard output, to standard error or to a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

from spaces.errors import RunError, UsageError


def write_text(text: str, path: str) -> None:
    """Write `text` to a file.

    Raises:
        RunError: The file cannot be written.
    """
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def check_places(*paths: str | None) -> None:
    """Find out before an hour's work that files cannot be written, their folder not being there.

    Raises:
        UsageError: There is no such folder.
    """
    for path in filter(None, paths):
        folder = Path(path).parent
        if not folder.is_dir():
            raise UsageError(f"cannot write {path}: there is no folder {str(folder)!r}; make it first")


def show(text: str) -> None:
    """Print a result; a reader that has seen enough is no error.

    Raises:
        RunError: Standard output cannot take it, being a full disk for example.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        raise RunError(f"cannot write to standard output: {error.strerror or error}") from error


def tell(text: str, end: str = "\n") -> None:
    """Print progress or a message on standard error; nothing depends on whether somebody reads it."""
    try:
        print(text, end=end, file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Send what is left in a broken stream, and all that follows, to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
