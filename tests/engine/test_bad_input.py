"""What a user gets wrong is answered by one clear line and the right exit code, and leaves runs as they were."""

from __future__ import annotations

import bz2
import pickle
from pathlib import Path
from typing import Any

import pytest

SMALL = ("run", "--strategy=random", "--fitness=trace", "--target=none", "--quiet")
TABLE = "index,arch_str,accuracy_pct\n0,8:8:8:8:8,50\n1,8:8:8:8:16,60\n"


# --- the command line ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("rnu", "unknown command 'rnu'; did you mean 'run'? known: compare, correlate, dashboard, "),
        ("--bogus", "unknown option '--bogus'"),
        ("run --bugdet 5", "unknown option '--bugdet'; did you mean '--budget'?"),
        ("run --budge 5", "unknown option '--budge'; did you mean '--budget'?"),
        ("score 1 --bound a<=1", "unknown option '--bound'"),
        ("run munas", "'munas' is one argument too many"),
        ("front", "required: DIR; see `engine front --help`"),
        ("list", "required: spaces|strategies|fitness|targets|data"),
        ("list spces", "unknown list 'spces'; did you mean 'spaces'?"),
        ("front . --format cvs", "unknown format 'cvs'; did you mean 'csv'?"),
        ("front . --format csv --json", "not allowed with"),
        ("run --budget", "expected one argument"),
        ("run --space muna", "unknown space 'muna'; did you mean 'munas'? known: munas"),
        ("run --space MUNAS", "did you mean 'munas'?"),
        ("run --strategy agin", "unknown strategy 'agin'; did you mean 'aging'? known: aging, "),
        ("run --strategy ''", "unknown strategy ''"),
        ("run --fitness trac", "unknown fitness 'trac'; did you mean 'trace'?"),
        ("run --fitness table", "fitness 'table' names no column; expected table:COLUMN"),
        ("run --objective trace:up", "objective 'trace:up': 'up' is no direction; expected trace:min or trace:max"),
        ("run --objective trace+gdf:", "objective 'trace+gdf:': '' is no direction; expected trace+gdf:min or "),
        ("run --target nucleo-f746", "unknown target 'nucleo-f746'; did you mean 'nucleo-f746zg'?"),
        ("run --bound flash<=3", "unknown fitness 'flash'; did you mean 'flash_bytes'?"),
        ("score 8:8:8:8:8 --space nats-sss --fitness depht", "unknown fitness 'depht'; did you mean 'depth'?"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest_right_one(command: str, says: str, engine: Any) -> None:
    answer = engine(*[word if word != "''" else "" for word in command.split()])
    assert says in answer.complaint
    assert answer.code == 2


@pytest.mark.parametrize("value", ["0", "-1", "1000000000000", "1e12", "abc", "", "1.5", "nan", "9" * 5000])
@pytest.mark.parametrize("option", ["budget", "open", "population", "tournament", "workers"])
def test_a_count_that_is_none_is_refused(option: str, value: str, engine: Any, tmp_path: Path) -> None:
    answer = engine("run", f"--{option}={value}")
    assert option in answer.complaint
    assert "expected a whole number" in answer.complaint
    assert answer.code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", ["-1", "x", "9223372036854775808"])
def test_a_seed_out_of_range_is_refused(seed: str, engine: Any) -> None:
    answer = engine("run", f"--seed={seed}")
    assert "seed" in answer.complaint
    assert "expected a whole number" in answer.complaint


@pytest.mark.parametrize("classes", ["0", "1", "-3", "ten"])
def test_fewer_than_two_classes_are_refused(classes: str, engine: Any) -> None:
    answer = engine(*SMALL, f"--classes={classes}")
    assert "classes" in answer.complaint
    assert "expected a whole number" in answer.complaint
    assert answer.code == 2


@pytest.mark.parametrize(
    "shape", ["32x32", "0x3", "0x0x3", "", "axbxc", "-1x3x3", "1e3x3x3", "200000x3x3", "9" * 9000]
)
def test_an_input_shape_that_is_none_is_refused(shape: str, engine: Any) -> None:
    answer = engine(*SMALL, f"--input-shape={shape}")
    assert f"input shape '{shape[:80]}'; expected HEIGHTxWIDTHxCHANNELS, each from 1 to" in answer.complaint
    assert answer.code == 2


@pytest.mark.parametrize("space", ["munas", "munas-mlp", "nats-tss", "nats-sss"])
@pytest.mark.parametrize("shape", ["1x1x1", "1x1x3", "2x7x1", "100000x100000x100000"])
def test_an_odd_input_shape_works_or_is_refused_by_name(space: str, shape: str, engine: Any) -> None:
    answer = engine(*SMALL, f"--space={space}", f"--input-shape={shape}", "--budget=5", "--bound=bottleneck>=0")
    if answer.code:
        assert f"space {space!r} has no network for input shape {shape}" in answer.complaint
    else:
        assert "5 records: 5 feasible" in answer.out


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "expected a name"),
        ("+", "expected a name"),
        ("trace+", "expected a name"),
        ("trace gdf", "unknown fitness 'tracegdf'"),
        ("trace(live=true", "expected ')'"),
        ("trace(live)", "'live' is not an option; expected name=value"),
        ("trace(live=5)", "live is 5; expected true or false"),
        ("trace(deep=true)", "fitness 'trace' takes no option 'deep'; its options: live"),
        ("trace+trace", "names 'trace' twice"),
        ("gdf", "has only penalties"),
        ("trace+gdf(mu=nan)", "nan is not a number that can be used; expected a finite one"),
        ("trace+gdf(sigma=inf)", "inf is not a number"),
        ("trace+gdf(mu=1e999)", "1e999 is not a number"),
        ("trace+gdf(sigma=0)", "expected mu >= 0 and sigma > 0"),
        ("trace+gdf(mu=x)", "mu=x; expected a finite number"),
        ("trace+gdf(s=1)", "gdf takes no option 's'"),
        (
            "table:accuracy_pct",
            "unknown table column 'accuracy_pct'; known: cifar10_test_24ep_pct, cifar10_test_6ep_pct",
        ),
    ],
)
def test_an_expression_that_means_nothing_is_refused(
    expression: str, says: str, engine: Any, tmp_path: Path
) -> None:
    answer = engine("run", f"--fitness={expression}")
    assert says in answer.complaint
    assert answer.code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        (["params"], "bound 'params'; expected NAME<=NUMBER or NAME>=NUMBER"),
        (["params<5"], "bound 'params<5'; expected NAME<=NUMBER"),
        (["params<=lots"], "the limit is 'lots'; expected a finite number"),
        (["params<=nan"], "the limit is 'nan'; expected a finite number"),
        (["params>=inf"], "the limit is 'inf'; expected a finite number"),
        (["params<=1e999"], "the limit is '1e999'; expected a finite number"),
        (["<=5"], "bound '<=5'"),
        (["trace+params<=5"], "expected a bound on one score"),
        (["gdf<=1"], "expected a bound on one score"),
        (["params>=10", "params<=5"], "bounds params>=10 and params<=5 leave nothing"),
        (["bottleneck<=3"], "bounds bottleneck>=5 and bottleneck<=3 leave nothing"),
        (["flash_bytes>=300000"], "bounds flash_bytes>=300000 and flash_bytes<=262144 leave nothing"),
    ],
)
def test_a_bound_that_means_nothing_is_refused(bounds: list[str], says: str, engine: Any, tmp_path: Path) -> None:
    answer = engine("run", *[f"--bound={bound}" for bound in bounds])
    assert says in answer.complaint
    assert answer.code == 2
    assert not list(tmp_path.iterdir())


