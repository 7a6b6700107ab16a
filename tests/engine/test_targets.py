"""Board profiles: their numbers follow from what they name, own boards are read, every slip is told in one line."""

from __future__ import annotations

import json
import tomllib
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from engine import search
from engine.config import RunConfig
from engine.results.front import default_objectives
from engine.results.front_plot import axis_of
from engine.setup import Setup
from engine.targets import BOARDS_FILE, TARGETS, find_target
from engine.targets.mlperf_tiny import DENSE_SPEED, FITTED, WORK, speed_of
from fitness.figures import flash_bytes, macs_by_kind, peak_ram_bytes
from fitness.latency import estimated_ms
from fitness.tflite_overhead import arena_bytes, arena_overhead_bytes, tflite_file_bytes
from spaces.errors import UsageError
from tests.fitness.test_mlperf_tiny import MODELS

NETWORKS = {"ic": "resnet8_ic", "kws": "dscnn_kws", "vww": "mobilenetv1_025_vww96", "ad": "autoencoder_ad"}
FITTED_BOARDS = {name: target for name, target in TARGETS.items() if target.mlperf_tiny_ms}
OWN = """
[my-board]
board = "Our sensor"
core = "Cortex-M4F"
clock_mhz = 100
flash_kb = 512
ram_kb = 96
runtime = "TFLM + CMSIS-NN"
mmacs_per_second = { conv = 30, depthwise = 6 }
measured = ["conv"]
rate_source = "our bench"
"""


def own(tmp_path: Path, text: str = OWN) -> str:
    path = tmp_path / "my-board.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


# --- the shipped boards -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_target_leaves_memory_to_a_model_and_says_where_its_numbers_come_from(name: str) -> None:
    target = TARGETS[name]
    assert target.name == name
    flash, ram = ("flash_bytes", "peak_ram_bytes") if name == "mcu-256k" else ("tflite_file_bytes", "arena_bytes")
    assert target.bounds == (f"{flash}<={target.flash_budget_bytes}", f"{ram}<={target.ram_budget_bytes}")
    assert 0 < target.flash_budget_bytes <= target.flash_bytes
    assert 0 < target.ram_budget_bytes <= target.ram_bytes
    assert target.memory_source
    assert target.runtime_source
    if name == "mcu-256k":
        return  # no board: no clock and no speed
    assert target.core
    assert target.runtime
    assert target.speed
    assert target.clock_mhz
    for rate in (target.speed.conv, target.speed.depthwise, target.speed.dense):
        assert rate.source != "not stated"
        per_cycle = rate.macs_per_second / target.clock_mhz / 1e6
        assert 0.01 < per_cycle < 4, "int8 MACs per cycle of a microcontroller"
    assert target.speed.depthwise.macs_per_second < target.speed.conv.macs_per_second


def test_budgets_are_the_devices_less_the_runtimes() -> None:
    """10 kB of RAM and 100 kB of flash are the runtime's and the application's; the generic device has none."""
    budgets = {name: (t.flash_budget_bytes, t.ram_budget_bytes) for name, t in TARGETS.items()}
    assert budgets["mcu-256k"] == (256 * 1024, 64 * 1024)
    assert budgets["nucleo-f446re"] == ((512 - 100) * 1024, (128 - 10) * 1024)
    assert budgets["nucleo-f746zg"] == ((1024 - 100) * 1024, (320 - 10) * 1024)
    assert budgets["nucleo-l412kb"] == ((128 - 100) * 1024, (40 - 10) * 1024)


# --- rates from MLPerf Tiny ----------------------------------------------------------------------------


@pytest.mark.parametrize("benchmark", list(WORK))
def test_the_work_of_the_benchmarks_is_that_of_their_networks(benchmark: str) -> None:
    assert macs_by_kind(MODELS[NETWORKS[benchmark]]()) == WORK[benchmark]


