"""Published files of NDS become rows; damaged ones become one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fitness import figures
from fitness.nds_archive import COLUMNS, read_records
from spaces.errors import RunError, UsageError
from spaces.nds import NdsDarts, NdsEnas

OPEN = NdsDarts(width=0, depth=0)
# What the authors' files hold beside what is read: curves per epoch and iteration, times, memory, the optimiser.
EXTRA = {
    **{"job_id": "a", "rng_seed": 1, "act_mem": 1.5, "exp_mem": 2, "prec_time": 0.1, "iter_time": 0.28},
    **{"train_ep_loss": [float("nan"), 0.006], "train_it_loss": [2.3, 2.2], "train_it_top1": [90.0, 80.1]},
    "optim": {"base_lr": 0.1, "wd": 0.0005, "max_ep": 100},
}


def _record(seed: int, space: NdsDarts = OPEN) -> dict[str, Any]:
    genotype = space.sample(Random(seed))
    net = space.published(genotype) | {"aux": False, "drop_prob": 0.0}
    return EXTRA | {
        "net": net,
        "params": figures.params(space.decode(genotype)),
        "flops": 664_400_586,
        "test_ep_top1": [50.0, 6.63 + seed, 6.73 + seed],
        "min_test_top1": 6.63 + seed,
        "train_ep_top1": [60.0, 3.0, 0.09],
    }


def _written(tmp_path: Path, content: object, name: str = "DARTS.json") -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_rows_are_the_records_in_their_order(tmp_path: Path) -> None:
    records, told = [_record(seed) for seed in range(5)], list[tuple[int, int]]()
    path = _written(tmp_path, records)
    rows = list(read_records(path, OPEN, lambda done, total: told.append((done, total))))
    for seed, (row, record) in enumerate(zip(rows, records, strict=True)):
        genotype = OPEN.parse(row.architecture)
        assert OPEN.published(genotype).items() <= record["net"].items()
        assert tuple(row.numbers) == COLUMNS
        assert row.numbers["cifar10_test_top1_pct"] == pytest.approx(93.27 - seed)
        assert row.numbers["cifar10_best_test_top1_pct"] == pytest.approx(93.37 - seed)
        assert row.numbers["cifar10_train_top1_pct"] == pytest.approx(99.91)
        assert row.numbers["params"] == figures.params(OPEN.decode(genotype))
        assert row.numbers["flops"] == 664_400_586
        assert (row.numbers["width"], row.numbers["depth"]) == (genotype["width"], genotype["depth"])
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {total for _, total in told} == {path.stat().st_size}


def test_files_of_one_width_and_depth_are_read_with_a_space_of_them(tmp_path: Path) -> None:
    space = NdsDarts()
    path = _written(tmp_path, [_record(0, space)], "DARTS_fix-w-d.json")
    (row,) = read_records(path, space)
    assert row.architecture.startswith("w16|d20|normal|")
    assert space.parse(row.architecture) == space.sample(Random(0))


def test_rows_before_a_damage_are_read(tmp_path: Path) -> None:
    text = json.dumps([_record(0), _record(1)])
    rows = read_records(_written(tmp_path, text[: len(text) * 3 // 4]), OPEN)
    assert next(rows).numbers["depth"] > 0
    with pytest.raises(RunError, match="record 1: no JSON"):
        next(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{0} {1}]", "record 0: '{' behind it instead of a comma"),
        ("[{0},,{1}]", "record 1: no JSON"),
        ("[{0},]", "record 1: no JSON"),
        ("[,{0}]", "record 0: no JSON"),
        ("[{0},{1}", "record 1: '' behind it instead of a comma or the end"),
        ("[{0}] garbage", "record 1: ' garbage' behind the end of the list"),
        ("[{0}][{1}]", "record 1: .* behind the end of the list"),
    ],
)
def test_what_is_not_one_list_of_records_is_refused(tmp_path: Path, text: str, message: str) -> None:
    for seed in (0, 1):
        text = text.replace(f"{{{seed}}}", json.dumps(_record(seed)))
    with pytest.raises(RunError, match=rf"DARTS\.json, {message}"):
        list(read_records(_written(tmp_path, text), OPEN))


def test_white_space_may_stand_anywhere(tmp_path: Path) -> None:
    texts = [json.dumps(_record(seed), indent=1) for seed in (0, 1)]
    path = _written(tmp_path, "\n [ " + " \r\n\t, ".join(texts) + " \n] \n")
    assert len(list(read_records(path, OPEN))) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "record 0: not in a list"),
        ("{}", "record 0: not in a list"),
        ("[]", "record 0: no JSON"),
        ("[", "record 0: no JSON"),
        ("[" * 100_000, "record 0: no JSON"),
        ("[" + "9" * 5_000 + "]", "record 0: no JSON"),
        ("[3]", "record 0: no network of cells"),
        ([{"net": {"ds": [1, 2], "ws": [16, 24]}}], "no network of cells"),
        ([{"net": {"genotype": 3, "width": 16, "depth": 20}}], "genotype '3'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(RunError, match=rf"DARTS\.json, {message}.*|DARTS\.json, record 0: .*{message}") as caught:
        list(read_records(_written(tmp_path, content), OPEN))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        *(({"test_ep_top1": []}, "test_ep_top1 is"), ({"test_ep_top1": [1, "2"]}, "test_ep_top1 is")),
        *(({"train_ep_top1": None}, "train_ep_top1 is None"), ({"test_ep_top1": [101.0]}, "not errors in percent")),
        *(({"params": True}, "params is True"), ({"flops": float("nan")}, "flops is nan, not a positive number")),
        *(({"params": -5}, "params is -5, not a positive number"), ({"flops": 0}, "flops is 0")),
        *(({"params": 10**400}, "params is 1000"), ({"net": None}, "no network of cells")),
    ],
)
def test_records_of_another_form_are_named(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    path = _written(tmp_path, [_record(0), _record(1) | changed])
    with pytest.raises(RunError, match=f"record 1: .*{message}|record 1: {message}"):
        list(read_records(path, OPEN))


def test_networks_of_another_space_are_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, [_record(0)])
    with pytest.raises(RunError, match=r"record 0: space 'nds-enas': normal is .*expected 10 pairs"):
        list(read_records(path, NdsEnas(width=0, depth=0)))
    with pytest.raises(RunError, match="record 0: space 'nds-darts': width of the network is"):
        list(read_records(path, NdsDarts(width=17)))


def test_absent_unreadable_and_imagenet_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        list(read_records(tmp_path / "DARTS.json", OPEN))
    with pytest.raises(UsageError, match=r"ImageNet.*such as DARTS\.json"):
        list(read_records(tmp_path / "DARTS_in.json", OPEN))
    (tmp_path / "DARTS.json").write_bytes(b"[\xff]")
    with pytest.raises(RunError, match="not text in UTF-8"):
        list(read_records(tmp_path / "DARTS.json", OPEN))
