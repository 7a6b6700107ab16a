"""The pruning search: its rounds, its ranking against a second implementation, what it leaves in a run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.api import Result, resume, search
from engine.config import RunConfig
from engine.records import Record
from engine.setup import Setup
from engine.strategies.base import Exhausted, Waiting
from engine.strategies.prune import Pruning, best_losses, relative_changes
from spaces.errors import RunError, UsageError
from spaces.nats import EDGES, OPERATIONS, NatsTss
from spaces.space import Genotype

TINY = "nats-tss(channels=2, cells=1)"
Scores = dict[str, float]


def _strategy(*objectives: str, keep_none: bool = False) -> Pruning:
    setup = Setup(RunConfig(space=TINY, strategy="prune", objectives=objectives, target="none"))
    return Pruning(setup.space, setup.objectives, 0, keep_none)


def _searched(strategy: Pruning, scores: Callable[[Genotype], Scores | None]) -> list[Genotype]:
    """Everything asked, each candidate told at once; no scores mean that it failed."""
    asked = []
    while True:
        try:
            candidate = strategy.ask()
        except Exhausted:
            return asked
        asked.append(candidate.genotype)
        found = scores(candidate.genotype)
        status: Any = "failed" if found is None else "infeasible"
        strategy.tell(Record(candidate.number, candidate.genotype, None, "", found or {}, status, None, False, 0.0))


def _comparable(result: Result) -> list[dict[str, object]]:
    return [record.to_dict() | {"seconds": None} for record in result.records]


# --- the rounds -------------------------------------------------------------------------------------


def test_every_round_asks_the_supernet_and_then_each_loss_until_one_operation_is_left() -> None:
    """24 + 18 + 12 evaluations of TE-NAS on this space, a reference for each round, and the architecture found."""
    asked = _searched(_strategy("params"), lambda genotype: {"params": len(str(genotype))})
    space = NatsTss().relaxed()
    assert [space.undecided(genotype) for genotype in asked] == [18] + [17] * 24 + [12] + [11] * 18 + [6] + [
        5
    ] * 12 + [0]
    assert len(set(asked)) == 58
    assert not any("none" in str(genotype) for genotype in asked)
    for start, count in ((0, 24), (25, 18), (44, 12)):
        reference = space.left(asked[start])
        lost = [
            (edge, option)
            for genotype in asked[start + 1 : start + 1 + count]
            for edge in EDGES
            for option in reference[edge]
            if option not in space.left(genotype)[edge]
        ]
        assert lost == [(edge, option) for edge in EDGES for option in reference[edge]]


def test_none_takes_part_if_asked_to() -> None:
    asked = _searched(_strategy("params", keep_none=True), lambda genotype: {"params": 1})
    assert asked[0] == Genotype(dict.fromkeys(EDGES, "+".join(OPERATIONS)))
    assert len(asked) == (1 + 30) + (1 + 24) + (1 + 18) + (1 + 12) + 1
    assert search(TINY, "prune(keep_none=true)", "trace", budget=100, target="none").records[0].genotype == asked[0]


def test_a_round_waits_for_all_answers_of_the_one_before() -> None:
    strategy, scores = _strategy("params"), {"params": 1.0}
    candidates = [strategy.ask() for _ in range(25)]
    for candidate in candidates:
        with pytest.raises(Waiting):
            strategy.ask()
        with pytest.raises(Waiting):
            strategy.adopt(candidate)
        strategy.tell(Record(*candidate, "", scores, "infeasible", None, False, 0.0))  # type: ignore[arg-type]
    assert strategy.ask().number == 25


# --- the ranking ------------------------------------------------------------------------------------


def _as_published(
    kappas: dict[Any, float], regions: dict[Any, float], kappa: float, region: float
) -> dict[str, Any]:
    """What goes on every edge by the authors' own procedure: two sorted lists, neighbours with equal values tie."""
    ranks: dict[Any, list[int]] = {}
    lowered = sorted(((round((kappa - k) / kappa, 3), e) for e, k in kappas.items()), key=lambda pair: -pair[0])
    lost = sorted(((round((region - r) / region, 3), e) for e, r in regions.items()), key=lambda pair: pair[0])
    for ranked in (lowered, lost):
        for i, (value, each) in enumerate(ranked):
            before = ranked[i - 1] if i else None
            rank = 0 if before is None else ranks[before[1]][-1] + (value != before[0])
            ranks.setdefault(each, []).append(rank)
    gone: dict[str, Any] = {}
    for each in sorted(ranks, key=lambda each: sum(ranks[each])):
        gone.setdefault(each[0], each)
    return gone