@pytest.mark.parametrize("name", list(FITTED_BOARDS))
def test_rates_are_the_least_squares_of_the_latencies(name: str) -> None:
    """Against numpy's solver on the same equations."""
    import numpy

    target = FITTED_BOARDS[name]
    assert target.speed is not None
    times = dict(target.mlperf_tiny_ms)
    rows = numpy.array([[WORK[b].conv, WORK[b].depthwise] for b in FITTED]) / [[times[b] / 1000] for b in FITTED]
    scale = rows.max()
    expected = scale / numpy.linalg.lstsq(rows / scale, numpy.ones(3), rcond=None)[0]
    found = target.speed.conv.macs_per_second, target.speed.depthwise.macs_per_second
    assert found == pytest.approx(expected, rel=1e-9)
    assert target.speed.conv.measured
    assert target.speed.depthwise.measured
    assert target.speed.dense.measured == ("ad" in times)


def errors(benchmarks: tuple[str, ...]) -> list[float]:
    found = []
    for target in FITTED_BOARDS.values():
        assert target.speed is not None
        for benchmark, ms in target.mlperf_tiny_ms:
            if benchmark in benchmarks:
                estimate = estimated_ms(MODELS[NETWORKS[benchmark]](), rates=target.speed.rates)
                found.append(abs(estimate / ms - 1))
    return found


def test_estimates_are_within_the_stated_error_of_the_published_latencies() -> None:
    """The README's numbers: median 4 %, worst 21 %, over three networks on 19 boards and runtimes."""
    found = errors(FITTED)
    assert len(found) == 3 * 19
    assert 0.03 < median(found) < 0.04
    assert 0.21 < max(found) < 0.22
    assert max(errors(("ad",))) < 1e-9


def test_a_network_that_was_not_fitted_is_estimated_worse() -> None:
    """Rates of ResNet-8 and one mobile network, asked for the other one: median 8 %, worst 46 %."""
    found = []
    for target in FITTED_BOARDS.values():
        times = dict(target.mlperf_tiny_ms)
        conv = times["ic"] / WORK["ic"].conv
        for fitted, asked in (("kws", "vww"), ("vww", "kws")):
            depthwise = (times[fitted] - conv * WORK[fitted].conv) / WORK[fitted].depthwise
            depthwise = depthwise if depthwise >= conv else 4.2 * conv
            estimate = conv * WORK[asked].conv + depthwise * WORK[asked].depthwise
            found.append(abs(estimate / times[asked] - 1))
    assert 0.08 < median(found) < 0.09
    assert 0.45 < max(found) < 0.46


def test_latencies_that_make_depthwise_layers_the_faster_ones_leave_them_to_the_rule() -> None:
    speed = speed_of({"ic": 100.0, "kws": 15.0, "vww": 40.0}, "made up")
    assert speed.conv.macs_per_second == pytest.approx(125_009_920)
    assert speed.depthwise.macs_per_second == pytest.approx(125_009_920 / 4.2)
    assert speed.dense.macs_per_second == pytest.approx(125_009_920 * 0.7)
    assert (speed.conv.measured, speed.depthwise.measured, speed.dense.measured) == (True, False, False)


@pytest.mark.parametrize("times", list(product((1e-6, 1.0, 1e9), repeat=3)))
def test_any_latencies_give_rates(times: tuple[float, ...]) -> None:
    speed = speed_of(dict(zip(FITTED, times, strict=True)), "made up")
    assert 0 < speed.depthwise.macs_per_second <= speed.conv.macs_per_second < 1e20


def test_the_dense_rule_is_the_median_of_the_boards_that_were_measured() -> None:
    ratios = [
        t.speed.dense.macs_per_second / t.speed.conv.macs_per_second
        for t in FITTED_BOARDS.values()
        if t.speed and t.speed.dense.measured
    ]
    assert median(ratios) == pytest.approx(DENSE_SPEED, abs=0.05)


def test_the_f746_of_another_board_has_the_rates_of_the_one_that_was_measured() -> None:
    ours, theirs = TARGETS["nucleo-f746zg"].speed, TARGETS["disco-f746ng"].speed
    assert ours
    assert theirs
    assert list(vars(ours.rates).values()) == pytest.approx(list(vars(theirs.rates).values()), rel=0.001)
    assert not ours.conv.measured


# --- boards of one's own -------------------------------------------------------------------------------


def test_a_board_of_ones_own_bounds_a_search_and_gives_latencies(engine: Any, tmp_path: Path) -> None:
    path = Path(own(tmp_path)).name
    answer = engine("run", f"--target={path}", "--strategy=random", "--objective=latency_ms:min", "--budget=30")
    assert answer.code == 0, answer.err
    assert "target my-board: flash 421,888 B, RAM 88,064 B for the model" in answer.err
    assert "latency_ms" in answer.out


