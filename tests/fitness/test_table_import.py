"""Importing benchmarks: the right table from the right archive, gone on with after a stop, and no other."""

from __future__ import annotations

import csv
import dataclasses
import resource
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest

from fitness import table_store
from fitness.archive import Archive
from fitness.table import Table
from fitness.table_draft import Draft
from fitness.table_import import Imported, import_archive, import_csv, import_table
from fitness.table_store import Optimum, find_tables, imported_tables, table_path
from spaces.errors import RunError, UntrustedFile, UsageError
from spaces.nats import NatsSss, NatsTss
from spaces.space import Genotype
from tests.fitness.archives import put, results
from tests.shared_data import DATA, SAMPLE, needs_data, needs_sample

COUNT = 20  # more than what two workers read at once
BEST = 70.0 + COUNT - 1


class Few(NatsTss):
    """The topology space, were it only its first networks."""

    def enumerate(self) -> Iterator[Genotype]:
        return islice(super().enumerate(), COUNT)


NAMES = [Few().describe(genotype) for genotype in Few().enumerate()][::-1]  # an order of its own


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own, and the optimum of the archive below as the published one."""
    monkeypatch.setenv("NAS_ENGINE_DATA", str(tmp_path / "data"))
    published = Optimum("cifar10_test_200ep_pct", BEST, COUNT - 1)
    known = dataclasses.replace(table_store.BENCHMARKS["nats-tss"], optima=(published,))
    monkeypatch.setitem(table_store.BENCHMARKS, "nats-tss", known)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def whole_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive in the official form of all networks of the few."""
    folder = tmp_path_factory.mktemp("archive")
    put(folder / "meta.pickle.pbz2", {"meta_archs": NAMES})
    for index, name in enumerate(NAMES):
        put(folder / f"{index:06d}.pickle.pbz2", results(index, name))
    return folder


