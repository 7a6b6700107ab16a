"""MAE random sampling against the authors' program, a loop over samples, and high precision."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from random import Random
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from numpy.typing import NDArray

from fitness.mrs import batched, draws, log_p, mrs, mrs_errors, mrs_mean, mrs_std, score
from fitness.mrs.draws import Draws
from fitness.mrs.stack import Law, stack_of
from fitness.mrs.windows import distinct, windows_of
from fitness.series import SeriesSource, Windows, load_series
from spaces.errors import ScoreFailed, UnknownName, UsageError
from spaces.layers import Dense, Flatten, Op, Recurrent, ReLU, Sigmoid, Tanh
from spaces.network import Network, NetworkBuilder
from spaces.rnn import RnnSpace

SINE = SeriesSource("sine(stop=20)", seed=3, device="cpu")
Array = NDArray[np.float64]
NORMAL: Law = "normal"
Draw = Callable[[tuple[int, ...]], Array]


def network(shape: tuple[int, ...], *ops: Op) -> Network:
    builder = NetworkBuilder(shape)
    node = builder.input
    for op in ops:
        node = builder.add(op, node)
    return builder.build(node)


def stacked(look_back: int, *units: int, last: Op | None = None) -> Network:
    """LSTM layers on one column, one output."""
    layers = [Recurrent("lstm", width, index < len(units) - 1) for index, width in enumerate(units)]
    return network((look_back, 1), *layers, Dense(1), last or Tanh())


def windows(count: int, look_back: int, columns: int, outputs: int) -> Windows:
    random = RandomState(count)
    shape = (count, look_back, columns)
    return Windows(random.uniform(-1, 1, shape).astype("f"), random.uniform(-1, 1, (count, outputs)).astype("f"))


MIXED = {
    "lstm": (stacked(5, 7), windows(18, 5, 1, 1)),
    "deep": (stacked(15, 40, 31, last=Sigmoid()), windows(97, 15, 1, 1)),
    "columns": (
        network((6, 3), Recurrent("lstm", 9, True), Recurrent("gru", 5), Dense(2, bias=False)),
        windows(33, 6, 3, 2),
    ),
    "kinds": (
        network(
            (4, 2),
            *(Recurrent("rnn", 5, True), Recurrent("gru", 6, True), Recurrent("lstm", 7)),
            *(Dense(4), ReLU(), Dense(3), Sigmoid()),
        ),
        windows(50, 4, 2, 3),
    ),
    "one window": (network((3, 1), Recurrent("rnn", 1), Dense(1)), windows(1, 3, 1, 1)),
}


def test_the_authors_program_gives_the_same_errors() -> None:
    """Sine of 20 rows, look-back 2, seed 1234: shared/golden/mrs.json, dlopt @4f7cac9 under Keras 2.15."""
    windows = load_series("sine(stop=10)").windows(2, "test")
    found = mrs_errors(stacked(2, 2, 2), windows, 10, 1234)
    keras = [0.7834713459014893, 0.9959362745285034, 0.8200374245643616, 0.70877605676651, 0.841735303401947]
    keras += [0.6932333707809448, 0.7379970550537109, 0.9800123572349548, 0.8127033710479736, 0.6866685152053833]
    assert found == pytest.approx(keras, abs=1e-6)
    value = log_p(float(found.mean()), float(found.std()), 0.01, 0, 2)
    assert value == pytest.approx(-32.56824322570488, abs=1e-3)


def test_every_golden_case_is_reproduced(mrs_golden: list[dict[str, Any]]) -> None:
    for case in mrs_golden:
        _, *units, _ = case["layers"]
        rows, steps = np.array(case["dataset"]["series"]), case["look_back"]
        seen = np.lib.stride_tricks.sliding_window_view(rows[:-1], steps)[..., None]
        given = Windows(seen.astype("f"), rows[steps:, None].astype("f"))
        last = {"tanh": Tanh(), "sigmoid": Sigmoid()}[case["dense_activation"]]
        found = mrs_errors(stacked(steps, *units, last=last), given, case["num_samples"], case["seed"])
        assert found == pytest.approx(case["mae_samples"], abs=1e-6)
        bounds = case["threshold"], case["truncated_lower"], case["truncated_upper"]
        assert log_p(float(found.mean()), float(found.std()), *bounds) == pytest.approx(case["log_p"], abs=1e-3)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def layer_slowly(op: Op, x: Array, draw: Draw) -> Array:
    """One layer in float64 with weights drawn in Keras' order and layout; (windows, steps, F) or (windows, F)."""
    width = x.shape[-1]
    if isinstance(op, Dense):
        product = x @ draw((width, op.units))
        return product + draw((op.units,)) if op.bias else product
    if not isinstance(op, Recurrent):
        return {Tanh: np.tanh, Sigmoid: sigmoid, ReLU: lambda x: np.maximum(x, 0)}[type(op)](x)
    gates, units = {"lstm": 4, "gru": 3, "rnn": 1}[op.kind], op.units
    kernel, recurrent = draw((width, gates * units)), draw((units, gates * units))
    bias = draw((2, gates * units) if op.kind == "gru" else (1, gates * units))
    state, cell, states = np.zeros((len(x), units)), np.zeros((len(x), units)), []
    for step in range(x.shape[1]):
        entering, product = x[:, step] @ kernel + bias[0], state @ recurrent
        if op.kind == "lstm":
            i, f, c, o = np.split(entering + product, 4, 1)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(c)
            state = sigmoid(o) * np.tanh(cell)
        elif op.kind == "gru":
            (xz, xr, xh), (hz, hr, hh) = np.split(entering, 3, 1), np.split(product + bias[1], 3, 1)
            z = sigmoid(xz + hz)
            state = z * state + (1 - z) * np.tanh(xh + sigmoid(xr + hr) * hh)
        else:
            state = np.tanh(entering + product)
        states.append(state)
    return np.stack(states, 1) if op.sequences else state


