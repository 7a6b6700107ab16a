"""`engine table import` and the commands that find what it imported."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fitness.table import Table
from spaces.nats import NatsSss, NatsTss
from spaces.nds import NdsDarts
from tests.fitness.archives import put
from tests.shared_data import DATA, SAMPLE, needs_data, needs_sample

TSS = SAMPLE / "NATS-tss-v1_0-3ffb9-simple"


@pytest.fixture(autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own, outside of the folder that commands run in."""
    folder = tmp_path_factory.mktemp("user") / "data"
    monkeypatch.setenv("NAS_ENGINE_DATA", str(folder))
    return folder


@pytest.fixture
def sizes(tmp_path: Path) -> Path:
    """A CSV table of the whole size space."""
    file = tmp_path / "sizes.csv"
    space = NatsSss()
    names = [space.describe(genotype) for genotype in space.enumerate()]
    lines = [f"{index},{name},{index % 97},{index % 89}\n" for index, name in enumerate(names)]
    file.write_text("index,arch_str,accuracy_pct,chip_latency\n" + "".join(lines))
    return file


# --- found again ------------------------------------------------------------------------------------


def test_an_imported_table_is_found_by_commands_and_named_by_runs(
    engine: Any, sizes: Path, data: Path, records_of: Any, tmp_path: Path
) -> None:
    search = ("run", "--space=nats-sss", "--strategy=random", "--fitness=table:accuracy_pct", "--budget=20")
    refused = engine(*search, "--out=run")
    assert refused.code == 2
    assert "download NATS-sss-v1_0-50262-simple.tar (about 1.1 GB" in refused.complaint
    assert "`engine table import nats-sss NATS-sss-v1_0-50262-simple`" in refused.complaint
    made = json.loads(engine("table", "import", "nats-sss", sizes, "--json").out)
    assert made["path"] == str(data / "tables" / "nats-sss.sizes.csv")
    assert (made["rows"], made["known"], made["columns"]) == (32_768, 32_768, ["accuracy_pct", "chip_latency"])
    assert engine(*search, "--out=run").code == 0
    assert json.loads((tmp_path / "run" / "study.json").read_text())["config"]["table"] == [made["path"]]
    assert engine(*search, f"--table={sizes}", "--out=given").code == 0
    found, given = (
        [{**record, "seconds": 0} for record in records_of(tmp_path / name)] for name in ("run", "given")
    )
    assert found == given
    assert engine("resume", "run", "--budget=25").code == 0
    score = engine("score", "100", "--space=nats-sss", "--fitness=table:accuracy_pct,table:chip_latency")
    assert score.out.splitlines()[1:] == ["table:accuracy_pct   3  %", "table:chip_latency  11  ms"]
    rows = json.loads(engine("list", "tables", "--json").out)
    assert rows[0] == {"space": "nats-sss", "architectures": 32_768, "columns": 2, "about": made["path"]}
    assert "not imported: download NATS-tss" in engine("list", "tables").out


@needs_data
def test_two_tables_of_one_space_are_searched_together(engine: Any, records_of: Any, tmp_path: Path) -> None:
    objectives = ("--objective=table:cifar10_test_200ep_pct", "--objective=table:cifar10_edgegpu_latency")
    tables = [DATA / "nats_tss.csv", DATA / "hw_nats_tss.csv"]
    search = ("run", "--space=nats-tss", "--strategy=random", *objectives, "--budget=50")
    assert engine(*search, *(f"--table={table}" for table in tables), "--out=run").code == 0
    accuracy, latency = (Table.open(table) for table in tables)
    for record in records_of(tmp_path / "run"):
        architecture = NatsTss().describe(NatsTss().parse(json.dumps(record["genotype"])))
        assert record["scores"] == {
            "table:cifar10_test_200ep_pct": accuracy.value(architecture, "cifar10_test_200ep_pct"),
            "table:cifar10_edgegpu_latency": latency.value(architecture, "cifar10_edgegpu_latency"),
        }
    assert engine("front", "run", "--format=csv").out.startswith("number,table:cifar10_test_200ep_pct,table:")
    config = tmp_path / "two.toml"
    config.write_text(f"table = {json.dumps(list(map(str, tables)))}\n")
    assert engine(*search, f"--config={config}", "--out=toml").code == 0
    answer = engine(*search, f"--table={tables[0]}", f"--table={DATA / 'nats_sss.csv'}")
    assert "share no architecture" in answer.complaint


def test_a_run_of_an_earlier_version_names_one_table_or_none(engine: Any, sizes: Path, tmp_path: Path) -> None:
    search = ("run", "--space=nats-sss", "--strategy=random", "--fitness=table:accuracy_pct", "--budget=5")
    assert engine(*search, f"--table={sizes}", "--out=run").code == 0
    study = tmp_path / "run" / "study.json"
    text = json.loads(study.read_text())
    text["config"]["table"] = str(sizes)
    study.write_text(json.dumps(text))
    assert engine("resume", "run", "--budget=8").code == 0
    assert json.loads(study.read_text())["config"]["table"] == [str(sizes)]
    assert engine(*search[:3], "--fitness=params", "--budget=5", "--out=none").code == 0
    study = tmp_path / "none" / "study.json"
    text = json.loads(study.read_text())
    text["config"]["table"] = None
    study.write_text(json.dumps(text))
    assert engine("resume", "none", "--budget=8").code == 0


