"""Benchmark tables and archives: right numbers from real files, clear refusals of everything else."""

from __future__ import annotations

import bz2
import csv
import os
import pickle
import random
import struct
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from fitness.archive import Archive, read_architectures
from fitness.pickle_check import LARGEST_PICKLE_BYTES, check_pickle
from fitness.table import Table
from spaces.errors import EngineError, RunError, UnknownName, UntrustedFile, UsageError

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
SAMPLE = DATA / "nats_official_sample"
TSS = SAMPLE / "NATS-tss-v1_0-3ffb9-simple"
SSS = SAMPLE / "NATS-sss-v1_0-50262-simple"
ENTRIES = (0, 11, 284)  # the results that the sample holds

needs_tables = pytest.mark.skipif(not DATA.is_dir(), reason=f"no benchmark tables at {DATA}")
needs_sample = pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"no sample archives at {SAMPLE}")

FIRST, SECOND, THIRD = (f"|{op}~0|+|none~0|none~1|+|none~0|none~1|none~2|" for op in ("a", "b", "c_3x3"))


# --- real tables ------------------------------------------------------------------------------------


@needs_tables
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


@needs_tables
def test_a_column_agrees_with_the_csv_module() -> None:
    with (DATA / "hw_nats_tss.csv").open(newline="") as file:
        rows = {int(row["index"]): row for row in csv.DictReader(file)}
    table = Table.open(DATA / "hw_nats_tss.csv")
    for column in table.columns:
        assert list(table.column(column)) == [float(rows[index][column]) for index in range(len(rows))]


@needs_tables
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
    accuracies = [column for column in archive.columns if column.endswith("ep_pct")]
    assert len(accuracies) == 7 * (2 if archive.space == "tss" else 3)
    for index in ENTRIES:
        for column in accuracies:
            name, epochs, _ = column.rsplit("_", 2)
            dataset, key = answers[name]
            info = api.get_more_info(index, dataset, hp=f"{int(epochs[:-2]):02d}", is_random=False)
            assert archive.accuracy(index, column) == info[key]
        costs = api.get_cost_info(index, "cifar100", hp=str(api.full_train_epochs))
        assert archive.accuracy(index, "params_cifar100_M_api") == costs["params"]
        assert archive.accuracy(index, "macs_cifar100_M_api") == costs["flops"]
        assert archive.accuracy(index, "latency_cifar100_s_api") == costs["latency"]


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


def trial(accuracy: float, epochs: int, splits: tuple[str, ...]) -> dict[str, Any]:
    """One training in the official form."""
    return {
        "name": "…",
        "net_state_dict": None,
        "train_acc1es": {epochs - 1: 99.0},
        "train_losses": {epochs - 1: 0.1},
        "train_times": OrderedDict((epoch, 2.0) for epoch in range(epochs)),
        "params": numpy.float64(0.5),
        "flop": 7.0,
        "seed": "0777",
        "epochs": epochs,
        "latency": [numpy.float64(0.25)],
        "eval_names": list(splits),
        "eval_acc1es": {f"{split}@{epochs - 1}": accuracy + at for at, split in enumerate(splits)},
        "eval_losses": {f"{split}@{epochs - 1}": 0.1 for split in splits},
        "eval_times": {},
    }


def results(index: int, architecture: str) -> OrderedDict[str, dict[str, Any]]:
    """A result file of the topology space in the official form: two seeds, ten apart, after 200 epochs."""
    states: OrderedDict[str, dict[str, Any]] = OrderedDict()
    for epochs, seeds in ((12, (111,)), (200, (777, 888))):
        trials = {}
        for seed in seeds:
            accuracy = 60.0 + 10 * (seed == 888) + index
            trials["cifar10-valid", seed] = trial(accuracy, epochs, ("x-valid", "ori-test"))
            trials["cifar10", seed] = trial(accuracy + 5, epochs, ("ori-test",))
            trials["cifar100", seed] = trial(accuracy - 30, epochs, ("x-valid", "x-test", "ori-test"))
        names = {name for name, _ in trials}
        states[str(epochs)] = {
            "arch_index": index,
            "arch_str": architecture,
            "all_results": trials,
            "dataset_seed": {name: sorted(seeds) for name in sorted(names)},
            "clear_net_done": True,
        }
    return states