def errors_slowly(net: Network, given: Windows, samples: int, draw: Draw) -> list[float]:
    found = []
    for _ in range(samples):
        x = given.inputs.astype(float)
        for op in net.ops[1:]:
            x = layer_slowly(op, x, draw)
        found.append(float(np.abs(x - given.targets).mean()))
    return found


@pytest.mark.parametrize("name", MIXED)
def test_errors_are_those_of_a_loop_over_samples(name: str) -> None:
    net, given = MIXED[name]
    random = RandomState(11)
    slowly = errors_slowly(net, given, 9, lambda shape: 0.7 * random.normal(size=shape).astype("f").astype(float))
    assert mrs_errors(net, given, 9, 11, scale=0.7) == pytest.approx(slowly, abs=1e-10)


def test_other_laws_draw_what_they_say() -> None:
    net, given = MIXED["columns"]
    random = RandomState(5)
    slowly = errors_slowly(net, given, 4, lambda shape: random.uniform(-2, 2, shape))
    assert mrs_errors(net, given, 4, 5, law="uniform", scale=2) == pytest.approx(slowly, abs=1e-6)

    random = RandomState(5)

    def glorot(shape: tuple[int, ...]) -> Array:
        drawn = random.uniform(-1, 1, shape)
        return drawn * (np.sqrt(6 / sum(shape)) if len(shape) == 2 and shape[0] > 2 else 0)  # the rest are biases

    net, given = network((4, 3), Recurrent("gru", 4, True), Recurrent("lstm", 5), Dense(6)), windows(20, 4, 3, 6)
    slowly = errors_slowly(net, given, 4, glorot)
    assert mrs_errors(net, given, 4, 5, law="glorot") == pytest.approx(slowly, abs=1e-6)


def errors(
    net: Network, given: Windows, samples: int, block: int = 0, threads: int = 1, single: bool = False
) -> list[float]:
    seen, law = distinct(given.inputs, given.targets), NORMAL
    options: dict[str, Any] = {"block": block, "threads": threads, "single": single}
    drawn = Draws(0, law, keep=False)
    return list(map(float, batched.errors(stack_of(net), seen, drawn, samples, law=law, scale=1.0, **options)))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("name", MIXED)