def test_an_import_names_the_space_on_which_commands_find_its_table(engine: Any, tmp_path: Path) -> None:
    whole, fixed = NdsDarts(width=0, depth=0), NdsDarts()
    names = {"DARTS.json": whole, "DARTS_fix-w-d.json": fixed, "DARTS_lr-wd.json": fixed}
    for name, space in names.items():
        numbers = {"params": 9, "flops": 9, "train_ep_top1": [1.0]}
        (tmp_path / name).write_text(
            json.dumps(
                [
                    {"net": space.published(space.sample(Random(seed))), "test_ep_top1": [1.0 * seed]} | numbers
                    for seed in range(3)
                ]
            )
        )
    first, second, third = (engine("table", "import", "nds-darts", name, "--quiet").out for name in names)
    assert first.endswith("; commands on --space 'nds-darts(width=0,depth=0)' find it there\n")
    assert second.endswith("; commands on --space nds-darts find it there\n")
    assert third.endswith("; name one with --table\n")
    (table,) = (line.split()[5].rstrip(";") for line in first.splitlines() if line.startswith("table of"))
    look_up = ("score", "2", "--fitness=table:cifar10_test_top1_pct", f"--table={table}")
    assert "98" in engine(*look_up, "--space=nds-darts(width=0,depth=0)").out
    for space in ("nds-darts", "nds-darts(width=16,depth=0)"):
        assert (
            "it is a table of --space 'nds-darts(width=0,depth=0)'"
            in engine(*look_up, f"--space={space}").complaint
        )


# --- imports ----------------------------------------------------------------------------------------


@needs_sample
def test_an_import_says_what_it_made(engine: Any, data: Path) -> None:
    answer = engine("table", "import", "nats-tss", TSS, "--partial", "--workers=1", "--quiet")
    assert answer.err == ""
    assert "nats-tss: 15,625 architectures, 35 columns: cifar10_valid_12ep_pct, " in answer.out
    assert "numbers of 3 architectures only, so the published optima were not looked for" in answer.out
    assert f"in {data / 'tables' / 'nats-tss.csv'}; commands on --space nats-tss find it there" in answer.out
    score = engine("score", "284", "--space=nats-tss", "--fitness=table:cifar10_query12_cost_s", "--json")
    assert json.loads(score.out)["scores"] == {"table:cifar10_query12_cost_s": pytest.approx(60.899026, abs=1e-6)}


@pytest.fixture
def slow_archive(tmp_path: Path) -> Path:
    """All networks of the topology space, and results of none."""
    folder = tmp_path / "archive"
    folder.mkdir()
    space = NatsTss()
    put(folder / "meta.pickle.pbz2", {"meta_archs": [space.describe(each) for each in space.enumerate()]})
    return folder


@pytest.mark.slow  # three imports of all networks, two of them in processes of their own
def test_a_stopped_import_goes_on_to_the_same_table(
    spawn: Callable[..., Any], engine: Any, slow_archive: Path, data: Path
) -> None:
    command = ("table", "import", "nats-tss", slow_archive, "--partial", "--quiet")
    table, part = data / "tables" / "nats-tss.csv", data / "tables" / "nats-tss.csv.part"
    held = 0
    for stop, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        process = spawn(*command, "--workers=2")
        until = time.monotonic() + 60
        while not (part.exists() and part.read_bytes().count(b"\n") > held + 100):
            assert time.monotonic() < until
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        process.send_signal(stop)
        _, err = process.communicate(timeout=60)  # which waits for workers too: they hold standard error
        assert process.returncode == code, err
        assert "Traceback" not in err
        if stop == signal.SIGINT:
            assert err == "engine: interrupted; the same command goes on where it was\n"
        held = part.read_bytes().count(b"\n")
        assert 100 < held < 15_625
        assert not table.exists()
    assert engine(*command, "--workers=1").code == 0
    gone_on = table.read_bytes()
    assert engine(*command, "--workers=1").code == 0
    assert table.read_bytes() == gone_on


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["table"], "the following arguments are required: import, SPACE, DIR|FILE"),
        (["table", "export", "nats-tss", "x"], "unknown table command 'export'"),
        (["table", "import", "nats-ts", "x"], "unknown benchmark 'nats-ts'; did you mean 'nats-tss'?"),
        (["table", "import", "nats-tss", "x"], "x is not there; download NATS-tss-v1_0-3ffb9-simple.tar"),
        (["table", "import", "nats-tss", "."], "holds no meta.pickle.pbz2"),
        (["table", "import", "nats-tss", ".", "--workers=0"], "workers is 0; expected a whole number"),
        (["table", "import", "nas-bench-101", "x"], "nasbench_only108.tfrecord (499 MB"),
    ],
)
def test_a_wrong_import_is_refused(arguments: list[str], says: str, engine: Any, data: Path) -> None:
    assert says in engine(*arguments).complaint
    assert not data.exists()
