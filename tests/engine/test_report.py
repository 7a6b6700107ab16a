"""`engine report`: one page that needs nothing else and says what the records say."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine import cli
from engine.commands.options import given
from engine.config import RunConfig, load_config
from engine.results.report.diagram import boxes_of, draw_network
from engine.results.report.layout import lay_out
from engine.results.report.markup import Markup, tag
from engine.results.report.reproduce import command_of, toml_of
from spaces import SPACES
from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, Flatten, Recurrent, ReLU, Sigmoid
from spaces.network import Network, NetworkBuilder

SPACE_PARTS = {"input_shape": (32, 32, 3), "num_classes": 10}


class Page(HTMLParser):
    """Checks that every element is closed, and collects elements and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def board(engine: Any, tmp_path: Path) -> Path:
    """A small run of munas under its default target, four objectives."""
    flags = ("--strategy=random", "--budget=80", "--seed=3", "--quiet", "--out=board")
    assert engine("run", *flags, "--bound=macs<=200000000").code == 0
    return tmp_path / "board"


def test_the_page_says_what_the_records_say(engine: Any, board: Path, records_of: Any) -> None:
    answer = engine("report", "board")
    front = json.loads(engine("front", "board", "--json").out)["front"]
    assert answer.out.startswith(f"report of 80 records, front of {len(front)}, written to board/report.html (")
    text = (board / "report.html").read_text()
    page = Page(text)
    assert not re.findall(r"(?:src|href)=|@import|url\(", text), "nothing is loaded"
    rows = [dict(attributes)["data-n"] for name, attributes in page.elements if name == "tr" and attributes]
    assert rows == [str(row["number"]) for row in front]
    dots = [attributes for name, attributes in page.elements if name == "circle" and "data-n" in attributes]
    assert len(dots) == 6 * len(front), "six pairs of four objectives"
    assert sum(attributes.get("class") == "knee" for _, attributes in page.elements) == 6
    records = records_of(board)
    counted = [
        str(sum(record["status"] == status for record in records)) for status in ("ok", "infeasible", "failed")
    ]
    numbers = re.findall(r"<b>([\d,]+)</b><span>(feasible|rejected|failed)", text)
    assert [number for number, _ in numbers] == counted
    shown = "".join(page.text)
    assert "mcu-256k: flash_bytes ≤ 262,144" in shown
    assert "trace" in shown
    for name, attributes in page.elements:
        assert name != "svg" or attributes["role"] == "img"
    assert text.count("<svg") == len(re.findall("<svg[^>]*><title>[^<]", text)), "every drawing has a title"


def test_other_objectives_and_another_file_may_be_asked_for(engine: Any, board: Path, tmp_path: Path) -> None:
    flags = ("--objective=macs:min", "--objective=bottleneck:max", "--out=page.html")
    assert engine("report", "board", *flags).out.endswith("open it in a browser\n")
    shown = "".join(Page((tmp_path / "page.html").read_text()).text)
    assert "Over macs:min, bottleneck:max." in shown
    assert "engine front board --objective macs:min --objective bottleneck:max" in shown
    assert "unknown recorded score 'depth'" in engine("report", "board", "--objective=depth").complaint
    assert "no folder 'nowhere'" in engine("report", "board", "--out=nowhere/page.html").complaint
    assert "is not a run" in engine("report", "nowhere").complaint


def test_one_objective_has_a_page_without_plots_of_pairs(engine: Any, board: Path) -> None:
    assert engine("report", "board", "--objective=trace").code == 0
    assert "One objective has one best network" in "".join(Page((board / "report.html").read_text()).text)


def test_the_course_is_of_volumes_that_compare_between_runs(engine: Any, board: Path) -> None:
    assert engine("report", "board").code == 0
    shown = "".join(Page((board / "report.html").read_text()).text)
    assert "compares with runs of the same objectives and bounds" in shown
    assert "of the box from there to this run's best (" in shown
    assert "hypervolume after each record, at last" in shown