def test_errors_are_equal_in_every_bit_for_every_block_and_number_of_threads(name: str, single: bool) -> None:
    net, given = MIXED[name]
    whole = errors(net, given, 13, single=single)
    assert [errors(net, given, 13, block, single=single) == whole for block in (1, 2, 5, 12)] == [True] * 4
    assert errors(net, given, 13, threads=2, single=single) == whole
    assert errors(net, given, 13, block=2, threads=3, single=single) == whole
    assert errors(net, given, 5, single=single) == whole[:5]
    assert whole == pytest.approx(errors(net, given, 13), abs=2e-6)


@pytest.mark.parametrize(("wide", "expected"), [(450, ["fused"] * 3), (600, ["lstm", "fused", "lstm"])])
def test_wide_layers_in_single_precision_are_torchs_own_and_say_the_same(
    wide: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [Recurrent("lstm", units, True) for units in (9, 12, 9)]
    net, given = network((4, 3), *layers, Recurrent("gru", 12), Dense(2)), windows(50, 4, 3, 2)
    exact, ours = errors(net, given, 7), errors(net, given, 7, single=True)
    monkeypatch.setattr(batched, "_WIDE", wide)
    assert batched._ways(stack_of(net), 50, True) == [*expected, "gru", "dense"]
    assert errors(net, given, 7, single=True) == pytest.approx(exact, abs=2e-6)
    assert errors(net, given, 7, single=True) != ours
    assert errors(net, given, 7) == exact


def test_little_memory_makes_smaller_blocks_and_none_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = MIXED["deep"]
    whole, sizes, make = errors(net, given, 13), [], batched._forecasts

    def watched(stack: Any, ways: Any, drawn: torch.Tensor, *rest: Any) -> torch.Tensor:
        sizes.append(len(drawn))
        return make(stack, ways, drawn, *rest)

    monkeypatch.setattr(batched, "_forecasts", watched)
    monkeypatch.setattr(batched, "available_bytes", lambda: 20_000_000)
    assert errors(net, given, 13) == whole
    assert 1 < len(sizes) < 13
    monkeypatch.setattr(batched, "available_bytes", lambda: 100_000)
    with pytest.raises(ScoreFailed, match=r"one sample of the weights .* bytes, 100,000 are available"):
        mrs_errors(net, given, 13)


def test_many_windows_are_run_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = MIXED["kinds"]
    whole = errors(net, given, 5)
    monkeypatch.setattr(batched, "_WINDOWS", 7)
    assert errors(net, given, 5) == pytest.approx(whole, abs=1e-7)


def test_equal_windows_are_run_once_and_change_nothing() -> None:
    given = load_series("sine").windows(4, "train")
    merged = distinct(given.inputs, given.targets)
    assert (len(given), len(merged.inputs), len(merged.targets)) == (636, 10, 636)
    assert np.abs(merged.inputs[merged.places] - given.inputs).max() < 1e-7
    random = RandomState(2)
    slowly = errors_slowly(stacked(4, 6), given, 3, lambda shape: random.normal(0, 1, shape))
    assert mrs_errors(stacked(4, 6), given, 3, 2) == pytest.approx(slowly, abs=1e-6)
    assert len(distinct(given.inputs, given.targets, merge=False).inputs) == 636


def test_windows_that_differ_in_what_a_network_can_see_are_not_merged() -> None:
    """One spacing of float32 is a share of a window's own numbers, column by column."""
    random = RandomState(1)
    seen, targets = random.uniform(-1, 1, (40, 3, 2)).astype("f"), np.zeros((41, 1), "f")
    outlier = np.concatenate([seen, np.full((1, 3, 2), 1e6, "f")])
    assert len(distinct(outlier, targets).inputs) == 41
    scaled = seen * np.array([1e6, 1e-6], "f")
    scaled[:, :, 0] = scaled[0, :, 0]  # they differ in the small column only
    again = distinct(np.concatenate([scaled, scaled]), np.zeros((80, 1), "f"))
    assert again.places.tolist() == [*range(40)] * 2
    doubled = np.concatenate([seen[:1], 2 * seen[:1], -seen[:1], 0 * seen[:1], -0.0 * seen[:1]])
    assert distinct(doubled, targets[:5]).places.tolist() == [0, 1, 2, 3, 3]


def test_draws_are_numpys_however_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = RandomState(8).normal(size=9000).astype("f")
    monkeypatch.setattr(draws, "KEPT", 5000)
    monkeypatch.setattr(draws, "_LEAST", 64)
    draws._prefix.cache_clear()
    for keep in (True, False, True):
        stream = Draws(8, "normal", keep=keep)
        assert stream.growth(9000) == (0 if draws._prefix.cache_info().hits or not keep else 4 * 5000)
        taken = [stream.take(count) for count in (1, 999, 3500, 1, 1499, 3000)]
        assert np.concatenate(taken).tolist() == numbers.tolist()
    draws._prefix.cache_clear()
    assert Draws(2**32 + 8, "normal", keep=False).take(5).tolist() == numbers[:5].tolist()


def test_networks_share_draws_or_have_their_own_whatever_ran_before() -> None:
    first, second = stacked(2, 3), stacked(2, 4)
    for common in (True, False):
        score_of = mrs(samples=5, common=common, series=SINE)
        score._moments.cache_clear()
        alone = score_of(second)
        score._moments.cache_clear()
        score_of(first)
        assert score_of(second) == alone
    given = SINE.open().windows(2, "train")
    expected = mrs_errors(second, given, 5, SINE.seed)
    assert mrs_mean(samples=5, series=SINE)(second) == expected.mean()
    assert mrs_std(samples=5, series=SINE)(second) == expected.std()
    own = mrs_mean(samples=5, common=False, series=SINE)
    assert len({own(second), own(first), mrs_mean(samples=5, series=SINE)(second)}) == 3


def test_the_three_scores_of_a_network_cost_one_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, make = [], batched.errors

    def counted(*given: Any, **options: Any) -> Array:
        calls.append(given)
        return make(*given, **options)

    monkeypatch.setattr(batched, "errors", counted)
    score._moments.cache_clear()
    net = stacked(3, 2)
    value, mean, std = (make_score(samples=6, series=SINE)(net) for make_score in (mrs, mrs_mean, mrs_std))
    assert len(calls) == 1
    assert value == log_p(mean, std, 0.01, 0, 2)  # the sine's errors are at most 2
    mrs(samples=6, scale=2, series=SINE)(net)
    assert len(calls) == 2


def test_names_say_the_options_that_are_not_the_defaults() -> None:
    assert mrs(series=SINE).name == "mrs"
    made = mrs(samples=30, threshold=0.1, common=False, split="test", series=SINE)
    assert made.name == "mrs(samples=30,split=test,common=false,threshold=0.1)"
    assert mrs_std(law="uniform").name == "mrs_std(law=uniform)"
    assert pickle.loads(pickle.dumps(made)) == made
    assert (mrs_mean().direction, mrs_std().direction, mrs().direction) == ("min", "max", "max")


def test_wrong_options_are_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"samples is 1; expected a whole number from 2"):
        mrs(samples=1)
    with pytest.raises(UnknownName, match=r"law of mrs 'normall'; did you mean 'normal'"):
        mrs(law="normall")
    with pytest.raises(UnknownName, match=r"part of a series 'tran'; did you mean 'train'"):
        mrs_mean(split="tran")
    with pytest.raises(UsageError, match=r"scale is 0; expected a number above 0"):
        mrs_std(scale=0)
    with pytest.raises(UsageError, match=r"threshold is 3; .* above lower=0 and below upper=1"):
        mrs(threshold=3, upper=1)
    with pytest.raises(UsageError, match=r"below upper=2"):
        mrs(threshold=3, series=SINE)(stacked(2, 2))
    with pytest.raises(UsageError, match=r"mrs without a series; name one, e.g. --space rnn --data sine"):
        mrs()(stacked(2, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 2.5}, "samples is 2.5; expected a whole number from 2"),
        ({"samples": "10"}, "samples is '10'; expected a whole number from 2"),
        ({"samples": True}, "samples is True; expected a whole number from 2"),
        ({"threshold": "a"}, "threshold is 'a'; expected a finite number"),
        ({"scale": "a"}, "scale is 'a'; expected a finite number"),
        ({"scale": np.nan}, "scale is nan; expected a finite number"),
        ({"lower": -np.inf}, "lower is -inf; expected a finite number"),
        ({"upper": np.inf}, "upper is inf; expected a finite number"),
        ({"common": "no"}, "common is 'no'; expected true or false"),
        ({"single": 1}, "single is 1; expected true or false"),
        ({"split": 3}, "unknown part of a series '3'; known: all"),
        ({"law": None}, "unknown law of mrs 'None'"),
    ],
)
def test_options_of_another_kind_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^(mrs: )?{message}[^\n]*$"):
        mrs(**options)


