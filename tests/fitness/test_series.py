"""Time series: what is read, how it is cut, scaled and named, and what is refused."""

from __future__ import annotations

import math
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitness.series import SERIES, SeriesSource, SeriesText, is_series, load_series, persistence
from spaces.errors import MissingExtra, RunError, UnknownName, UsageError


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """Writes a text file and names it as a source of data."""

    def write(content: str | bytes, options: str = "") -> str:
        path = tmp_path / "series.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return f"csv{options}:{path}"

    return write


def test_the_sine_is_that_of_the_papers() -> None:
    series = load_series("sine")
    assert (len(series), series.features, series.outputs, series.error_bound) == (1000, 1, 1, 2.0)
    assert series.targets[:, 0].tolist() == pytest.approx([math.sin(2 * math.pi * i / 10) for i in range(1000)])
    assert series.parts == {"train": range(640), "validation": range(640, 800), "test": range(800, 1000)}
    assert [load_series(f"sine(stop={stop})").inputs.shape[0] for stop in (1, 5.5, 10)] == [10, 55, 100]


def test_test_windows_are_those_that_the_authors_program_saw(mrs_golden: list[dict[str, Any]]) -> None:
    series = load_series("sine(stop=10)")
    for case in mrs_golden:
        windows = series.windows(case["look_back"], "test")
        assert len(windows) == case["dataset"]["n_windows"]
        assert series.targets[80:, 0].tolist() == pytest.approx(case["dataset"]["series"], abs=1e-15)
        assert np.allclose(windows.targets[:, 0], np.ravel(case["target"]), atol=1e-7)


@pytest.mark.parametrize("part", ["train", "validation", "test", "learning", "all"])
@pytest.mark.parametrize("look_back", [1, 2, 9])
def test_windows_are_the_rows_before_their_target_and_stay_in_their_part(
    part: str, look_back: int, file: Any
) -> None:
    rows = "".join(f"{row},{row * row % 17}\n" for row in range(100))
    series = load_series(file(rows, "(column=0+1,target=1,scale=none)"))
    windows = series.windows(look_back, part)
    ends = {"train": (0, 64), "validation": (64, 80), "test": (80, 100), "learning": (0, 80), "all": (0, 100)}[part]
    targets = range(ends[0] + look_back, ends[1])
    assert windows.inputs.tolist() == [
        [[row, row * row % 17] for row in range(target - look_back, target)] for target in targets
    ]
    assert windows.targets.tolist() == [[target * target % 17] for target in targets]
    assert windows.inputs.dtype == windows.targets.dtype == np.float32
    by_hand = [abs(row * row % 17 - (row - 1) ** 2 % 17) for row in targets]
    assert persistence(series, part, look_back) == pytest.approx(sum(by_hand) / len(by_hand))


def test_a_part_with_too_few_rows_for_the_look_back_says_how_many_it_needs() -> None:
    series = load_series("sine(stop=10)")
    assert len(series.windows(15, "validation")) == 1
    with pytest.raises(UsageError, match=r"the validation part of .* has 16 rows, and look-back 16 needs 17"):
        series.windows(16, "validation")
    with pytest.raises(UsageError, match="look-back 0; expected 1 row or more"):
        persistence(series, "test", 0)
    with pytest.raises(UnknownName, match="did you mean 'train'"):
        series.windows(2, "trian")


@pytest.mark.parametrize(
    ("scale", "first", "last", "bound"),
    [("minmax", -1, 1, 2), ("unit", 0, 1, 1), ("standard", -1.5 / 1.25**0.5, 1.5 / 1.25**0.5, 100)],
)
def test_scaling_is_fitted_on_training_rows_only_and_undone(
    scale: str, first: float, last: float, bound: float, file: Any
) -> None:
    series = load_series(file("2\n3\n4\n5\n90\n80\n70\n60\n", f"(scale={scale},split=0.75,validation=0.33)"))
    assert series.parts["train"] == range(4)
    assert series.inputs[0, 0] == pytest.approx(first)
    assert series.inputs[3, 0] == pytest.approx(last), "what comes later lies beyond"
    assert series.inputs[4:].min() > 5
    assert series.scaling.undo(series.targets)[:, 0].tolist() == pytest.approx([2, 3, 4, 5, 90, 80, 70, 60])
    assert series.error_bound == bound


def test_errors_of_unscaled_columns_are_bounded_by_what_an_output_in_one_can_miss(file: Any) -> None:
    assert load_series(file("1\n2\n-7\n2\n" * 4, "(scale=none)")).error_bound == 8
    assert load_series(file("1\n2\n-7\n2\n" * 4 + "99\n", "(scale=none)")).error_bound == 8, "of training rows"