def test_bounds_that_no_network_keeps_end_the_run_and_are_named(engine: Any) -> None:
    answer = engine(*SMALL, "--budget=100000", "--bound=params<=100", "--bound=bottleneck>=0")
    assert answer.code == 1
    complaint = answer.err.splitlines()[-1]
    assert "none of 2,000 candidates is feasible: bound params<=100 turned down 2,000" in complaint
    assert "loosen the bound" in complaint


def test_fewer_candidates_than_patience_and_none_feasible_is_a_failed_run(engine: Any) -> None:
    answer = engine(*SMALL, "--space=nats-sss", "--budget=10", "--bound=params<=100", "--out=run")
    assert answer.code == 1
    assert "none of 10 candidates is feasible: bound params<=100 turned down 10" in answer.err
    assert engine("front", "run").out.startswith("no feasible network")
    assert "none of the 10 records is feasible" in engine("score", "run:best").complaint


def test_a_picture_needs_a_file(engine: Any) -> None:
    assert engine(*SMALL, "--budget=5", "--out=run").code == 0
    assert "needs a file to write to; add --out FILE.png" in engine("front", "run", "--format=png").complaint


def test_an_option_that_the_strategy_does_not_take_is_refused(engine: Any, tmp_path: Path) -> None:
    answer = engine(*SMALL, "--population=5")
    assert answer.complaint == "strategy 'random' takes no option 'population'; its options: none"
    assert not list(tmp_path.iterdir())


def test_two_objectives_are_too_many_for_local_search(engine: Any, tmp_path: Path) -> None:
    answer = engine("run", "--strategy=local", "--objective=trace", "--objective=params:min")
    assert "strategy 'local' pursues at most 1 objective, got 2; use nsga2, aging or tpe" in answer.complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("again", ["trace", "trace:min"])
def test_the_same_objective_twice_is_refused(again: str, engine: Any, tmp_path: Path) -> None:
    answer = engine("run", "--strategy=nsga2", "--objective=trace", f"--objective={again}")
    assert answer.complaint == "objective 'trace' is given twice; expected it once, with one direction"
    assert not list(tmp_path.iterdir())


