"""Exports on disk: where files go, that none is overwritten unasked, and what is said about them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.results.export import FORMATS, Format, Made
from engine.results.export.subject import Subject
from engine.results.tabular import aligned
from fitness.series import is_series
from spaces.errors import RunError, UsageError

__all__ = ["Exported", "export", "format_exports", "format_for"]


@dataclass(frozen=True)
class Exported:
    """What was written of one network.

    Attributes:
        subject: The network.
        kind: Name of the format.
        files: Those written, and how many bytes each has.
        made: What the format made and checked.
    """

    subject: Subject
    kind: str
    files: Mapping[Path, int] = field(default_factory=dict)
    made: Made = field(default_factory=lambda: Made({}, {}, ""))


def format_for(asked: str | None, out: str | None) -> str:
    """The name of the format asked for, or of the one a file's ending belongs to.

    Raises:
        UsageError: Neither says.
    """
    ending = Path(out or "").suffix
    for name, each in FORMATS.items():
        if asked == name or (asked is None and ending in each.endings):
            return name
    raise UsageError(f"no format is asked for; expected --format {'|'.join(FORMATS)}")


def export(
    found: Sequence[Subject], kind: str, out: str | None = None, data: str | None = None, force: bool = False
) -> list[Exported]:
    """Write networks as files.

    Args:
        found: The networks.
        kind: One of `FORMATS`.
        out: Folder, made if it is not there, or, of one network, a file with one of the format's endings.
        data: One of `fitness.data.SOURCES`, for a format that needs images, or the series that all networks know.
        force: Whether files that are there are written anew.

    Raises:
        UsageError: A file is there already, or the options do not go together.
        RunError: Something cannot be made, or a file cannot be written.
    """
    chosen = FORMATS[kind]
    of_series = data is not None and is_series(data) and all(subject.series for subject in found)
    if data is not None and not (chosen.images or of_series):
        needing = " or ".join(name for name, each in FORMATS.items() if each.images)
        raise UsageError(f"format {kind} needs no images; leave out --data, which is for {needing}")
    stems = _stems(found, chosen, out)
    for stem in stems:
        for ending in chosen.endings:
            if not force and os.path.lexists(_file(stem, ending)):
                raise UsageError(f"{_file(stem, ending)} is there already; add --force to write it anew")
    done = []
    for subject, stem in zip(found, stems, strict=True):
        made = chosen.make(subject, data)
        files = {_file(stem, ending): content for ending, content in made.files.items()}
        for path, content in files.items():
            _write(path, content)
        done.append(Exported(subject, kind, {path: len(content) for path, content in files.items()}, made))
    return done


def format_exports(done: Sequence[Exported], as_json: bool) -> str:
    """The files that were written, their sizes and checks, as a table or JSON."""
    if as_json:
        entries = [
            {
                "name": each.subject.name,
                "key": each.subject.network.key,
                "format": each.kind,
                "weights": each.subject.weights,
                "files": [{"path": str(path), "bytes": size} for path, size in each.files.items()],
                "checks": dict(each.made.checks),
            }
            for each in done
        ]
        return json.dumps({"exports": entries}, indent=1)
    lines = aligned(
        [["file", "bytes"]] + [[str(path), f"{size:,}"] for each in done for path, size in each.files.items()]
    )
    for each in done:
        weights = f"weights {each.subject.weights}; " if FORMATS[each.kind].weights else ""
        lines.append(f"{each.subject.name}: {weights}{each.made.said}")
    return "\n".join(lines)


def _stems(found: Sequence[Subject], chosen: Format, out: str | None) -> list[Path]:
    """Where the files of each network go, without their ending."""
    if out is None:
        return [subject.folder / subject.name for subject in found]
    path = Path(out)
    if path.suffix in chosen.endings and not path.is_dir():
        if len(found) > 1:
            raise UsageError(f"{len(found)} networks do not go into one file {out}; expected a folder")
        return [path.with_suffix("")]
    if path.exists() and not path.is_dir():
        raise UsageError(f"{out} is a file; expected a folder, or a name ending in {' or '.join(chosen.endings)}")
    for name, other in FORMATS.items():
        if path.suffix in other.endings and not path.is_dir():
            raise UsageError(
                f"{out} is a name for format {name}; expected a folder, or a name ending in "
                f"{' or '.join(chosen.endings)}"
            )
    return [path / subject.name for subject in found]


def _file(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
