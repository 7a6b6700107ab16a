"""Benchmark tables and archives: right numbers from real files, clear refusals of everything else."""

from __future__ import annotations

import bz2
import csv
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from fitness.archive import Archive
from fitness.table import Table
from spaces.errors import RunError, UnknownName, UsageError
from tests.fitness.archives import FIRST, SECOND, THIRD, put, results
from tests.shared_data import DATA, SAMPLE, needs_data, needs_sample

ROOT = Path(__file__).parents[2]
TSS = SAMPLE / "NATS-tss-v1_0-3ffb9-simple"
SSS = SAMPLE / "NATS-sss-v1_0-50262-simple"
ENTRIES = (0, 11, 284)  # the results that the sample holds


# --- real tables ------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize(
    ("file", "rows", "column", "best_index", "best_pct"),
    [  # the published optima, NATS-Bench (arXiv:2009.00437) tables 4 and 5
        ("nats_tss.csv", 15_625, "cifar10_test_200ep_pct", 6111, 94.3733),
        ("nats_tss.csv", 15_625, "cifar100_test_200ep_pct", 9930, 73.5133),
        ("nats_sss.csv", 32_768, "cifar10_valid_90ep_pct", 32_767, 90.712),
    ],
)
def test_best_entries(file: str, rows: int, column: str, best_index: int, best_pct: float) -> None:
    table = Table.open(DATA / file)
    numbers = table.column(column)
    assert len(table) == len(numbers) == len(table.architectures) == rows
    assert max(range(rows), key=numbers.__getitem__) == best_index
    assert table.value(best_index, column) == pytest.approx(best_pct, abs=5e-5)
    assert table.value(table.architecture(best_index), column) == numbers[best_index]
    assert table.index_of(table.architecture(best_index)) == best_index


@needs_data
def test_a_column_agrees_with_the_csv_module() -> None:
    with (DATA / "hw_nats_tss.csv").open(newline="") as file:
        rows = {int(row["index"]): row for row in csv.DictReader(file)}
    table = Table.open(DATA / "hw_nats_tss.csv")
    for column in table.columns:
        assert list(table.column(column)) == [float(rows[index][column]) for index in range(len(rows))]


@needs_data
@needs_sample
@pytest.mark.parametrize(("archive", "file"), [(TSS, "nats_tss.csv"), (SSS, "nats_sss.csv")])
def test_archive_agrees_with_the_table(archive: Path, file: str) -> None:
    known = Table.open(DATA / file)
    table = Table.open(archive)
    assert table.architectures == known.architectures
    shared = {column: column for column in known.columns if column in table.columns}
    for name in ("params", "macs"):
        shared[f"{name}_cifar10_M_derived"] = f"{name}_cifar10_M_api"
    assert len(shared) >= 4
    for index in ENTRIES:
        for of_csv, of_archive in shared.items():
            expected = pytest.approx(known.value(index, of_csv), abs=1e-6)
            assert table.value(index, of_archive) == expected, of_csv


@needs_sample
@pytest.mark.parametrize("folder", [TSS, SSS])
def test_archive_agrees_with_the_official_api(folder: Path) -> None:
    nats_bench = pytest.importorskip("nats_bench")
    archive = Archive(folder)
    api = nats_bench.create(str(folder), archive.space, fast_mode=True, verbose=False)
    answers = {
        "cifar10_valid": ("cifar10-valid", "valid-accuracy"),
        "cifar10_test": ("cifar10", "test-accuracy"),
        "cifar10valid_test": ("cifar10-valid", "test-accuracy"),
        "cifar100_valid": ("cifar100", "valid-accuracy"),
        "cifar100_test": ("cifar100", "test-accuracy"),
        "imagenet16_valid": ("ImageNet16-120", "valid-accuracy"),
        "imagenet16_test": ("ImageNet16-120", "test-accuracy"),
    }
    datasets = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16": "ImageNet16-120"}
    trainings = {"tss": ("12", "200"), "sss": ("01", "12", "90")}[archive.space]
    assert len(archive.columns) == 9 + len(trainings) * (7 + 2 * 3)
    for index in ENTRIES:
        asked = {}
        for hp in trainings:
            for name, (dataset, key) in answers.items():
                info = api.get_more_info(index, dataset, hp=hp, is_random=False)
                asked[f"{name}_{int(hp)}ep_pct"] = info[key]
            for name, dataset in datasets.items():
                simulated = api.simulate_train_eval(index, dataset, hp=hp)[2]  # of one seed; their times are equal
                asked[f"{name}_query{int(hp)}_cost_s"] = pytest.approx(simulated, rel=1e-12)
                trained = "cifar10-valid" if name == "cifar10" else dataset
                asked[f"{name}_train{int(hp)}_cost_s"] = api.get_cost_info(index, trained, hp=hp)["T-train@total"]
        for name, dataset in datasets.items():
            costs = api.get_cost_info(index, dataset, hp=str(api.full_train_epochs))
            asked[f"params_{name}_M_api"] = costs["params"]
            asked[f"macs_{name}_M_api"] = costs["flops"]
            asked[f"latency_{name}_s_api"] = costs["latency"]
        assert {column: archive.accuracy(index, column) for column in archive.columns} == asked
        architecture = archive.architectures[index]
        assert api.query_index_by_arch(architecture) == Table.open(folder).index_of(architecture) == index