def test_columns_are_chosen_by_name_or_index_with_and_without_a_header(file: Any) -> None:
    rows = "2020-01-01;1;10\n2020-01-02;2;30\n" + "2020-01-03;3;20\n" * 8
    named = load_series(
        file('day;"T (degC)";load, MW\n' + rows, '(column="T (degC)"+2,target="load, MW",scale=none)')
    )
    assert named.names == ("T (degC)", "load, MW")
    assert named.target_names == ("load, MW",)
    bare = load_series(file("\n" + rows, "(column=1+2,target=2,scale=none)"))
    assert bare.names == ("1", "2")
    assert bare.inputs.tolist() == named.inputs.tolist() == [[1, 10], [2, 30], *[[3, 20]] * 8]
    assert bare.targets.tolist() == [[row[1]] for row in bare.inputs.tolist()]
    only = load_series(file("a,b,\n" + "1,2,x\n" * 20, "(column=b,target=a,scale=none)"))
    assert (only.names, only.target_names) == (("b",), ("a",))
    for content in (
        "\ufeffa,b\n" + "1,2\n" * 20 + "\n \n",
        "\na,b,\n" + "1,2,\n" * 20,
        "a,b\n1,2,\n" + "1,2\n" * 19,
    ):
        every = load_series(file(content, "(scale=none)"))
        assert every.names == every.target_names == ("a", "b")
        assert every.inputs.tolist() == [[1, 2]] * 20