def test_a_board_of_ones_own_may_hold_weights_and_tensors_alone(tmp_path: Path) -> None:
    figures = 'flash_figure = "flash_bytes"\nram_figure = "peak_ram_bytes"\n'
    target = find_target(own(tmp_path, OWN.replace("flash_kb", f"{figures}flash_kb", 1)))
    assert target
    assert target.bounds == ("flash_bytes<=421888", "peak_ram_bytes<=88064")


def test_a_network_whose_weights_fit_and_whose_file_does_not_is_rejected(tmp_path: Path) -> None:
    path = own(tmp_path, OWN.replace("flash_kb = 512", "flash_kb = 108"))
    found = search("munas", "random", fitness="flash_bytes", target=path, budget=60)
    space: Any = Setup(RunConfig()).space
    sizes = [(r.status, space.decode(r.genotype)) for r in found.records]
    fitting = [tflite_file_bytes(network) for status, network in sizes if status == "ok"]
    assert fitting
    assert max(fitting) <= 8 * 1024
    assert [
        n for status, n in sizes if status == "infeasible" and flash_bytes(n) <= 8 * 1024 < tflite_file_bytes(n)
    ]


def test_a_network_whose_tensors_fit_and_whose_arena_does_not_is_rejected(tmp_path: Path) -> None:
    path = own(tmp_path, OWN.replace("ram_kb = 96", "ram_kb = 42"))
    found = search("munas", "random", fitness="flash_bytes", target=path, budget=60)
    space: Any = Setup(RunConfig()).space
    ram = [(r.status, space.decode(r.genotype)) for r in found.records]
    fitting = [peak_ram_bytes(n) + arena_overhead_bytes(n) for status, n in ram if status == "ok"]
    assert fitting
    assert max(fitting) <= 32 * 1024
    rejected = [r.reason or "" for r in found.records if r.status == "infeasible"]
    assert any("arena_bytes" in reason for reason in rejected)
    assert [n for status, n in ram if status == "infeasible" and peak_ram_bytes(n) <= 32 * 1024 < arena_bytes(n)]


def test_a_run_whose_board_has_changed_since_is_told_apart(engine: Any, tmp_path: Path) -> None:
    assert engine("run", "--strategy=random", "--budget=20", "--out=run").code == 0
    study = Path("run/study.json")
    study.write_text(study.read_text(encoding="utf-8").replace('"mcu-256k"', '"esp32"'), encoding="utf-8")
    assert " of the run has no tflite_file_bytes, which runs like it have now" in engine("front", "run").complaint
    assert engine("front", "run", "--objective=trace", "--objective=flash_bytes").code == 0


def test_weights_alone_are_an_objective_of_the_front_beside_the_file_only_if_bounded_by_the_user() -> None:
    def names(**values: Any) -> list[str]:
        setup = Setup(RunConfig(fitness="trace+gdf", **values))
        return [objective.text for objective in default_objectives(setup)]

    assert names(target="esp32") == ["trace", "tflite_file_bytes", "arena_bytes"]
    assert names(target="mcu-256k") == ["trace", "flash_bytes", "peak_ram_bytes"]
    asked = names(target="esp32", bounds=("flash_bytes<=100000",))
    assert asked == ["trace", "flash_bytes", "tflite_file_bytes", "arena_bytes"]
    assert names(target="mcu-256k", bounds=("tflite_file_bytes<=90000",))[1:] == [
        "peak_ram_bytes",
        "tflite_file_bytes",
    ]


def test_gdf_is_centred_on_the_flash_of_a_board_by_the_weights() -> None:
    (penalty,) = Setup(RunConfig(fitness="trace+gdf", target="nucleo-f446re")).expression("trace+gdf").penalties
    assert (penalty.figure, penalty.mu) == ("flash_bytes", 0.421888)


def test_pictures_and_the_hypervolume_know_the_bound_on_the_file() -> None:
    setup = Setup(RunConfig(objectives=("trace", "tflite_file_bytes:min"), target="nucleo-f446re"))
    size = setup.objectives.objectives[1]
    assert setup.objectives.upper_limit(size) == 421_888
    (limit,) = axis_of(size, [1e5, 4e5], setup).limits
    assert (limit.text, limit.inside) == ("nucleo-f446re: tflite_file_bytes ≤ 421,888", True)