# --- config files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("budgte = 5", "unknown field 'budgte'; did you mean 'budget'?"),
        ("budget = '5'", "budget is '5'; expected a whole number"),
        ("budget = nan", "budget is nan; expected a whole number"),
        ("budget = true", "budget is True; expected a whole number"),
        ("bounds = 'params<=5'", "expected a list of texts"),
        ("bounds = [5]", "expected a list of texts"),
        ("objectives = 5", "expected a list of texts"),
        ("table = 5", "table is 5; expected a list of texts"),
        ("out = []", "out is []; expected text"),
        ("space = {a = 1}", "expected text"),
        ("budget 5", "is not TOML"),
        ("budget = " + "9" * 5000, "is not TOML"),
        ("\x00", "is not TOML"),
    ],
)
def test_a_config_of_other_things_is_refused(content: str, says: str, engine: Any, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(content)
    answer = engine("run", "--config=run.toml")
    assert "config 'run.toml'" in answer.complaint
    assert says in answer.complaint
    assert answer.code == 2


def test_a_config_that_cannot_be_read_is_named(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "'none.toml': No such file" in engine("run", "--config=none.toml").complaint
    assert "Is a directory" in engine("run", "--config=.").complaint
    assert "is not TOML" in engine("run", "--config=bytes.toml").complaint


# --- tables -------------------------------------------------------------------------------------------


class Bomb:
    """What a malicious pickle does when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


def test_a_malicious_pickle_is_refused_and_does_nothing(engine: Any, tmp_path: Path) -> None:
    target = tmp_path / "exploded"
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(Bomb(target))))
    (tmp_path / "plain.pickle").write_bytes(pickle.dumps(Bomb(target)))
    for table in ("archive", "archive/meta.pickle.pbz2", "plain.pickle"):
        for command in (
            [*SMALL[:2], "--fitness=table:cifar10_test_200ep_pct", "--space=nats-tss"],
            ["score", "0", "--space=nats-tss", "--fitness=trace"],
            ["score", "0", "--space=nats-tss", "--fitness=table:cifar10_test_200ep_pct"],
        ):
            answer = engine(*command, f"--table={table}")
            assert table.partition("/")[0] in answer.complaint
            assert not target.exists()
    assert not (tmp_path / "runs").exists()


def test_a_table_that_is_not_there_or_of_another_space_is_named(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    fitness = "--fitness=table:accuracy_pct"
    assert "there is no table" in engine("run", "--space=nats-sss", fitness, "--table=no.csv").complaint
    assert "there is no table" in engine("run", "--space=nats-sss", "--table=no.csv").complaint
    answer = engine("run", "--space=nats-tss", fitness, "--table=table.csv")
    assert "does not hold architectures of space 'nats-tss', e.g. |" in answer.complaint
    assert "it has 8:8:8:8:8" in answer.complaint
    answer = engine("run", "--space=nats-sss", "--fitness=table:acuracy_pct", "--table=table.csv")
    assert "unknown table column 'acuracy_pct'; did you mean 'accuracy_pct'?" in answer.complaint
    assert not (tmp_path / "runs").exists()


# --- score --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{"], "is not JSON"),
        (["[]"], "expected a JSON object of choices"),
        (["[" * 100_000], "is not JSON (maximum recursion depth"),
        (["nonsense"], "is not JSON"),
        ([""], "is not JSON"),
        (["{}"], "choice 'blocks' is missing; expected one of 1..10"),
        (['{"blocks": 1e999}'], "choice 'blocks' is inf"),
        (['{"blocks": []}'], "choice 'blocks' is []"),
        (["3", "--space=munas-mlp"], "index 3 has a meaning in a benchmark table only: there is no benchmark"),
        (["8:8:8:8", "--space=nats-sss"], "expected five widths"),
        (["8:8:8:8:9", "--space=nats-sss"], "choice 'c5' is 9; expected one of 8..64 step 8"),
        (["8:8:8:8:" + "9" * 5000, "--space=nats-sss"], "expected"),
        (["|nor_conv~0|", "--space=nats-tss"], "expected |op~0|+|op~0|op~1|"),
        (["2", "--space=nats-sss", "--table=table.csv"], "architecture index 2 is out of range"),
        (["9" * 5000, "--space=nats-sss", "--table=table.csv"], "expected"),
        (["run:30"], "run/records.jsonl has no record 30; expected one of 0..29"),
        (["run:-1"], "'-1' of run run; expected a record's number, or best"),
        (["run:worst"], "'worst' of run run; expected a record's number, or best"),
        (["run:"], "'' of run run; expected a record's number, or best"),
        (["none:best"], "none is not a run: it is not a folder"),
        (["none:3"], "architecture 'none:3' is not JSON"),
        (["run:3", "--fitness=table:accuracy_pct"], "there is no benchmark table of space"),
        (["run:3", "--fitness=trace,"], "expected a name"),
    ],
)
def test_an_architecture_or_score_that_is_none_is_refused(
    arguments: list[str], says: str, engine: Any, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    answer = engine("score", *arguments)
    assert says in answer.complaint
    assert answer.code == 2


def test_a_score_that_cannot_be_computed_is_a_failure(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE + "2,8:8:8:8:24,\n")
    answer = engine("score", "2", "--space=nats-sss", "--fitness=table:accuracy_pct", "--table=table.csv")
    assert "the cell is empty" in answer.complaint
    assert answer.code == 1