def test_accuracies_of_trained_networks_are_in_the_table(engine: Any, board: Path) -> None:
    lines = (board / "records.jsonl").read_text().splitlines()
    number = json.loads(engine("front", "board", "--json").out)["front"][0]["number"]
    record = json.loads(lines[number])
    trained = record | {"number": 0, "parent": number, "scores": record["scores"] | {"int8_test_accuracy": 71.25}}
    (board / "trained.jsonl").write_text(json.dumps(trained, separators=(",", ":")) + "\n")
    assert engine("report", "board").code == 0
    text = (board / "report.html").read_text()
    row = re.search(rf'<tr data-n="{number}">.*?</tr>', text)
    assert "int8_test_accuracy</th>" in text
    assert row is not None
    assert "<td>71.25</td>" in row[0]


def test_a_run_without_a_feasible_network_has_a_page_too(engine: Any, tmp_path: Path) -> None:
    engine("run", "--budget=5", "--bound=flash_bytes<=1", "--quiet", "--out=none")
    assert engine("report", "none").code == 0
    shown = "".join(Page((tmp_path / "none" / "report.html").read_text()).text)
    assert "No record is feasible" in shown
    assert "bound flash_bytes<=1 (" in shown


def test_the_page_of_a_run_that_forecasts_speaks_of_its_series(engine: Any, tmp_path: Path) -> None:
    flags = ("--strategy=random", "--budget=6", "--quiet", "--out=run", "--data=sine(split=0.7)")
    objectives = ("--objective=params:min", "--objective=step_macs:max")
    assert engine("run", "--space=rnn(max_units=9,cell=gru)", *flags, *objectives).code == 0
    line = json.loads((tmp_path / "run" / "records.jsonl").read_text().splitlines()[0])
    member = json.loads(engine("front", "run", "--json").out)["front"][0]["number"]
    errors = {"test_mae": 0.125, "persistence_mae": 0.375}
    trained = line | {"number": 0, "parent": member, "scores": line["scores"] | errors}
    (tmp_path / "run" / "trained.jsonl").write_text(json.dumps(trained, separators=(",", ":")) + "\n")
    assert engine("report", "run").code == 0
    text = (tmp_path / "run" / "report.html").read_text()
    shown = "".join(Page(text).text)
    assert "rnn(max_units=9,cell=gru,features=1,outputs=1), 1 column in, 1 column foretold" in shown
    assert "seriessine(split=0.7)strategy" in shown
    assert "Errors are of networks that were trained" in shown
    row = re.search(rf'<tr data-n="{member}">.*?</tr>', text)
    assert row is not None
    assert "<td>0.375</td><td>0.125</td>" in row[0]
    legend = re.search(r'<p class="legend">.*?</p>', text)
    assert legend is not None
    assert "".join(Page(legend[0]).text).split() == ["dense", "recurrent"], "what no drawing shows is not explained"
    assert not re.search(r"images|classes|[Aa]ccurac|pixel", text.partition("<body>")[2]), "there are none"


def test_names_cannot_become_markup() -> None:
    evil = "<script>alert('&')</script>"
    made = tag("p", evil, tag("b", "x"), data_n=evil)
    assert "<script" not in made
    page = Page(made)
    assert page.elements == [("p", {"data-n": evil}), ("b", {})]
    assert page.text == [evil, "x"]
    assert isinstance(made, Markup)


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        RunConfig(
            objectives=("trace", 'table:a"b:min'), bounds=("macs<=5",), seed=7, table=("/t<b>.csv", "/u v.csv")
        ),
        RunConfig(space="nats-tss(channels=3,cells=1)", population=50, simulated_seconds=120.5, rank="naswot"),
        RunConfig(space="munas", table=("/m.csv",), within_table=True, fitness="table:accuracy"),
        RunConfig(space="rnn(cell=gru,features=2,outputs=1)", data='csv(column="T (°C)"+load,split=0.7):/a b.csv'),
    ],
)
def test_what_makes_a_run_again_is_read_back_as_its_config(config: RunConfig, tmp_path: Path) -> None:
    assert RunConfig.from_dict(tomllib.loads(toml_of(config)), "test") == config
    words = shlex.split(command_of(config))
    assert words[:2] == ["engine", "run"]
    parser, _ = cli._parser("run")
    options = parser.parse_args(words[1:])
    assert replace(load_config(None, given(options)), out=None) == config