@needs_sample
def test_missing_results_are_named() -> None:
    table = Table.open(TSS)
    with pytest.raises(RunError, match=r"000005\.pickle\.pbz2 is missing.*get the complete"):
        table.value(5, "cifar10_test_200ep_pct")
    column = table.column("cifar10_test_200ep_pct")
    assert len(column) == 15_625
    assert column[0:1] == [column[0]]
    with pytest.raises(RunError, match=r"000001\.pickle\.pbz2 is missing"):
        list(column)


def test_a_table_imports_no_heavy_package(tmp_path: Path) -> None:
    file = written(tmp_path, "index,arch_str,x\n0,a,1\n")
    program = (
        "import sys; from fitness.table import Table; assert Table.open(sys.argv[1]).value(0, 'x') == 1; "
        "assert not {'torch', 'numpy', 'nats_bench', 'fitness.archive'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program, str(file)], check=True, env=environment)


# --- CSV --------------------------------------------------------------------------------------------


def written(folder: Path, content: str | bytes) -> Path:
    file = folder / "table.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_rows_in_any_order(tmp_path: Path) -> None:
    text = '\ufeffy,index,arch_str,x\r\n,2,"c,c",30\r\n1e1,0,a,-0.5\r\n\r\n2,1,"b\nb",.25'
    table = Table.open(str(written(tmp_path, text)))
    assert table.columns == ("y", "x")
    assert table.architectures == ("a", "b\nb", "c,c")
    assert list(table.column("x")) == [-0.5, 0.25, 30]
    assert table.value("c,c", "x") == 30
    assert table.value(numpy.int64(0), "y") == 10  # type: ignore[arg-type]  # callers index with numpy too
    assert str(table.column("y")[2]) == "nan"
    with pytest.raises(RunError, match="knows no 'y' of architecture 2: the cell is empty"):
        table.value(2, "y")
    copy = pickle.loads(pickle.dumps(table))  # tables travel to worker processes
    assert copy.value(1, "x") == 0.25
    assert copy.path == table.path


def test_quotes_change_nothing_but_the_way_that_lines_are_split(tmp_path: Path) -> None:
    plain = "x,index,arch_str,y\n1,1,a,\n\n.5,0,b,2\n-3e2,2,c,7"
    tables = []
    for name, text in (
        ("plain", plain),
        ("quoted", plain.replace("c,7", '"c",7')),
        ("crlf", plain.replace("\n", "\r\n")),
    ):
        (tmp_path / name).write_text(text, newline="")
        tables.append(Table.open(tmp_path / name))
    for table in tables:
        assert table.architectures == ("b", "a", "c")
        assert list(table.column("x")) == [0.5, 1, -300]
        assert [table.value(index, "y") for index in (0, 2)] == [2, 7]


def test_a_returned_column_is_the_callers_own(tmp_path: Path) -> None:
    table = Table.open(written(tmp_path, "index,arch_str,x\n0,a,1\n"))
    column: Any = table.column("x")
    column[0] = 5.0
    assert table.value(0, "x") == 1


def test_wrong_questions(tmp_path: Path) -> None:
    table = Table.open(written(tmp_path, "index,arch_str,accuracy_pct\n0,a,1\n1,b,2\n"))
    with pytest.raises(UnknownName, match="unknown table column 'acuracy_pct'; did you mean 'accuracy_pct'"):
        table.value(0, "acuracy_pct")
    with pytest.raises(UnknownName):
        table.column("index")
    for index in (-1, 2):
        with pytest.raises(UsageError, match=f"index {index} is out of range.*0 to 1"):
            table.architecture(index)
        with pytest.raises(UsageError, match="out of range"):
            table.value(index, "accuracy_pct")
    with pytest.raises(UsageError, match=r"unknown architecture 'c'.*like 'a'"):
        table.index_of("c")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("\n\n", "is empty", id="blank lines"),
        pytest.param("index,arch_str,x\n", "holds only a header", id="header only"),
        pytest.param("arch_str,x\na,1\n", "line 1: no column 'index'", id="no index"),
        pytest.param("index,x\n0,1\n", "line 1: no column 'arch_str'", id="no arch_str"),
        pytest.param("index;arch_str;x\n0;a;1\n", "line 1: no column 'index'", id="semicolons"),
        pytest.param("index,arch_str\n0,a\n", "line 1: no number column", id="no numbers"),
        pytest.param(
            "index,arch_str,x,x\n0,a,1,1\n",
            "line 1: the column name 'x' is empty or occurs 2",
            id="double column",
        ),
        pytest.param("index,arch_str,\n0,a,1\n", "line 1: the column name '' is empty", id="unnamed column"),
        pytest.param("index,arch_str,x\n0,a,1\n0,b,2\n", "line 3: index 0 occurs a second", id="double index"),
        pytest.param("index,arch_str,x\n0,a,1\n1,a,2\n", "line 3: architecture 'a' is empty or", id="double arch"),
        pytest.param("index,arch_str,x\n0,,1\n", "line 2: architecture ''", id="no architecture"),
        pytest.param("index,arch_str,x\n0,a,1\n2,c,2\n", "no line with index 1, though it holds 2", id="gap"),
        pytest.param("index,arch_str,x\n1,a,1\n2,c,2\n", "no line with index 0", id="counts from 1"),
        pytest.param("index,arch_str,x\n-1,a,1\n", "line 2: the index '-1' is not", id="negative"),
        pytest.param("index,arch_str,x\n0.0,a,1\n", "line 2: the index '0.0' is not", id="fractional"),
        pytest.param("index,arch_str,x\n" + "9" * 5000 + ",a,1\n", "line 2: the index '9{100}'", id="huge index"),
        pytest.param("index,arch_str,x\n0,a,1\n1,b\n", "line 3: 2 fields where the header has 3", id="short row"),
        pytest.param("index,arch_str,x\n0,a,1,2\n", "line 2: 4 fields where", id="long row"),
        pytest.param('index,arch_str,x\n0,"a,1\n', "line 2: unexpected end", id="open quote"),
        pytest.param("index,arch_str,x\n0," + "a" * 200_000 + ",1\n", "line 2: field larger", id="huge field"),
        pytest.param("index,arch_str,x\n0,a,1\n1,b\xe9,1\n".encode("latin-1"), "line 3: byte 0xe9", id="latin 1"),
        pytest.param("index,arch_str,x\n0,a,1\n".encode("utf-16"), "line 1: byte 0xff", id="utf 16"),
        pytest.param(bz2.compress(b"anything"), "not a CSV table; give its folder", id="pickle file"),
    ],
)
def test_bad_csv(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises((RunError, UsageError), match=message) as caught:
        Table.open(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cell", ["high", "nan", "inf", "-1e999", "1,5", "1 %", " "])
def test_a_cell_that_is_no_number_fails_its_own_column_only(tmp_path: Path, cell: str) -> None:
    table = Table.open(written(tmp_path, f'index,arch_str,x,y\n0,a,1,2\n1,b,"{cell}",3\n'))
    assert table.value(1, "y") == 3
    with pytest.raises(RunError, match=f"line 3: x is '{cell}', not a finite number"):
        table.value(0, "x")


@pytest.mark.parametrize("name", ["absent.csv", "a/b/c", "x" * 5000, "nul\0byte"])
def test_no_such_table(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="there is no table"):
        Table.open(tmp_path / name)


def test_a_folder_that_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no meta\.pickle\.pbz2"):
        Table.open(tmp_path)


# --- archives ---------------------------------------------------------------------------------------


def test_numbers_by_hand(archive: Path) -> None:
    table = Table.open(archive)
    assert table.architectures == (FIRST, SECOND, THIRD)
    assert table.value(SECOND, "cifar10_valid_12ep_pct") == 61
    assert table.value(1, "cifar10_valid_200ep_pct") == 66  # (61 + 71) / 2
    assert table.value(1, "cifar10valid_test_200ep_pct") == 67
    assert table.value(1, "cifar10_test_200ep_pct") == 71
    assert table.value(1, "cifar100_valid_200ep_pct") == 36
    assert table.value(1, "cifar100_test_200ep_pct") == 37
    assert table.value(1, "params_cifar10_M_api") == 0.5
    assert table.value(1, "macs_cifar10_M_api") == 7
    assert table.value(1, "latency_cifar10_s_api") == 0.25
    assert table.value(1, "cifar10_train12_cost_s") == 24
    with pytest.raises(RunError, match=r"000001\.pickle\.pbz2 holds no finite 'imagenet16_test_200ep_pct'"):
        table.value(1, "imagenet16_test_200ep_pct")
    with pytest.raises(RunError, match=r"000002\.pickle\.pbz2 is missing"):
        table.value(2, "cifar10_test_200ep_pct")
    with pytest.raises(UnknownName, match="did you mean 'cifar10_test_200ep_pct'"):
        table.value(1, "cifar10_test_200_pct")
    assert pickle.loads(pickle.dumps(table)).value(1, "cifar10_test_200ep_pct") == 71


def test_each_result_file_is_read_once_and_only_its_numbers_are_kept(archive: Path) -> None:
    opened = Archive(archive)
    assert opened.accuracy(0, "cifar10_test_200ep_pct") == 70
    opened.result_file(0).unlink()
    assert opened.accuracy(0, "cifar100_test_200ep_pct") == 36
    assert len(pickle.dumps(opened)) < 10_000
    for index in (-1, 3):
        with pytest.raises(UsageError, match=r"out of range.*0 to 2"):
            opened.accuracy(index, "cifar10_test_200ep_pct")


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ([FIRST], "no list 'meta_archs'"),
        ({}, "no list 'meta_archs'"),
        ({"meta_archs": (FIRST,)}, "no list 'meta_archs'"),
        ({"meta_archs": []}, "no list 'meta_archs'"),
        ({"meta_archs": [FIRST, 3]}, "architecture 1 is not a string"),
        ({"meta_archs": [FIRST + "x" * 300]}, "architecture 0 is not a string of 1 to 256"),
        ({"meta_archs": [FIRST, SECOND, FIRST]}, "occurs twice"),
        ({"meta_archs": [FIRST, "8:8:8:8:8"]}, "architecture 1 is '8:8:8:8:8', neither"),
        ({"meta_archs": ["8:8:8:8"]}, "architecture 0 is '8:8:8:8', neither"),
    ],
)
def test_meta_that_is_no_list_of_architectures(archive: Path, meta: object, message: str) -> None:
    put(archive / "meta.pickle.pbz2", meta)
    with pytest.raises(RunError, match=message):
        Table.open(archive)


