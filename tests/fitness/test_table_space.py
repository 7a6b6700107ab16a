"""Tables of benchmarks with several files: which space each is of, and which one a command reads."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from fitness.table import Table
from fitness.table_import import import_csv, import_table
from fitness.table_space import check_holds, holds, tables_of
from fitness.table_store import find_tables, table_path, whole_space
from spaces.errors import UsageError
from spaces.nats import NatsSss
from spaces.nds import NdsDarts

OPEN, FIXED = NdsDarts(width=0, depth=0), NdsDarts()


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own."""
    monkeypatch.setenv("NAS_ENGINE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def _published(tmp_path: Path, name: str, space: NdsDarts, seeds: range) -> Path:
    numbers = {"params": 9, "flops": 9, "test_ep_top1": [7.0], "train_ep_top1": [1.0]}
    records = [{"net": space.published(space.sample(Random(seed)))} | numbers for seed in seeds]
    path = tmp_path / name
    path.write_text(json.dumps(records))
    return path


def _csv(tmp_path: Path, name: str, architectures: list[str], column: str = "acc_pct") -> Path:
    path = tmp_path / name
    lines = [f"{index},{architecture},{index}\n" for index, architecture in enumerate(architectures)]
    path.write_text(f"index,arch_str,{column}\n" + "".join(lines))
    return path


def _texts(space: NdsDarts, seeds: range) -> list[str]:
    return [space.describe(space.sample(Random(seed))) for seed in seeds]


def test_every_file_of_a_benchmark_makes_a_table_of_its_own(tmp_path: Path) -> None:
    first = import_table(OPEN, _published(tmp_path, "DARTS.json", OPEN, range(12)))
    second = import_table(OPEN, _published(tmp_path, "DARTS_fix-w-d.json", FIXED, range(3)))
    assert (first.path, second.path) == (table_path("nds-darts", "DARTS"), table_path("nds-darts", "DARTS_fix-w-d"))
    assert find_tables("nds-darts") == (first.path, second.path)
    assert (len(Table.open(first.path)), len(Table.open(second.path))) == (12, 3)
    again = import_table(OPEN, _published(tmp_path, "DARTS.json", OPEN, range(20)))
    assert (again.path, again.rows) == (first.path, 20)


def test_a_space_reads_the_table_that_is_all_its_own(tmp_path: Path) -> None:
    whole = import_table(OPEN, _published(tmp_path, "DARTS.json", OPEN, range(12))).path
    assert tables_of(OPEN) == (whole,)
    with pytest.raises(
        UsageError,
        match=r"does not hold architectures of space 'nds-darts', e\.g\. w16\|d20.*; it has w.*; "
        r"it is a table of --space 'nds-darts\(width=0,depth=0\)'",
    ):
        tables_of(FIXED)
    fixed = import_table(OPEN, _published(tmp_path, "DARTS_fix-w-d.json", FIXED, range(3))).path
    assert tables_of(FIXED) == (fixed,)
    with pytest.raises(UsageError, match=rf"2 imported tables .*'cifar10_test.*{whole}, {fixed}; name one with"):
        tables_of(OPEN)


def test_further_columns_are_read_beside_a_benchmarks_own(tmp_path: Path) -> None:
    own = import_table(OPEN, _published(tmp_path, "DARTS_fix-w-d.json", FIXED, range(3))).path
    more = import_csv(OPEN, _csv(tmp_path, "more.csv", _texts(FIXED, range(3)))).path
    assert tables_of(FIXED) == tables_of(OPEN) == (own, more)


def test_tables_of_several_widths_are_read_to_the_end(tmp_path: Path) -> None:
    fixed = _texts(FIXED, range(3))
    other = next(text for text in _texts(OPEN, range(9)) if not text.startswith("w16|d20"))
    table = Table.open(_csv(tmp_path, "mixed.csv", [*fixed, other]))
    assert holds(table, OPEN)
    assert not holds(table, FIXED)
    assert holds(Table.open(_csv(tmp_path, "fixed.csv", fixed)), FIXED)
    with pytest.raises(UsageError, match=r"it has 8:8:8:8:8$"):
        check_holds(Table.open(_csv(tmp_path, "sizes.csv", ["8:8:8:8:8"])), FIXED)


def test_a_csv_of_a_space_too_large_to_list_is_read_row_by_row(tmp_path: Path, data: Path) -> None:
    texts = _texts(OPEN, range(5))
    assert import_csv(OPEN, _csv(tmp_path, "some.csv", texts)).rows == 5
    with pytest.raises(UsageError, match=r"does not hold .*'nds-darts', e\.g\. w.*; it has w16\|d20\|normal$"):
        import_csv(OPEN, _csv(tmp_path, "wrong.csv", [*texts, "w16|d20|normal"]))
    assert [path.name for path in find_tables("nds-darts")] == ["nds-darts.some.csv"]


def test_whole_spaces_are_named_as_commands_take_them() -> None:
    assert whole_space("nds-pnas") == "nds-pnas(width=0,depth=0)"
    assert whole_space("nats-sss") == whole_space("mlp") == ""
    with pytest.raises(UsageError, match="there is no benchmark table of space 'nats-sss'"):
        tables_of(NatsSss())