def branches(count: int) -> Network:
    """Ten ways from the image, each of another length, joined."""
    net = NetworkBuilder((3, 8, 8))
    ends = []
    for branch in range(count):
        x = net.input
        for _ in range(1 + branch % 4):
            x = net.add(ReLU(), net.add(BatchNorm(), net.add(Conv(4, (3, 3), padding=(1, 1)), x)))
        ends.append(x)
    x = net.add(Concat(), *ends)
    return net.build(net.add(Dense(10), net.add(Flatten(), x)))


def some_networks() -> list[Network]:
    made = [branches(10), branches(2)]
    for name in ("munas", "nats-tss", "nas-bench-101"):
        space = SPACES.create(name, {}, SPACE_PARTS)
        made += [space.decode(space.sample(Random(seed))) for seed in range(3)]
    return made


def test_boxes_lie_apart_below_their_inputs_and_lines_pass_between_them() -> None:
    for network in some_networks():
        boxes = boxes_of(network)
        assert sorted(index for nodes in boxes for index in nodes) == [*range(len(network))]
        box_of = {index: box for box, nodes in enumerate(boxes) for index in nodes}
        inputs = [[box_of[source] for source in network.inputs[nodes[0]]] for nodes in boxes]
        for nodes in boxes:
            assert all(network.inputs[after] == (before,) for before, after in pairwise(nodes))
        sizes = [(60.0 + 7 * (box % 5), 20.0 + 14 * len(nodes)) for box, nodes in enumerate(boxes)]
        layout = lay_out(sizes, inputs)
        frames = [
            (x - width / 2, y, x + width / 2, y + height)
            for (x, y), (width, height) in zip(layout.boxes, sizes, strict=True)
        ]
        for box, (left, top, right, bottom) in enumerate(frames):
            assert left >= -1e-6
            assert top >= 0
            assert right <= layout.width + 1e-6
            assert bottom <= layout.height + 1e-6
            assert all(frames[source][3] < top for source in inputs[box])
            for other in frames[:box]:
                assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
        for box, lines in enumerate(layout.lines):
            for source, line in zip(inputs[box], lines, strict=True):
                assert line[0] == pytest.approx((layout.boxes[source][0], frames[source][3]))
                assert line[-1] == layout.boxes[box]
                for (x, top), (_, bottom) in zip(
                    line[1:-1:2], line[2:-1:2], strict=True
                ):  # straight through a layer
                    for frame in frames:
                        assert not (frame[0] < x < frame[2] and frame[1] < bottom and top < frame[3])


def test_a_drawing_names_every_operation_and_shape() -> None:
    net = NetworkBuilder((3, 8, 8))
    stem = net.add(Conv(4, (3, 3), (2, 2), padding=(1, 1)), net.input)
    side = net.add(ReLU(), net.add(BatchNorm(), net.add(Conv(4, (3, 3), padding=(1, 1), groups=4), stem)))
    network = net.build(net.add(Dense(10), net.add(Flatten(), net.add(Add(), stem, side))))
    page = Page(draw_network(network, "a <small> one"))
    assert [name for name, _ in page.elements].count("rect") == 6
    expected = {"Input", "3×8×8", "Conv 3×3 /2, 4", "4×4×4", "Depthwise 3×3", "BatchNorm", "ReLU", "Add", "Flatten",
                "64", "Dense 10", "10", "a <small> one"}  # fmt: skip
    assert expected <= set(page.text)


def test_a_drawing_of_recurrent_layers_says_which_hand_on_every_step() -> None:
    net = NetworkBuilder((7, 3))
    x = net.add(Recurrent("gru", 4, True), net.input)
    network = net.build(net.add(Sigmoid(), net.add(Dense(2), net.add(Recurrent("lstm", 5), x))))
    page = Page(draw_network(network, "a forecast"))
    assert [name for name, _ in page.elements].count("rect") == 4, "the sigmoid shares the box of the dense layer"
    shown = [text for text in page.text if "(" not in text]
    assert shown[1:] == "Input|7×3|GRU 4, every step|7×4|LSTM 5|5|Dense 2|Sigmoid|2".split("|")


def test_a_network_too_large_for_a_drawing_is_named_so() -> None:
    net = NetworkBuilder((3, 8, 8))
    x = net.input
    for _ in range(301):
        x = net.add(Conv(3, (1, 1)), x)
    assert "302 operations: too many for a drawing" in draw_network(net.build(x), "long")
