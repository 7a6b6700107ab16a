"""An archive made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fitness.archives import FIRST, SECOND, THIRD, put, results


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A small archive in the official form: three architectures, results of the first two."""
    folder = tmp_path / "archive"
    folder.mkdir()
    put(folder / "meta.pickle.pbz2", {"meta_archs": [FIRST, SECOND, THIRD], "evaluated_indexes": set()})
    for index, architecture in enumerate((FIRST, SECOND)):
        put(folder / f"{index:06d}.pickle.pbz2", results(index, architecture))
    return folder
