"""Fitness expressions: how they are read, and the one number they make of recorded raw scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, inf, log
from random import Random

import pytest

from engine.config import RunConfig
from engine.setup import Setup
from fitness.expression import Expression, Term, parse, split_list
from fitness.penalties import PENALTY_NAMES
from spaces.errors import EngineError, UnknownName, UsageError

MB = 1_000_000


@dataclass(frozen=True)
class Score:
    """A fitness for tests; only its face matters."""

    name: str
    direction: str = "max"
    positive: bool = False
    unit: str = ""
    needs: str = "network"

    def __call__(self, subject: object) -> float:
        raise AssertionError("expressions never compute a score")


SCORES = {
    "trace": Score("trace", positive=True),
    "signed": Score("signed"),
    "cost": Score("cost", "min", positive=True),
    "other": Score("other", positive=True),
}


def make(name: str, options: Mapping[str, object]) -> Score:
    return SCORES[name]


def expression(text: str, budget: int | None = None) -> Expression:
    made = Expression(text, make, budget)  # type: ignore[arg-type]
    if made.needs_reference:
        rng = Random(0)
        made.refer({name: [rng.gauss(1000, 300) for _ in range(256)] for name in SCORES})
    return made


# --- reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("trace", [Term("trace", {})]),
        ("trace()", [Term("trace", {})]),
        ("trace+gdf", [Term("trace", {}), Term("gdf", {})]),
        ("a+b+c", [Term("a", {}), Term("b", {}), Term("c", {})]),
        ("trace(live=true)", [Term("trace", {"live": True})]),
        ("gdf(mu=0.2,sigma=1e-1)", [Term("gdf", {"mu": 0.2, "sigma": 0.1})]),
        ("a(x=3,y=-4,z=word,w=FALSE,v='q')", [Term("a", {"x": 3, "y": -4, "z": "word", "w": False, "v": "q"})]),
        ("table:cifar10_test_200ep_pct+gdf", [Term("table:cifar10_test_200ep_pct", {}), Term("gdf", {})]),
    ],
)
def test_terms_and_options(text: str, terms: list[Term]) -> None:
    assert list(parse(text)) == terms


@pytest.mark.parametrize(
    "text",
    [
        *("", "+", "trace+", "+trace", "trace++gdf", "trace gdf", "trace-gdf", "trace*gdf", "3", "(trace)", "()"),
        *("trace(", "trace(live=true", "trace)", "trace(live)", "trace(=1)", "trace(live=)", "trace(live=1,)"),
        *(
            "trace(1=2)",
            "trace(a=1)(b=2)",
            "trace(a=1)gdf",
            "trace(a=1,a=2)",
            "tr@ce",
            "gdf(mu=nan)",
            "gdf(mu=inf)",
        ),
        *("gdf(mu=-inf)", "gdf(mu=1e999)", "gdf(mu=NaN)", "nan", "trace+nan", "1e5", "trace,gdf", "täglich+"),
    ],
)
def test_malformed_expressions_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(EngineError) as caught:
        Setup(RunConfig(target="none")).expression(text)
    assert isinstance(caught.value, UsageError)
    assert "\n" not in str(caught.value)


def test_messages_show_where_reading_stopped() -> None:
    with pytest.raises(UsageError, match=r"'\*' at position 6; expected '\+' or the end"):
        parse("trace*gdf")
    with pytest.raises(UsageError, match=r"the end at position 16; expected '\)'"):
        parse("trace(live=true")
    with pytest.raises(UsageError, match="option 'mu' is given twice"):
        parse("gdf(mu=1,mu=2)")


def test_blanks_do_not_matter() -> None:
    assert expression(" trace + gdf( mu = 0.1 ) ").value({"trace": 8.0, "params": 0.5 * MB}) == pytest.approx(
        8 * exp(-0.5)
    )


def test_unknown_names_are_answered_with_the_nearest() -> None:
    setup = Setup(RunConfig(target="none"))
    with pytest.raises(UnknownName, match="unknown fitness 'tracee'; did you mean 'trace'"):
        setup.expression("tracee+gdf")
    with pytest.raises(UsageError, match="takes no option 'alive'; its options: live"):
        setup.expression("trace(alive=true)")


def test_a_score_may_be_named_once_and_must_be_there() -> None:
    setup = Setup(RunConfig(target="none"))
    with pytest.raises(UsageError, match="names 'trace' twice"):
        setup.expression("trace+trace")
    with pytest.raises(UsageError, match="names 'trace' twice"):
        setup.expression("trace+trace(live=false)")
    with pytest.raises(UsageError, match="only penalties"):
        setup.expression("gdf+rdf")
    assert setup.expression("trace+trace(live=true)").recorded == ("trace", "trace(live=true)")


@pytest.mark.parametrize("text", ["trace(live=3)", "trace(live=yes)", "trace(live=0.5)", "n_relu(live='x')"])
def test_options_of_the_wrong_kind_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="live"):
        Setup(RunConfig(target="none")).expression(text)


def test_lists_are_split_outside_parentheses() -> None:
    assert split_list("a,b(x=1,y=2),c") == ["a", "b(x=1,y=2)", "c"]
    assert split_list("a") == ["a"]


def test_what_must_be_recorded() -> None:
    assert expression("trace").recorded == ("trace",)
    assert expression("trace+gdf").recorded == ("trace", "params")
    assert expression("trace+gdf+rdf", 262_144).recorded == ("trace", "flash_bytes")
    assert expression("signed+cost+gdf").recorded == ("signed", "cost", "params")


# --- the number -------------------------------------------------------------------------------------


def test_a_lone_score_is_itself_with_its_own_direction() -> None:
    for name, score in SCORES.items():
        assert expression(name).value({name: -3.5}) == expression(name).merit({name: -3.5}) == -3.5
        assert expression(name).direction == score.direction
        assert not expression(name).needs_reference


def test_one_positive_score_times_its_penalties() -> None:
    both = expression("trace+gdf+rdf")
    scores = {"trace": 1000.0, "params": 0.6 * MB}
    factor = exp(-0.5) * 3 * exp(0.5 - 4.5)
    assert not both.needs_reference
    assert both.direction == "max"
    assert both.value(scores) == pytest.approx(1000 * factor)
    assert both.merit(scores) == pytest.approx(log(1000 * factor))
    assert expression("trace+gdf").value({"trace": 7.0, "params": 0.1 * MB}) == 7


def test_a_product_of_nothing_is_nothing_and_worst() -> None:
    product = expression("trace+gdf")
    assert product.value({"trace": 0, "params": 0}) == 0
    assert product.merit({"trace": 0, "params": 0}) == -inf


@pytest.mark.parametrize("text", ["trace+other", "signed+gdf", "cost+gdf", "trace+cost+gdf+rdf"])
def test_everything_else_is_a_sum_of_logarithms(text: str) -> None:
    made = expression(text)
    assert made.needs_reference
    assert made.direction == "max"
    scores = {"trace": 900.0, "other": 1200.0, "signed": 950.0, "cost": 800.0, "params": 0.6 * MB}
    expected = 0.0
    for name in text.split("+"):
        if name in SCORES:
            sign = 1 if SCORES[name].direction == "max" else -1
            expected += made.quantiles[name].log_q(sign * scores[name])
        else:
            expected += {"gdf": -0.5, "rdf": log(3) + 0.5 - 4.5}[name]
    assert made.value(scores) == made.merit(scores) == pytest.approx(expected)


def test_lower_better_scores_are_negated_before_they_are_compared() -> None:
    made = expression("cost+trace")
    assert made.merit({"cost": 500.0, "trace": 1000.0}) > made.merit({"cost": 900.0, "trace": 1000.0})


EVERY = [
    f"{scores}+{penalties}"
    for scores in ("trace", "signed", "cost", "trace+other", "trace+signed+cost")
    for penalties in (*PENALTY_NAMES, "gdf+rdf", "gdf(side=both)", "hsdf(side=both)+rdf")
]


@pytest.mark.parametrize("text", EVERY)
@pytest.mark.parametrize("value", [1e-3, 700.0, 5000.0, 1e9])
def test_doubling_the_size_above_the_transition_lowers_every_expression(text: str, value: float) -> None:
    made = expression(text)
    for size in (0.2 * MB, 0.3 * MB, 5 * MB, 1e4 * MB):
        scores = dict.fromkeys(SCORES, value)
        small, large = (made.merit(scores | {"params": factor * size}) for factor in (1, 2))
        assert large < small


@pytest.mark.parametrize("text", ["signed+gdf", "gdf+signed"])
def test_penalties_lower_negative_scores_too(text: str) -> None:
    made = expression(text)
    small, large = (made.merit({"signed": -1e6, "params": factor * MB}) for factor in (1, 2))
    assert large < small


@pytest.mark.parametrize("text", ["trace+other", "signed+gdf", "trace+signed+cost", "trace+gdf"])
@pytest.mark.parametrize("beyond", [(1900.0, 1901.0), (1e5, 1e5 + 1), (1e7, 1e7 + 10), (1e12, 2e12)])
def test_networks_beyond_the_sample_never_tie(text: str, beyond: tuple[float, float]) -> None:
    made = expression(text)
    rest = {"trace": 1000.0, "other": 1000.0, "signed": 1000.0, "cost": 1000.0, "params": 3e5}
    for name in text.split("+"):
        if name in SCORES:
            sign = 1 if SCORES[name].direction == "max" else -1
            low, high = (made.merit(rest | {name: sign * value}) for value in beyond)
            assert high > low
            low, high = (made.merit(rest | {name: -sign * value}) for value in beyond)
            assert high < low or text == "trace+gdf"


# --- a target ---------------------------------------------------------------------------------------


def test_trace_and_trace_with_gdf_choose_different_networks_under_the_default_target() -> None:
    """One random sample of networks that keep the bounds of mcu-256k; each expression picks its best."""
    setup = Setup(RunConfig(fitness="trace+gdf", target="mcu-256k"))
    evaluate, rng = setup.evaluator, Random(0)
    feasible = [o.scores for o in (evaluate(setup.space.sample(rng)) for _ in range(1500)) if o.status == "ok"]
    assert len(feasible) > 100
    trace, with_gdf = setup.expression("trace"), setup.expression("trace+gdf")
    first = max(feasible, key=trace.merit)
    second = max(feasible, key=with_gdf.merit)
    assert first != second
    assert first["trace"] > second["trace"]
    assert second["flash_bytes"] > first["flash_bytes"], "the penalty asks to use the budget"