def test_a_run_finds_its_board_from_another_folder(engine: Any, tmp_path: Path, monkeypatch: Any) -> None:
    own(tmp_path)
    flags = ("--strategy=random", "--objective=latency_ms:min", "--out=run")
    assert engine("run", "--target=my-board.toml", *flags, "--budget=20").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    answer = engine("resume", "../run", "--budget=25")
    assert answer.code == 0, answer.err
    assert engine("front", "../run").code == 0


def test_what_a_board_of_ones_own_leaves_out_is_estimated(tmp_path: Path) -> None:
    target = find_target(own(tmp_path))
    assert target
    assert target.speed
    assert (target.speed.conv.measured, target.speed.depthwise.measured) == (True, False)
    assert target.speed.conv.macs_per_second == 30e6
    assert target.speed.depthwise.source == "our bench"
    assert target.speed.dense.macs_per_second == pytest.approx(21e6)
    assert target.speed.dense.source == "standard convolution x 0.7"


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_shipped_board_can_be_copied_into_a_file(name: str, tmp_path: Path) -> None:
    text = BOARDS_FILE.read_text(encoding="utf-8")
    block = text[text.index(f"[{name}]\n") :].partition("\n\n")[0]
    assert find_target(own(tmp_path, block)) == TARGETS[name]


@pytest.mark.parametrize(
    ("line", "instead", "complaint"),
    [
        (
            "flash_kb = 512",
            "flash_kb = '512'",
            "flash_kb is '512'; expected kB of 1,024 bytes, a number of at least 1",
        ),
        ("ram_kb = 96", "ram_kb = 0", "ram_kb is 0; expected kB of 1,024 bytes, a number of at least 1"),
        ("ram_kb = 96", "ram_kb = nan", "ram_kb is nan; expected kB"),
        ("ram_kb = 96", "", "lacks ram_kb; every board has board, flash_kb and ram_kb"),
        (
            "clock_mhz = 100",
            "clock_mhz = true",
            "clock_mhz is True; expected a number from 1e-06 to 1e+09, e.g. ",
        ),
        ("clock_mhz = 100", "clock_mhz = inf", "clock_mhz is inf; expected a number from 1e-06 to 1e+09"),
        ("clock_mhz = 100", "clock = 100", "unknown field 'clock'; did you mean 'clock_mhz'?"),
        ('board = "Our sensor"', "board = 3", "board is 3; expected text in quotes"),
        ("conv = 30", "conv = -1", "mmacs_per_second: conv is -1; expected a number from 1e-06 to 1e+09"),
        ("conv = 30", "convs = 30", "mmacs_per_second: unknown field 'convs'; did you mean 'conv'?"),
        ("conv = 30, ", "", "mmacs_per_second lacks conv; expected conv"),
        ("{ conv = 30, depthwise = 6 }", "30", "mmacs_per_second is 30; expected a table, e.g. { conv = 18.6 }"),
        ('["conv"]', '["dense"]', "measured is ['dense']; expected a list of some of conv, depthwise"),
        ('["conv"]', "true", "measured is True; expected a list of some of conv, depthwise"),
        ("mmacs_per_second = { conv = 30, depthwise = 6 }", "", "measured without rates; add mmacs_per_second"),
        (
            "mmacs_per_second = { conv = 30, depthwise = 6 }",
            "mlperf_tiny_ms = { ic = 1, kws = 1, vww = 1 }",
            "measured beside mlperf_tiny_ms, which it follows from; leave one out",
        ),
        (
            'mmacs_per_second = { conv = 30, depthwise = 6 }\nmeasured = ["conv"]',
            "mlperf_tiny_ms = { ic = 1, kws = 1 }",
            "mlperf_tiny_ms lacks vww; expected ic, kws, vww",
        ),
        ("flash_kb = 512", "flash_kb = 64", "take 100 of 64 kB flash, which leaves nothing for a model"),
        ("ram_kb = 96", "ram_kb = 8", "take 10 of 8 kB RAM, which leaves nothing for a model"),
        (
            "[my-board]",
            "",
            "board is 'Our sensor' outside of a table; expected a table that is named for the board",
        ),
        (
            "[my-board]",
            "[other]\nboard = 'x'\nflash_kb = 256\nram_kb = 64\n[my-board]",
            "holds 2 boards (other, my-",
        ),
        ("[my-board]", "[my-board", "is not TOML"),
        (
            "flash_kb = 512",
            "flash_kb = 512\nflash_figure = 'params'",
            "flash_figure is 'params'; expected tflite_file_bytes or flash_bytes",
        ),
        (
            "ram_kb = 96",
            "ram_kb = 96\nram_figure = ['params']",
            "ram_figure is ['params']; expected arena_bytes or peak_ram_bytes",
        ),
        (
            'mmacs_per_second = { conv = 30, depthwise = 6 }\nmeasured = ["conv"]',
            "mlperf_tiny_ms = { ic = 1e-300, kws = 1, vww = 1 }",
            "mlperf_tiny_ms: ic is 1e-300; expected a number from 1e-06 to 1e+09, e.g. 62.9",
        ),
        ("conv = 30", "conv = 1e300", "mmacs_per_second: conv is 1e+300; expected a number from 1e-06 to 1e+09"),
    ],
)
def test_every_slip_in_a_board_is_told_in_one_line(
    line: str, instead: str, complaint: str, tmp_path: Path, engine: Any
) -> None:
    assert line in OWN
    path = own(tmp_path, OWN.replace(line, instead))
    answer = engine("score", "8:16:24:32:64", "--space=nats-sss", "--fitness=macs,gdf", f"--target={path}")
    assert complaint in answer.complaint