ROWS = "day,load,temp\n" + "".join(f"d{row},{row % 4},{row % 3}\n" for row in range(20))


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ("", "", "is empty; expected one row"),
        ("\n \n", "", "is empty"),
        (b"\xef\xbb\xbfa\n1\n\xff\n", "", "is not UTF-8 text: byte 8 of the file is 0xff; save it as UTF-8"),
        (ROWS, "(column=laod)", "unknown column 'laod'; did you mean 'load'"),
        (ROWS, "(column=3)", "unknown column '3' of .*; columns are counted from 0 to 2: day, load, temp"),
        (ROWS, "(column=-1)", "unknown column '-1' of .*; columns are counted from 0 to 2"),
        (ROWS, "(column=load+1)", "column 'load' .* is named twice"),
        (ROWS, "", "column 'day' in line 2 of .* is 'd0'; expected a number: .* or choose columns of numbers"),
        (ROWS + "x,,1\n", "(column=load)", "column 'load' in line 22 .* is empty; .* fill the gap, or cut"),
        (ROWS + "x\n", "(column=load)", "line 22 .* has 1 cell, the header 3; expected as many in every line"),
        ("1,2\n0,13,0,38\n" * 9, "", "line 2 of .* has 4 cells, the first row 2; .* write decimals with a point"),
        ("a\n1\n2\n\n3\n" + "4\n5\n" * 9, "", "column 'a' in line 4 .* is empty; expected a number: fill the gap"),
        ('a\n1\n2\n""\n' + "4\n5\n" * 9, "", "column 'a' in line 4 .* is empty; expected a number: fill the gap"),
        (
            "a,b\n1,2\n,\n" + "4,6\n5,7\n" * 9,
            "",
            "column 'a' in line 3 .* is empty; expected a number: fill the gap",
        ),
        (
            "a,b\n1,2\n\n" + "4,6\n5,7\n" * 9,
            "",
            "column 'a' in line 3 .* is empty; expected a number: fill the gap",
        ),
        ("1\n2\n3\n,\n", "", "column '0' in line 4 .* is empty"),
        ("a\nNA\n" + "1\n2\n" * 9, "", "column 'a' in line 2 of .* is 'NA'; expected a number: fill gaps"),
        ("day,a\n-,MW\n" + "0,1\n1,2\n" * 9, "(column=a)", "'a' in line 2 .* is 'MW'; .* remove lines that are no"),
        ("a\n1_0\n" + "1\n2\n" * 9, "", "line 2 of .* is '1_0'; expected a number"),
        ("a\tb\n" + "1\t2\n" * 9, "", "delimit cells by , or ; and not by tabs"),
        ("a;b\n0,1;2\n" + "1;2\n" * 9, "", "column 'a' in line 2 .* is '0,1'; .* write decimals with a point"),
        ("0,1;2,3\n" + "1,5;2\n" * 9, "", "column '0' in line 1 .* is '0,1'; .* write decimals with a point"),
        ("a,b\n", "", "has a header and nothing below it"),
        (ROWS + "x,nan,1\n", "(column=load)", "line 22 .* is nan; .* fill the gap, or cut"),
        (ROWS + "x,-inf,1\n", "(column=load)", "is -inf"),
        ("a;b\n" + '"1,5";2\n' * 9, "", "is '1,5'; expected a number: write decimals with a point"),
        ("a,b\n" + "3,1\n3,2\n" * 9, "", "column 'a' of .* is 3 in all 11 training rows and cannot be scaled"),
        ("a,b\n" + "3,1e200\n4,2\n" * 9, "(scale=none)", "holds values up to 1e\\+200"),
        ("a,a\n" + "3,1\n4,2\n" * 9, "(column=a)", "2 columns of .* are called 'a'; expected an index, 0 to 1"),
        ("1\n2\n3\n", "", "has 3 rows, .* of them for .*; expected at least 2 in every part"),
        (ROWS, "(column=load,split=1.5)", "split is 1.5; expected a share of the rows between 0 and 1"),
        (ROWS, "(column=load,split=0.9x)", "split is '0.9x'; expected a number"),
        (ROWS, "(column=load,validation=0)", "validation is 0; expected a share"),
        (ROWS, "(column=load,scale=max)", "unknown scale 'max'; did you mean 'minmax'"),
        (ROWS, "(colum=load)", "unknown option of csv 'colum'; did you mean 'column'"),
        (ROWS, "(column=load,column=temp)", "has the option 'column' twice"),
        (ROWS, "(column=load,)", "cannot be read at 'column=load,'"),
        (ROWS, "(load)", "cannot be read at 'load'"),
    ],
)
def test_files_that_make_no_series_are_told_in_one_line_with_the_remedy(
    content: str | bytes, options: str, says: str, file: Any
) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        load_series(file(content, options))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sinus", "unknown time series 'sinus'; did you mean 'sine'"),
        ("csv", "lacks its path; expected csv:FILE"),
        ("sine:x", "has a path too many; expected just 'sine'"),
        ("sine(column=0)", "unknown option of sine 'column'"),
        ("sine(step=0)", "step 0; expected numbers above 0"),
        ("sine(step=1e-12)", "expected at most 10,000,000: a larger step"),
        ("sine(stop=-1)", "has 0 rows"),
    ],
)
def test_texts_that_name_no_series_are_told(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_series(text)


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none.csv cannot be read: No such file"):
        load_series(f"csv:{tmp_path / 'none.csv'}")


@pytest.mark.parametrize(
    "text",
    [
        "sine",
        "sine(frequency=2.5,stop=7)",
        "sunspots(split=0.7,validation=0.1,scale=standard)",
        'csv(column="a ""b"", (c)"+load,target=load):/a (b)/c:d.csv',
    ],
)
def test_a_text_says_what_it_was_read_from(text: str) -> None:
    parsed = SeriesText.parse(text)
    assert SeriesText.parse(str(parsed)) == parsed
    assert is_series(text)
    assert SeriesText.parse("sine(split=0.8)") == SeriesText.parse(" sine ")
    assert not any(map(is_series, ("noise", "digits", "npz:sine", "folder:csv", "auto")))
    assert all(map(is_series, SERIES))


def test_a_file_that_has_changed_is_told_by_its_digest(file: Any) -> None:
    path = file("1\n2\n" * 9).partition(":")[2]
    digest = load_series(f"csv:{path}").digest
    kept = f"csv(digest={digest}):{path}"
    assert load_series(kept).digest == digest
    file("1\n2\n" * 8 + "1\n3\n")
    with pytest.raises(RunError, match=r"series\.csv has changed since it was first read"):
        load_series(kept)


def test_a_file_is_parsed_once_for_all_who_ask_until_it_changes(file: Any) -> None:
    text = file("1\n2\n" * 9)
    first = load_series(text)
    kept = load_series(f"csv(digest={first.digest}):{text.partition(':')[2]}")
    assert kept.inputs is first.inputs
    assert kept.source != first.source == text
    file("1\n3\n" * 9)  # as long, and perhaps in the same instant
    assert load_series(text).digest != first.digest
    with pytest.raises(ValueError, match="read-only"):
        first.inputs[0] = 3


def test_real_series_have_no_gaps() -> None:
    pytest.importorskip("statsmodels", reason="the extra series is not installed; the test extra brings it")
    spots = load_series("sunspots(scale=none)")
    assert (len(spots), spots.inputs[0, 0], spots.inputs[-1, 0], spots.inputs.max()) == (309, 5.0, 2.9, 190.2)
    co2 = load_series("co2(scale=none)")
    assert (len(co2), co2.inputs[0, 0], co2.inputs[-1, 0]) == (2284, 316.1, 371.5)
    assert np.isfinite(co2.inputs).all()
    from statsmodels.datasets import co2 as dataset

    known = dataset.load_pandas().data["co2"]
    assert known.isna().sum() == 59
    assert co2.inputs[:, 0].tolist() == pytest.approx(known.interpolate(method="time").tolist())


def test_without_statsmodels_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.datasets", None)
    for name in ("sunspots", "co2"):
        with pytest.raises(MissingExtra, match=r"statsmodels.*nas-engine\[series\]"):
            load_series(name)


def test_a_source_goes_to_other_processes_and_is_read_once_in_each() -> None:
    source = SeriesSource("sine(stop=10)", seed=3)
    sent = pickle.loads(pickle.dumps(source))
    assert sent == source
    assert sent.open() is source.open()