def test_a_size_archive_is_told_by_its_strings(archive: Path) -> None:
    put(archive / "meta.pickle.pbz2", {"meta_archs": ["8:8:8:8:8", "8:8:8:8:16"]})
    opened = Archive(archive)
    assert opened.space == "sss"
    assert {"cifar10_valid_1ep_pct", "cifar10_test_90ep_pct"} < set(opened.columns)


def broken(change: Callable[[dict[str, Any]], object]) -> object:
    """A result file with one thing changed in its 200-epoch part, or another object altogether."""
    states = results(0, FIRST)
    other = change(states["200"])
    return states if other is None else other


def change(state: dict[str, Any], **parts: object) -> None:
    """Change parts of one training's results."""
    state["all_results"]["cifar10", 777].update(parts)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (broken(lambda state: [state]), "no dictionary of results"),
        (broken(lambda state: {200: state}), "not a dictionary by number of epochs"),
        (broken(lambda state: {"200": "/etc/hostname"}), "not a dictionary by number of epochs"),
        (results(1, SECOND), "not the results of architecture 0"),
        (broken(lambda state: state.update(get_metrics=1)), "another form"),
        (broken(lambda state: state.update(all_results=3)), "another form"),
        (broken(lambda state: change(state, eval_acc1es={"ori-test@199": "a"})), "another form"),
        (
            broken(lambda state: change(state, eval_acc1es={"ori-test@199": 1e999})),
            "holds no finite",
        ),
        (broken(lambda state: change(state, latency=["a"])), "another form"),
        (broken(lambda state: state.update(dataset_seed={})), "holds no finite 'cifar10_test_200ep_pct'"),
        (broken(lambda state: state.update(all_results={})), "holds no finite 'cifar10_test_200ep_pct'"),
    ],
)
def test_results_of_another_form(archive: Path, content: object, message: str) -> None:
    put(archive / "000000.pickle.pbz2", content)
    with pytest.raises(RunError, match=message) as caught:
        Table.open(archive).value(0, "cifar10_test_200ep_pct")
    assert "000000.pickle.pbz2" in str(caught.value)
    assert "\n" not in str(caught.value)