def test_a_whole_number_is_the_same_option() -> None:
    assert mrs(scale=2, upper=3).name == mrs(scale=2.0, upper=3.0).name == "mrs(scale=2.0,upper=3.0)"


OTHERS = {
    "Flatten": network((2, 3), Flatten(), Dense(1)),
    "a Tanh between": network((2, 3), Recurrent("lstm", 4, True), Tanh(), Recurrent("lstm", 4), Dense(1)),
    "no dense layer": network((2, 3), Recurrent("lstm", 4)),
    "a vector": network((3,), Dense(4), ReLU(), Dense(1)),
    "two activations": network((2, 3), Recurrent("lstm", 4), Dense(1), Tanh(), Sigmoid()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(UsageError, match=r"MRS of a network with .*; expected Input\(\(L, F\)\), recurrent layers"):
        stack_of(OTHERS[name])


def test_a_series_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"reads 3 columns and forecasts 2; the series has 1 and 1"):
        mrs(series=SINE)(MIXED["columns"][0])
    with pytest.raises(UsageError, match=r"windows of shape \(18, 5, 1\); expected \(windows, 6, columns\)"):
        mrs_errors(stacked(6, 2), MIXED["lstm"][1])
    with pytest.raises(UsageError, match="look-back"):
        mrs(split="validation", series=SINE)(stacked(100, 2))


def test_errors_without_a_spread_have_no_score() -> None:
    with pytest.raises(ScoreFailed, match=r"all 5 samples of the weights have the same error"):
        mrs(samples=5, scale=1e-30, series=SINE)(stacked(2, 3))
    endless = network((2, 1), Recurrent("lstm", 3), *[Dense(2)] * 12, Dense(1))
    with pytest.raises(ScoreFailed, match=r"5 of 5 errors are inf or nan"):
        mrs(samples=5, scale=1e30, series=SINE)(endless)


def test_wide_networks_of_many_columns_are_scored_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    space = RnnSpace(preset="waste", min_layers=2, max_layers=2, min_units=60, max_units=60, max_look_back=2)
    net, given = space.decode(space.sample(Random(0))), windows(20, 2, 217, 217)
    counts, make = [], batched._block

    def watched(*arguments: Any) -> int:
        counts.append(make(*arguments))
        return counts[-1]

    monkeypatch.setattr(batched, "_block", watched)
    monkeypatch.setattr(batched, "_WORKED_ON", {"cpu": 2**40})  # of the memory alone
    # At the least: a layer's weights in float64, and what it reads and the gates of a step.
    one = 8 * (4 * 60 * (217 + 60 + 1) + 20 * (3 * (217 + 60 + 1) + 4 * 60))
    for memory in (20_000_000, 40_000_000, 80_000_000):
        monkeypatch.setattr(batched, "available_bytes", lambda memory=memory: memory)
        assert np.isfinite(mrs_errors(net, given, 30)).all()
        assert memory / 40 < counts[-1] * one <= memory / 2
    assert counts == sorted(set(counts))


@pytest.mark.gpu
def test_a_gpu_gives_the_same_within_rounding() -> None:
    for net, given in MIXED.values():
        assert mrs_errors(net, given, 9, 1, device="cuda") == pytest.approx(mrs_errors(net, given, 9, 1), abs=1e-5)


def test_windows_are_read_once_per_look_back() -> None:
    assert windows_of(SINE, "train", 3) is windows_of(SINE, "train", 3)


@pytest.mark.parametrize("law", get_args(Law))
def test_a_larger_scale_is_another_prior(law: Law) -> None:
    net, given = MIXED["lstm"]
    assert mrs_errors(net, given, 3, law=law, scale=2).tolist() != mrs_errors(net, given, 3, law=law).tolist()
