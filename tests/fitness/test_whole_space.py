"""Whole finite spaces scored by addition, against the graph on a sample and against the tables on everything."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy
import pytest
from scipy.stats import kendalltau

from fitness import figures
from fitness.trace import Trace
from fitness.whole_space import figure_of_all
from spaces import SPACES
from spaces.errors import UsageError
from spaces.network import Network
from spaces.space import Space

Rows = list[dict[str, str]]
Figure = Callable[[Network], float]
ADDITIVE_FIGURES: tuple[Figure, ...] = (
    *(figures.params, figures.macs, figures.flash_bytes, figures.aleph, figures.log_capacity, Trace()),
)


def _space(name: str) -> Space:
    space = SPACES.create(name, {})
    assert isinstance(space, Space)
    return space


FINITE = [name for name in SPACES if hasattr(_space(name), "additive")]
ENDLESS = [name for name in SPACES if name not in FINITE]


@pytest.mark.parametrize("name", FINITE)
def test_sums_are_the_graphs_own_figures(name: str) -> None:
    space = _space(name)
    listed = list(space.enumerate())
    some = Random(0).sample(range(len(listed)), 60)
    networks = [space.decode(listed[index]) for index in some]
    for figure in ADDITIVE_FIGURES:
        everything = figure_of_all(space, figure)
        assert everything.shape == (space.size,)
        expected = [figure(network) for network in networks]
        numpy.testing.assert_allclose(everything[some], expected, rtol=1e-12, atol=0)
        if figure is not figures.log_capacity:
            assert everything[some].tolist() == expected


def test_sums_do_not_depend_on_image_and_classes_being_the_benchmarks() -> None:
    space = SPACES.create("nats-tss", {"input_shape": (16, 16, 1), "num_classes": 120})
    assert isinstance(space, Space)
    listed = list(space.enumerate())
    everything = figure_of_all(space, figures.macs)
    for index in Random(1).sample(range(len(listed)), 20):
        assert everything[index] == figures.macs(space.decode(listed[index]))


@pytest.mark.parametrize("name", ENDLESS)
def test_spaces_that_do_not_add_up_say_so(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        figure_of_all(_space(name), figures.params)


def _by_row(name: str, figure: Figure, rows: Rows) -> numpy.ndarray:
    space = _space(name)
    value = dict(zip(map(space.describe, space.enumerate()), figure_of_all(space, figure).tolist(), strict=True))
    return numpy.array([value[row["arch_str"]] for row in rows])


@pytest.mark.parametrize("name", ["nats-tss", "nats-sss"])
def test_parameters_and_macs_of_all_rows_are_the_tables(name: str, tss_rows: Rows, sss_rows: Rows) -> None:
    rows = tss_rows if name == "nats-tss" else sss_rows
    for column, figure, more in (
        ("params_cifar10_M_derived", figures.params, 0),
        ("macs_cifar10_M_derived", figures.macs, 10),  # the benchmark's "flops" are macs and one per class
    ):
        table = [int(row[column].replace(".", "")) for row in rows]  # millions with six digits
        assert (_by_row(name, figure, rows) + more).astype(int).tolist() == table


@pytest.mark.parametrize(
    ("name", "column", "tau"),
    [
        ("nats-tss", "cifar10_test_200ep_pct", 0.580),
        ("nats-tss", "cifar100_test_200ep_pct", 0.594),
        ("nats-sss", "cifar10_valid_90ep_pct", 0.420),
        ("nats-sss", "cifar100_valid_90ep_pct", 0.190),
    ],
)
def test_rank_correlation_of_trace(name: str, column: str, tau: float, tss_rows: Rows, sss_rows: Rows) -> None:
    rows = tss_rows if name == "nats-tss" else sss_rows
    scores = _by_row(name, Trace(), rows)
    accuracies = [float(row[column]) for row in rows]
    assert kendalltau(scores, accuracies, variant="b").statistic == pytest.approx(tau, abs=5e-4)


def test_seven_levels_of_trace_on_the_topology_space() -> None:
    everything = figure_of_all(_space("nats-tss"), Trace())
    assert sorted(set(everything.tolist())) == [128 * (40_960 + 143_360 * edges) for edges in range(7)]