@pytest.fixture
def archive(whole_archive: Path, tmp_path: Path) -> Path:
    """The same archive to be changed: files that are written to are replaced, not links."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for file in whole_archive.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def replace(archive: Path, index: int, content: object) -> None:
    file = archive / f"{index:06d}.pickle.pbz2"
    file.unlink()
    put(file, content)


def left(data: Path) -> list[str]:
    """Names of what lies in the folder of tables."""
    return sorted(file.name for file in (data / "tables").iterdir())


def stop_after(rows: int) -> object:
    def stop(done: int, total: int) -> None:
        assert total == COUNT
        if done == rows:
            raise KeyboardInterrupt

    return stop


# --- what comes out ---------------------------------------------------------------------------------


def test_a_table_holds_what_the_archive_holds(whole_archive: Path, data: Path) -> None:
    seen: list[tuple[int, int]] = []
    made = import_archive(Few(), whole_archive, on_rows=lambda done, total: seen.append((done, total)))
    table, source = Table.open(made.path), Archive(whole_archive)
    assert seen == [(done, COUNT) for done in range(COUNT + 1)]
    assert made.path == data / "tables" / "nats-tss.csv"
    assert table.architectures == source.architectures == tuple(NAMES)
    assert table.columns == source.columns == made.columns
    empty = 0
    for index in range(COUNT):
        for column, number in zip(source.columns, source.read_numbers(index), strict=True):
            held = table.column(column)[index]
            empty += held != held
            assert held == number or (held != held and number != number)
    assert (made.rows, made.known, made.empty_cells) == (COUNT, COUNT, empty)
    assert [(optimum.value, optimum.index) for optimum in made.optima] == [(BEST, COUNT - 1)]
    assert left(data) == ["nats-tss.csv"]
    assert find_tables("nats-tss") == (made.path,)


def test_a_table_is_the_same_however_many_read(whole_archive: Path) -> None:
    alone = import_archive(Few(), whole_archive).path.read_bytes()
    assert import_archive(Few(), whole_archive, workers=2).path.read_bytes() == alone


@needs_sample
def test_a_part_of_the_official_archive(data: Path) -> None:
    space, folder = NatsTss(), SAMPLE / "NATS-tss-v1_0-3ffb9-simple"
    with pytest.raises(
        RunError, match=r"lacks 15,622 of 15,625 result files: 000001\.pickle\.pbz2, 000002.*, …; "
    ) as e:
        import_archive(space, folder)
    assert "NATS-tss-v1_0-3ffb9-simple.tar (about 1.3 GB, https://github.com/D-X-Y/NATS-Bench)" in str(e.value)
    assert "--partial" in str(e.value)
    assert not data.exists()
    made = import_archive(space, folder, partial=True)
    table, source = Table.open(made.path), Archive(folder)
    assert (made.rows, made.known, made.empty_cells, made.optima) == (15_625, 3, 0, ())
    with made.path.open(newline="") as file:
        known = {int(row[0]): row[2:] for row in list(csv.reader(file))[1:] if any(row[2:])}
    assert list(known) == [0, 11, 284]
    for index, cells in known.items():
        assert [float(cell) for cell in cells] == list(source.read_numbers(index))
    with pytest.raises(RunError, match="knows no 'params_cifar10_M_api' of architecture 1: the cell is empty"):
        table.value(1, "params_cifar10_M_api")


# --- stopped and gone on with -----------------------------------------------------------------------


@pytest.mark.parametrize("torn", [b"", b"3", b"3,|no", b"9,|none~0|,1\n", b"3,torn\x00"])
def test_an_import_goes_on_where_it_was(
    torn: bytes, whole_archive: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = import_archive(Few(), whole_archive).path
    expected = whole.read_bytes()
    whole.unlink()
    with pytest.raises(KeyboardInterrupt):
        import_archive(Few(), whole_archive, on_rows=stop_after(3))  # type: ignore[arg-type]
    assert left(data) == ["nats-tss.csv.part"]
    with (data / "tables" / "nats-tss.csv.part").open("ab") as file:
        file.write(torn)
    read: list[int] = []
    original = Archive.read_numbers
    monkeypatch.setattr(Archive, "read_numbers", lambda self, index: read.append(index) or original(self, index))
    assert import_archive(Few(), whole_archive).path.read_bytes() == expected
    assert read == list(range(3, COUNT))
    assert left(data) == ["nats-tss.csv"]


def test_rows_of_another_archive_are_not_gone_on_with(whole_archive: Path, archive: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        import_archive(Few(), whole_archive, on_rows=stop_after(3))  # type: ignore[arg-type]
    starts: list[int] = []
    import_archive(Few(), archive, on_rows=lambda done, total: starts.append(done))
    assert starts[0] == 0


def test_a_damaged_file_is_named_and_what_was_read_before_is_kept(archive: Path, data: Path) -> None:
    replace(archive, 7, b"no pickle")
    with pytest.raises(RunError, match=r"000007\.pickle\.pbz2 is damaged"):
        import_archive(Few(), archive)
    replace(archive, 7, results(7, NAMES[7]))
    starts: list[int] = []
    import_archive(Few(), archive, on_rows=lambda done, total: starts.append(done))
    assert starts[0] == 7


def test_a_file_that_vanishes_is_missed(archive: Path) -> None:
    def remove(done: int, total: int) -> None:
        if done == 3:
            (archive / "000005.pickle.pbz2").unlink()

    with pytest.raises(RunError, match=r"000005\.pickle\.pbz2 is missing"):
        import_archive(Few(), archive, on_rows=remove)


def test_two_imports_at_once_do_not_mix(whole_archive: Path) -> None:
    draft = Draft(table_path("nats-tss"), {}, ["x"])
    with pytest.raises(RunError, match=r"nats-tss\.csv\.part is being written by another import"):
        import_archive(Few(), whole_archive)
    draft.close()
    import_archive(Few(), whole_archive)


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hostile_file_is_not_opened(workers: int, archive: Path, tmp_path: Path, data: Path) -> None:
    flag = tmp_path / "flag"
    replace(archive, 5, b"cos\nsystem\n(S'touch %s'\ntR." % str(flag).encode())
    with pytest.raises(UntrustedFile, match=r"000005\.pickle\.pbz2 names 'os\.system'"):
        import_archive(Few(), archive, workers=workers)
    assert not flag.exists()
    assert find_tables("nats-tss") == ()


def test_an_archive_of_another_space_is_told_apart(archive: Path) -> None:
    with pytest.raises(
        UsageError, match="holds space 'nats-tss', not 'nats-sss'; use `engine table import nats-tss"
    ):
        import_archive(NatsSss(), archive)
    with pytest.raises(RunError, match=r"names 20 architectures; expected all 15,625 of space 'nats-tss'"):
        import_archive(NatsTss(), archive)
    (archive / "meta.pickle.pbz2").unlink()
    put(archive / "meta.pickle.pbz2", {"meta_archs": [name.replace("none", "nine") for name in NAMES]})
    with pytest.raises(UsageError, match=r"holds architecture '\|nine~0.*which is not in space 'nats-tss'"):
        import_archive(Few(), archive)


@pytest.mark.parametrize(
    ("published", "says"),
    [
        (
            Optimum("cifar10_test_200ep_pct", BEST + 0.01),
            "is published as 89.01, found 89 at index 19; this is not",
        ),
        (Optimum("cifar10_test_200ep_pct", BEST, 3), "is published as 89.0 at index 3, found it at index 19"),
        (Optimum("imagenet16_test_200ep_pct", 47.31), "is published as 47.31, found no number in it"),
    ],
)
def test_an_archive_without_the_published_optimum_is_refused(
    published: Optimum, says: str, archive: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = dataclasses.replace(table_store.BENCHMARKS["nats-tss"], optima=(published,))
    monkeypatch.setitem(table_store.BENCHMARKS, "nats-tss", known)
    with pytest.raises(RunError, match=says):
        import_archive(Few(), archive)
    assert left(data) == []
    (archive / "000004.pickle.pbz2").unlink()
    assert import_archive(Few(), archive, partial=True).optima == ()


def test_a_folder_that_cannot_be_written_is_named(whole_archive: Path, data: Path) -> None:
    data.write_text("a file")
    with pytest.raises(
        RunError, match=r"cannot write .*nats-tss\.csv: Not a directory; make room or name a folder"
    ):
        import_archive(Few(), whole_archive)


@pytest.mark.parametrize("stage", ["rows", "table"])
def test_a_full_disk_leaves_rows_to_go_on_from(stage: str, whole_archive: Path, data: Path) -> None:
    table = import_archive(Few(), whole_archive).path
    size = table.stat().st_size - 100 if stage == "table" else 3_000  # the draft of the rows lacks the long header
    table.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write .*: File too large.*run the same command again"):
            import_archive(Few(), whole_archive)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left(data) == ["nats-tss.csv.part"]
    starts: list[int] = []
    import_archive(Few(), whole_archive, on_rows=lambda done, total: starts.append(done))
    assert starts[0] == COUNT if stage == "table" else 0 < starts[0] < COUNT


# --- CSV files --------------------------------------------------------------------------------------


def written(folder: Path, name: str, columns: str, cells: Sequence[object]) -> Path:
    file = folder / name
    lines = [f"{index},{NAMES[index]},{cell}\n" for index, cell in enumerate(cells)]
    file.write_text(f"index,arch_str,{columns}\n" + "".join(lines))
    return file


def test_further_columns_lie_beside_the_benchmarks_own(whole_archive: Path, tmp_path: Path) -> None:
    more = written(tmp_path, "my power (mW).csv", "power_mw", range(COUNT))
    added = import_table(Few(), more)
    own = import_table(Few(), whole_archive)
    assert isinstance(added, Imported)
    assert added.path.name == "nats-tss.my_power_mW_.csv"
    assert added.path.read_bytes() == more.read_bytes()
    assert find_tables("nats-tss") == (own.path, added.path)
    assert imported_tables() == {"nats-tss": (own.path, added.path)}
    assert find_tables("nats-sss") == ()


def test_a_wrong_csv_file_is_not_kept(tmp_path: Path, data: Path) -> None:
    with pytest.raises(RunError, match="line 3: x is 'high', not a finite number"):
        import_csv(Few(), written(tmp_path, "a.csv", "x", [1, "high", *range(2, COUNT)]))
    with pytest.raises(RunError, match=f"names 3 architectures; expected all {COUNT}"):
        import_csv(Few(), written(tmp_path, "b.csv", "x", [1, 2, 3]))
    with pytest.raises(RunError, match=r"published as 89.0 at index 19, found 19 at index 19"):
        import_csv(Few(), written(tmp_path, "c.csv", "cifar10_test_200ep_pct", range(COUNT)))
    with pytest.raises(UsageError, match=r"d\.csv is not there; download NATS-tss-v1_0-3ffb9-simple\.tar"):
        import_table(Few(), tmp_path / "d.csv")
    assert not data.exists()


@needs_data
def test_the_optima_of_real_tables_are_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the published optima, not those of the few
    for name, space in (("nats_tss.csv", "nats-tss"), ("nats_sss.csv", "nats-sss")):
        table = Table.open(DATA / name)
        found = [optimum for optimum in table_store.BENCHMARKS[space].optima if optimum.column in table.columns]
        assert len(found) == 2
        for optimum in found:
            numbers = table.column(optimum.column)
            best = max(range(len(numbers)), key=numbers.__getitem__)
            assert f"{numbers[best]:.2f}" == f"{optimum.value:.2f}"
            assert optimum.index in (best, None)