def put(file: Path, content: object) -> None:
    """Write pickle bytes, or pickle an object as the authors did, compressed."""
    file.write_bytes(bz2.compress(content if isinstance(content, bytes) else pickle.dumps(content, 4)))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A small archive in the official form: three architectures, results of the first two."""
    folder = tmp_path / "archive"
    folder.mkdir()
    put(folder / "meta.pickle.pbz2", {"meta_archs": [FIRST, SECOND, THIRD], "evaluated_indexes": set()})
    for index, architecture in enumerate((FIRST, SECOND)):
        put(folder / f"{index:06d}.pickle.pbz2", results(index, architecture))
    return folder


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


# --- pickles that do more than hold data ------------------------------------------------------------


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        """Take the function and its arguments."""
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        """The call."""
        return self.reduced


def text(value: str) -> bytes:
    """The opcode SHORT_BINUNICODE with its string."""
    return b"\x8c" + struct.pack("<B", len(value.encode())) + value.encode()


def touch(marker: Path) -> str:
    return f"echo >{marker}"


#: Each does its worst when it is unpickled: run a shell command that writes a file.
ATTACKS: dict[str, Callable[[Path], bytes]] = {
    "global": lambda marker: b"cposix\nsystem\n(V" + touch(marker).encode() + b"\ntR.",
    "stack global": lambda marker: pickle.dumps(Call(os.system, touch(marker)), 4),
    "names out of the memo": lambda marker: (
        b"\x80\x04](" + text("system") + b"\x94" + text("posix") + b"\x94e"
        b"(h\x01h\x00\x93" + text(touch(marker)) + b"\x85Re."
    ),
    "memo slot written twice": lambda marker: (
        b"\x80\x04" + text("collections") + b"q\x00" + text("OrderedDict") + b"q\x01\x93q\x02"
        + text("posix") + b"q\x00" + text("system") + b"q\x01"
        + b"h\x00h\x01\x93" + text(touch(marker)) + b"\x85R."
    ),
    "names behind a dup and pops": lambda marker: (
        b"\x80\x04" + text("posix") + b"2" + text("numpy") + b"00" + text("system") + b"\x93"
        + text(touch(marker)) + b"\x85R."
    ),
    "names out of a popped tuple": lambda marker: (
        b"\x80\x04" + text("posix") + b"\x94" + text("system") + b"\x94\x86\x94"
        + b"h\x00h\x01\x93" + text(touch(marker)) + b"\x85R."
    ),
    "eval": lambda marker: pickle.dumps(Call(eval, f"open({str(marker)!r}, 'w').close()"), 4),
    "inst": lambda marker: b"(V" + touch(marker).encode() + b"\niposix\nsystem\n.",
    "obj": lambda marker: b"(cposix\nsystem\nV" + touch(marker).encode() + b"\no.",
    "pickle inside a pickle": lambda marker: pickle.dumps(
        Call(pickle.loads, pickle.dumps(Call(os.system, touch(marker)), 4)), 4
    ),
    "deep inside good data": lambda marker: pickle.dumps(
        {"12": OrderedDict(x=[(numpy.float64(1), {1: Call(os.system, touch(marker))})])}, 4
    ),
    "a long way behind": lambda marker: pickle.dumps([list(range(9_000)), Call(os.system, touch(marker))], 4),
    "protocol 0": lambda marker: pickle.dumps(Call(os.system, touch(marker)), 0),
    "protocol 2": lambda marker: pickle.dumps(Call(os.system, touch(marker)), 2),
    "protocol 5": lambda marker: pickle.dumps(Call(os.system, touch(marker)), 5),
}  # fmt: skip


@pytest.mark.parametrize("place", ["meta", "000000"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_before_they_run(archive: Path, tmp_path: Path, attack: str, place: str) -> None:
    marker = tmp_path / "marker"
    payload = ATTACKS[attack](marker)
    pickle.loads(payload)
    assert marker.exists(), "the attack itself must work, or its refusal shows nothing"
    marker.unlink()

    file = archive / f"{place}.pickle.pbz2"
    put(file, payload)
    with pytest.raises(UntrustedFile) as caught:
        check_pickle(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UntrustedFile):
        Table.open(archive).value(0, "cifar10_test_200ep_pct")
    assert not marker.exists()


def test_the_offending_name_is_named(archive: Path, tmp_path: Path) -> None:
    file = archive / "meta.pickle.pbz2"
    for attack, name in (
        ("global", "posix.system"),
        ("stack global", "posix.system"),
        ("names out of the memo", "posix.system"),
        ("pickle inside a pickle", "_pickle.loads"),
        ("eval", "builtins.eval"),
    ):
        put(file, ATTACKS[attack](tmp_path / "marker"))
        with pytest.raises(UntrustedFile, match=f"names '{name}'.*expected only plain data"):
            read_architectures(archive)


def test_results_that_name_a_further_pickle(archive: Path, tmp_path: Path) -> None:
    """nats_bench itself takes a string in place of results for a path and unpickles that file."""
    marker = tmp_path / "marker"
    other = tmp_path / "other.pickle.pbz2"
    put(other, ATTACKS["stack global"](marker))
    put(archive / "000000.pickle.pbz2", OrderedDict({"12": str(other), "200": str(other)}))
    with pytest.raises(RunError, match="not a dictionary"):
        Table.open(archive).value(0, "cifar10_test_200ep_pct")
    assert not marker.exists()


DTYPE = text("numpy") + text("dtype") + b"\x93"
SCALAR = text("numpy._core.multiarray") + text("scalar") + b"\x93"
FLOAT64 = DTYPE + text("f8") + b"\x89\x88\x87R"
EMPTY_ORDERED = text("collections") + text("OrderedDict") + b"\x93)R"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x82\x01", id="extension code"),
        pytest.param(b"Pname\n", id="persistent id"),
        pytest.param(text("name") + b"Q", id="binary persistent id"),
        pytest.param(text("collections") + text("OrderedDict.fromkeys") + b"\x93", id="dotted name"),
        pytest.param(text("numpy") + text("ndarray") + b"\x93", id="other numpy name"),
        pytest.param(b"]" + text("OrderedDict") + b"\x93", id="module is no string"),
        pytest.param(b"K\x01K\x02\x93", id="numbers for names"),
        pytest.param(DTYPE, id="callable as data"),
        pytest.param(b"]" + DTYPE + b"a", id="callable in a list"),
        pytest.param(DTYPE + b"\x85", id="callable in a tuple"),
        pytest.param(DTYPE + text("O") + b"\x89\x88\x87R", id="dtype of objects"),
        pytest.param(DTYPE + text("V16") + b"\x89\x88\x87R", id="dtype of records"),
        pytest.param(DTYPE + text("f8") + b"\x85R", id="dtype with other arguments"),
        pytest.param(FLOAT64 + b"(K\x03\x8c\x01<NNNJ" + b"\xff" * 4 + b"J" + b"\xff" * 4 + b"K\x3ftb", id="flags"),
        pytest.param(FLOAT64 + b"}b", id="dtype state"),
        pytest.param(EMPTY_ORDERED + b"}b", id="state of a dictionary"),
        pytest.param(SCALAR + FLOAT64 + b"C\x04abcd\x86R", id="scalar of too few bytes"),
        pytest.param(SCALAR + FLOAT64 + b"]\x86R", id="scalar of an object"),
        pytest.param(text("collections") + text("OrderedDict") + b"\x93]\x85R", id="dictionary of arguments"),
        pytest.param(text("collections") + text("OrderedDict") + b"\x93)\x81", id="newobj"),
        pytest.param(b"K\x01)R", id="call of a number"),
        pytest.param(b"K\x01K\x02a", id="append to a number"),
        pytest.param(b"])K\x01s", id="key in a list"),
        pytest.param(b"}))\x86)\x86K\x01s", id="nested tuple as key"),
        pytest.param(b"\x96" + struct.pack("<Q", 3) + b"abc", id="bytearray"),
        pytest.param(b"Nr\xff\xff\xff\x7f", id="memo slot of two billion"),
        pytest.param(b"S'\\G'\n", id="text with a bad escape"),
    ],
)
def test_other_pickles_than_official_ones_are_refused(tmp_path: Path, body: bytes) -> None:
    put(tmp_path / "meta.pickle.pbz2", b"\x80\x05" + body + b".")
    with pytest.raises(UntrustedFile):
        check_pickle(tmp_path / "meta.pickle.pbz2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "damaged", id="empty"),
        pytest.param(b"index,arch_str\n", "damaged: Invalid data stream", id="no bz2"),
        pytest.param(bz2.compress(pickle.dumps([1] * 900, 4))[:-9], "damaged: Compressed file ended", id="cut bz2"),
        pytest.param(bz2.compress(b""), "damaged", id="nothing compressed"),
        pytest.param(bz2.compress(pickle.dumps([1, 2], 4)[:-3]), "damaged", id="cut pickle"),
        pytest.param(bz2.compress(pickle.dumps([1, 2], 4) + b"more"), "left over", id="something behind the end"),
        pytest.param(bz2.compress(b"\x80\x04K\x01K\x02."), "left over", id="two values"),
        pytest.param(bz2.compress(b"\x80\x04(K\x02."), "left over", id="open mark"),
        pytest.param(bz2.compress(b"\x80\x04K\x01\x86."), "stack is empty", id="stack underflow"),
        pytest.param(bz2.compress(b"\x80\x04K\x01(\x94."), "stack is empty", id="behind a mark"),
        pytest.param(bz2.compress(b"\x80\x04t."), "damaged", id="no mark"),
        pytest.param(bz2.compress(b"\x80\x04h\x07."), "damaged", id="no such memo"),
        pytest.param(bz2.compress(b"\x80\x04\xfe."), "damaged", id="no such opcode"),
        pytest.param(bz2.compress(b"\x80\x04\x8c\x02\xff\xff."), "damaged", id="no utf-8"),
        pytest.param(bz2.compress(b"\x80\x04}(K\x01u."), "a key without a value", id="odd items"),
        pytest.param(bz2.compress(b"\x80\x63N."), "unsupported pickle protocol", id="protocol 99"),
        pytest.param(bz2.compress(bytes(LARGEST_PICKLE_BYTES + 1)), "unpacks to more than", id="bomb"),
    ],
)
def test_damaged_pickles(archive: Path, content: bytes, message: str) -> None:
    for name in ("000000", "meta"):
        file = archive / f"{name}.pickle.pbz2"
        file.write_bytes(content)
        with pytest.raises(RunError, match=message) as caught:
            Table.open(archive).value(0, "cifar10_test_200ep_pct")
        assert type(caught.value) is RunError
        assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_and_missing_files_in_place_of_pickles(archive: Path) -> None:
    for name in ("000000", "meta"):
        file = archive / f"{name}.pickle.pbz2"
        file.unlink()
        file.mkdir()
        with pytest.raises(RunError, match="is not a file"):
            Table.open(archive).value(0, "cifar10_test_200ep_pct")
    with pytest.raises(RunError, match="is not a file"):
        check_pickle(archive / "absent")


def test_random_damage_never_gives_another_error(archive: Path) -> None:
    """Bytes of a result pickle are overwritten, dropped and repeated; only our own errors may come out."""
    generator = random.Random(0)
    whole = pickle.dumps(results(0, FIRST), 4)
    opened = Archive(archive)
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            at = generator.randrange(len(damaged))
            length = generator.choice((1, 1, 1, 2, 9))
            damaged[at : at + length] = generator.randbytes(generator.choice((length, length, 0, 2 * length)))
        put(opened.result_file(0), bytes(damaged))
        try:
            Archive.accuracy(opened, 0, "cifar10_test_200ep_pct")
        except EngineError:
            refused += 1
        opened._numbers.clear()
    assert refused > 100


@needs_sample
def test_official_files_pass() -> None:
    files = sorted(SAMPLE.glob("*/*.pickle.pbz2"))
    assert len(files) == 8
    for file in files:
        check_pickle(file)