@pytest.mark.parametrize("seed", range(8))
def test_what_goes_is_what_the_authors_procedure_takes(seed: int) -> None:
    """Few different values, so that ranks tie within and between edges."""
    rng = Random(seed)
    space = NatsTss().relaxed()
    kappas: dict[Genotype, float] = {}
    regions: dict[Genotype, float] = {}

    def scores(genotype: Genotype) -> Scores:
        kappas[genotype] = rng.choice([900.0, 950.0, 1000.0, 1000.2, 1100.0, rng.uniform(800, 1500)])
        regions[genotype] = rng.choice([2000, 2500, 2501, 3000])
        return {"params": kappas[genotype], "trace": regions[genotype]}

    asked = _searched(_strategy("params:min", "trace"), scores)
    for start, count in ((0, 24), (25, 18), (44, 12)):
        reference, after = asked[start], asked[start + 1 + count]
        losses = {}
        for genotype in asked[start + 1 : start + 1 + count]:
            (edge,) = [edge for edge in EDGES if genotype[edge] != reference[edge]]
            (option,) = set(space.left(reference)[edge]) - set(space.left(genotype)[edge])
            losses[edge, option] = genotype
        gone = _as_published(
            {each: kappas[genotype] for each, genotype in losses.items()},
            {each: regions[genotype] for each, genotype in losses.items()},
            kappas[reference],
            regions[reference],
        )
        for edge, (_, option) in gone.items():
            assert space.left(after)[edge] == tuple(o for o in space.left(reference)[edge] if o != option)


def test_what_failed_stays_longest() -> None:
    asked = _searched(
        _strategy("params", "trace"),
        lambda genotype: None if "nor_conv_1x1" not in genotype["0->1"] else {"params": 1.0, "trace": 1.0},
    )
    assert asked[-1]["0->1"] == "nor_conv_1x1"


class _OfArchitectures:
    """A score that supernets have not."""

    name, direction, unit, needs = "own", "max", "", "genotype"

    def __call__(self, subject: Genotype) -> float:
        if any("+" in str(operations) for operations in subject.values()):
            raise ValueError("no supernets")
        return 1.0


@pytest.mark.parametrize("open_asks", [1, 40])
def test_without_any_score_to_choose_by_no_architecture_is_found(open_asks: int) -> None:
    with pytest.raises(RunError, match=r"prune: none of 24 supernets has a score.*no supernets; expected"):
        search(TINY, "prune", "own", scores=[_OfArchitectures()], budget=100, open=open_asks)


def test_a_later_round_without_any_score_is_an_error_as_well_and_says_nothing_of_the_first() -> None:
    first = list[Genotype]()

    def scores(genotype: Genotype) -> Scores | None:
        first.append(genotype)
        return {"params": math.inf if len(first) > 25 else 1.0} if len(first) != 3 else None

    with pytest.raises(RunError, match=r"prune: none of 18 supernets has a score.*every score is missing or inf"):
        _searched(_strategy("params"), scores)


def test_values_that_are_no_numbers_rank_last_and_a_reference_of_nothing_is_not_divided_by() -> None:
    assert relative_changes((-200.0, 50.0), [(-100.0, 40.0), (None, 50.02)]) == [(0.5, -0.2), (None, 0.0)]
    assert relative_changes((0.0, None), [(3.0, -2.0004)]) == [(3.0, -2.0004)]
    assert relative_changes((2.0, 2.0), [(math.pi, -1.0)]) == [(0.571, -1.5)]


def test_equal_sums_are_decided_by_the_first_objective_and_then_by_order() -> None:
    strategy = _strategy("params")
    losses = [loss for loss in strategy._losses if loss.choice == "0->1"]
    assert best_losses(losses, [(0.1, 0.3), (0.2, 0.2), (0.3, 0.1), (0.3, 0.1)]) == [losses[2]]
    assert best_losses(losses, [(None, None), (None, None), (0.0, None), (None, 0.0)]) == [losses[2]]
    assert best_losses(losses, [(1.0,)] * 4) == [losses[0]]


# --- runs -------------------------------------------------------------------------------------------


def test_only_the_architecture_found_is_feasible_and_supernets_keep_their_scores() -> None:
    result = search(TINY, "prune", "trace", target="none", budget=100)
    *supernets, last = result.records
    assert result.exhausted
    assert len(supernets) == 57
    assert last.status == "ok"
    assert NatsTss(channels=2, cells=1).decode(last.genotype).key == last.key
    assert {record.status for record in supernets} == {"infeasible"}
    assert all(record.scores["trace"] > 0 for record in supernets)
    assert supernets[0].reason == "18 operations to prune; not an architecture yet"
    assert result.best == last
    assert result.front == [last]


