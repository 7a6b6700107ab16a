"""Several tables as one, and what a column's name says of it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from fitness.archive import Archive
from fitness.table import Table
from fitness.table_fitness import TableFitness
from spaces.errors import RunError, UnknownName, UsageError
from tests.fitness.archives import FIRST, SECOND, THIRD


def written(folder: Path, name: str, text: str) -> Table:
    (folder / name).write_text(text)
    return Table.open(folder / name)


def test_a_column_is_read_from_the_first_table_that_has_it(tmp_path: Path) -> None:
    first = written(tmp_path, "first.csv", "index,arch_str,x,y\n0,a,1,\n1,b,2,5\n2,c,3,6\n")
    second = written(tmp_path, "second.csv", "index,arch_str,y,z\n1,a,9,70\n0,b,9,80\n2,d,9,90\n")
    table = Table.join([first, second])
    assert table.columns == ("x", "y", "z")
    assert table.architectures == ("a", "b", "c")
    assert (table.path, len(table)) == (first.path, 3)
    assert [table.value(index, "x") for index in range(3)] == [1, 2, 3]
    assert [table.value(name, "z") for name in "ab"] == [70, 80]
    assert list(table.column("z"))[:2] == table.column("z")[:2] == [70, 80]
    assert table.value("b", "y") == 5
    for architecture, column, file in (("a", "y", first.path), ("c", "z", second.path)):
        with pytest.raises(RunError, match=f"^{file} knows no '{column}' of architecture"):
            table.value(architecture, column)
    with pytest.raises(UnknownName, match="known: x, y, z"):
        table.value("a", "w")
    with pytest.raises(UsageError, match="unknown architecture 'd'"):
        table.value("d", "z")
    copy = pickle.loads(pickle.dumps(table))  # tables travel to worker processes
    assert copy.value("b", "z") == 80
    assert Table.join([first]) is first


def test_an_archive_and_a_file_are_joined(archive: Path, tmp_path: Path) -> None:
    rows = "".join(f"{index},{name},{index}.5\n" for index, name in enumerate((SECOND, FIRST, THIRD)))
    chip = written(tmp_path, "chip.csv", "index,arch_str,chip_latency\n" + rows)
    for tables in ([Table.open(archive), chip], [chip, Table.open(archive)]):
        table = Table.join(tables)
        assert table.value(SECOND, "chip_latency") == 0.5
        assert table.value(SECOND, "cifar10_test_200ep_pct") == 71
        assert table.index_of(SECOND) == tables[0].index_of(SECOND)
        with pytest.raises(RunError, match=r"000002\.pickle\.pbz2 is missing"):
            table.value(THIRD, "cifar10_test_200ep_pct")


def test_tables_of_different_spaces_are_not_joined(tmp_path: Path) -> None:
    first = written(tmp_path, "first.csv", "index,arch_str,x\n0,a,1\n")
    second = written(tmp_path, "second.csv", "index,arch_str,y\n0,8:8,1\n")
    with pytest.raises(
        UsageError, match=r"second\.csv and .*first\.csv share no architecture: .*'8:8', the other 'a'"
    ):
        Table.join([first, second])


@pytest.mark.parametrize(
    ("column", "direction", "unit"),
    [
        ("cifar10_test_200ep_pct", "max", "%"),
        ("cifar10_train12_cost_s", "min", "s"),
        ("latency_cifar10_s_api", "min", "s"),
        ("params_cifar10_M_derived", "min", "millions"),
        ("cifar10_edgegpu_latency", "min", "ms"),
        ("cifar10_edgegpu_energy", "min", "mJ"),
        ("cifar10_eyeriss_arithmetic_intensity", "max", "as in the table"),
    ],
)
def test_a_columns_name_says_its_direction_and_unit(column: str, direction: str, unit: str, tmp_path: Path) -> None:
    table = written(tmp_path, "a.csv", f"index,arch_str,{column}\n0,a,1\n")
    fitness = TableFitness(column, table, str)
    assert (fitness.direction, fitness.unit) == (direction, unit)


def test_every_column_of_an_archive_has_a_unit(archive: Path) -> None:
    table = Table.open(archive)
    for column in Archive(archive).columns:
        fitness = TableFitness(column, table, str)
        assert fitness.unit in ("%", "s", "millions")
        assert fitness.direction == ("max" if fitness.unit == "%" else "min")