def test_a_file_without_boards_or_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds 0 boards"):
        find_target(own(tmp_path, ""))
    with pytest.raises(UsageError, match=r"cannot read target file .*No such file"):
        find_target(str(tmp_path / "absent.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not TOML"):
        find_target(str(tmp_path / "bytes.toml"))


# --- latency in the engine -----------------------------------------------------------------------------


def test_latency_needs_a_board(engine: Any) -> None:
    score = ("score", "8:16:24:32:64", "--space=nats-sss", "--fitness=latency_ms")
    assert "and there is no target; expected a board, e.g. --target nucleo-f746zg" in engine(*score).complaint
    run = ("run", "--objective=latency_ms:min", "--budget=5")
    assert "target 'mcu-256k' has no rates; expected a board" in engine(*run).complaint
    assert (
        "takes no option 'rates'" in engine(*score[:3], "--fitness=latency_ms(rates=3)", "--target=esp32").complaint
    )


def test_latency_is_scored_pursued_and_bounded(engine: Any) -> None:
    answer = engine("score", "8:16:24:32:64", "--space=nats-sss", "--fitness=latency_ms", "--target=nucleo-f746zg")
    assert answer.out.splitlines()[1].split() == ["latency_ms", "103.298", "ms"]
    found = search(
        "munas",
        "random",
        objectives=["latency_ms:min", "trace"],
        bounds=["latency_ms<=50"],
        target="nucleo-f446re",
        budget=40,
    )
    values = [record.scores["latency_ms"] for record in found.records if record.status == "ok"]
    assert values
    assert max(values) <= 50
    assert any(record.status == "infeasible" and "latency_ms" in (record.reason or "") for record in found.records)


def test_the_list_marks_estimates_and_json_gives_sources(engine: Any) -> None:
    lines = {line.split()[0]: line for line in engine("list", "targets").out.splitlines()}
    assert "51.5    ~12.3      ~36.0" in lines["nucleo-f446re"]
    assert set(TARGETS) < set(lines)
    rows = {row["target"]: row for row in json.loads(engine("list", "targets", "--json").out)}
    assert set(rows) == set(TARGETS)
    f446 = rows["nucleo-f446re"]
    assert (f446["flash_budget_bytes"], f446["ram_budget_bytes"]) == (421_888, 120_832)
    assert f446["speed"]["conv"]["measured"]
    assert "tk-king/MicroNas" in f446["speed"]["conv"]["source"]
    assert rows["disco-f746ng"]["mlperf_tiny_ms"] == {"ic": 62.9, "kws": 17.7, "vww": 34.1, "ad": 1.71}
    assert tomllib.loads(BOARDS_FILE.read_text(encoding="utf-8")).keys() == rows.keys()