def test_the_trace_keeps_convolutions() -> None:
    """Skips and pools lose no ReLU, so they go first; of two convolutions the first in order."""
    best = search(TINY, "prune", "trace", target="none", budget=100).best
    assert set(best.genotype.values()) == {"nor_conv_3x3"}


def test_bounds_are_for_architectures() -> None:
    with pytest.raises(RunError, match="params<=100 turned down 1"):
        search(TINY, "prune", "trace", bounds=["params<=100"], target="none", budget=100)
    assert search(TINY, "prune", "trace", bounds=["params<=9000"], target="none", budget=100).best.number == 57


@pytest.mark.parametrize("open_asks", [1, 8, 40])
def test_records_do_not_depend_on_how_many_asks_are_open(open_asks: int) -> None:
    objectives = ["params:min", "macs:min"]
    runs = [
        search(TINY, "prune", objectives=objectives, target="none", budget=100, open=count)
        for count in (open_asks, 3)
    ]
    assert _comparable(runs[0]) == _comparable(runs[1])


def test_a_budget_too_small_says_so_and_is_resumed_to_the_end(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none of 30 candidates is an architecture.*larger budget"):
        search(TINY, "prune", "trace", target="none", budget=30, out=tmp_path / "run")
    whole = search(TINY, "prune", "trace", target="none", budget=100)
    assert _comparable(resume(tmp_path / "run", 100)) == _comparable(whole)


def test_spaces_without_supernets_are_refused_with_those_that_have_them(engine: Callable[..., Any]) -> None:
    complaint = engine("run", "--space", "munas", "--strategy", "prune", "--fitness", "trace").complaint
    assert complaint == (
        "strategy 'prune' searches supernets, which space 'munas' does not offer; expected one of nats-tss"
    )
    with pytest.raises(UsageError, match=r"space 'nats-tss' is none, give space.relaxed\(\)"):
        Pruning(NatsTss(), _strategy("params")._objectives, 0)


def test_commands_read_its_runs(engine: Callable[..., Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert engine("run", "--space", TINY, "--strategy", "prune", "--fitness", "trace", "--out", run).code == 0
    assert json.loads(engine("front", run, "--format", "json").out)
    assert "|nor_conv_3x3~0|+" in engine("score", f"{run}:best", "--fitness", "params").out
    assert "skip_connect+nor_conv_1x1" in engine("score", f"{run}:0", "--fitness", "params").out


# --- the published search ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_published_search_in_small(engine: Callable[..., Any], tmp_path: Path) -> None:
    answer = engine(
        *("run", "--space", "nats-tss", "--strategy", "prune", "--input-shape", "8x8x3", "--device", "cpu"),
        *("--objective", "te_nas_ntk(batch=8,draws=1)", "--objective", "te_nas_regions(batch=60,draws=1)"),
        *("--out", tmp_path / "te"),
    )
    assert answer.code == 0, answer.err
    records = [json.loads(line) for line in (tmp_path / "te" / "records.jsonl").read_text().splitlines()]
    assert len(records) == 58
    assert records[-1]["status"] == "ok"
    assert all(len(record["scores"]) == 2 for record in records if record["status"] != "failed")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--strategy=random", "--fitness=te_nas_regions", "--batch=8"], "te_nas_regions splits 8 images into 9"),
        (["--strategy=random", "--fitness=te_nas_ntk(batch=4,draws=5)"], "splits 4 images into 5"),
        (
            ["--strategy=prune", "--fitness=te_nas_ntk+te_nas_regions", "--batch=2"],
            "te_nas_ntk splits 2 images into 3",
        ),
    ],
)
def test_fewer_images_than_passes_are_refused_before_anything_runs(
    arguments: list[str], says: str, engine: Callable[..., Any], tmp_path: Path
) -> None:
    answer = engine("run", "--space", TINY, *arguments, "--data=noise", "--device=cpu", "--out", tmp_path / "run")
    assert answer.code == 2
    assert says in answer.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["te_nas_ntk", "te_nas_regions"])
def test_other_spaces_are_refused(engine: Callable[..., Any], name: str) -> None:
    complaint = engine("run", "--space", "munas", "--strategy", "random", "--fitness", name).complaint
    assert complaint == (
        f"{name} is computed on thin networks, which space 'munas' does not offer; expected one of nats-tss"
    )
    complaint = engine("run", "--space", "nats-tss", "--fitness", f"{name}(space=1)").complaint
    assert complaint.startswith(f"fitness '{name}' takes no option 'space'; its options: batch")
