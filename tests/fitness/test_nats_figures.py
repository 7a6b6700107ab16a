"""Figures of the NATS-Bench networks against the benchmark's own columns, network by network."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from fitness import figures
from fitness.trace import Trace
from spaces.nats import NatsSss, NatsTss

Rows = list[dict[str, str]]
CLASSES = 10
Space = NatsTss | NatsSss


def _millions(text: str) -> int:
    """A number of a table, given in millions with six digits, without rounding."""
    whole, _, fraction = text.partition(".")
    assert len(fraction) == 6
    return int(whole + fraction)


def _tss_relus(architecture: str) -> int:
    """Facts, training-free scores, section 1."""
    return 40_960 + 143_360 * architecture.count("nor_conv")


def _sss_relus(architecture: str) -> int:
    """Facts, training-free scores, section 1."""
    c1, c2, c3, c4, c5 = map(int, architecture.split(":"))
    stem_and_first = 5120 * c1 + (1024 * c1 + 256 * c2)
    return stem_and_first + 256 * (2 * c2 + 3 * c3) + (256 * c3 + 64 * c4) + 64 * (2 * c4 + 3 * c5) + 64 * c5


def _check(space: Space, rows: Iterable[dict[str, str]]) -> None:
    for row in rows:
        network = space.decode(space.parse(row["arch_str"]))
        assert figures.params(network) == _millions(row["params_cifar10_M_derived"])
        assert figures.macs(network) + CLASSES == _millions(row["macs_cifar10_M_derived"])
        relus = _tss_relus if isinstance(space, NatsTss) else _sss_relus
        assert figures.n_relu(network) == relus(row["arch_str"])
        assert Trace()(network) == 128 * figures.n_relu(network)


def test_topology_figures_of_a_sample_are_the_tables(tss_rows: Rows) -> None:
    _check(NatsTss(), Random(0).sample(tss_rows, 400))


def test_size_figures_of_a_sample_are_the_tables(sss_rows: Rows) -> None:
    _check(NatsSss(), Random(0).sample(sss_rows, 400))


@pytest.mark.slow
def test_topology_figures_of_all_are_the_tables(tss_rows: Rows) -> None:
    assert len(tss_rows) == 15_625
    _check(NatsTss(), tss_rows)


@pytest.mark.slow
def test_size_figures_of_all_are_the_tables(sss_rows: Rows) -> None:
    assert len(sss_rows) == 32_768
    _check(NatsSss(), sss_rows)


def test_the_tables_hold_the_spaces(tss_rows: Rows, sss_rows: Rows) -> None:
    for space, rows in ((NatsTss(), tss_rows), (NatsSss(), sss_rows)):
        assert {space.describe(genotype) for genotype in space.enumerate()} == {row["arch_str"] for row in rows}


# --- dead branches ----------------------------------------------------------------------------------


def test_trace_counts_dead_branches_unless_told_otherwise() -> None:
    """Nodes 1 and 2 do not reach the output, but the network runs them."""
    text = "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"
    network = NatsTss().decode(NatsTss().parse(text))
    assert Trace()(network) == 128 * (40_960 + 3 * 143_360)
    assert Trace(live=True)(network) == 128 * 40_960


def test_blocked_networks_have_no_live_activations() -> None:
    network = NatsTss().decode(NatsTss().parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"))
    assert Trace()(network) == 128 * 40_960
    assert Trace(live=True)(network) == 0
    assert figures.bottleneck(network) == 0


def test_parameter_tensors_and_depth_follow_the_convolution_edges() -> None:
    """A convolution edge brings a weight and the two of batch norm in each of the fifteen cells."""
    for edges, text in (
        (0, "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"),
        (1, "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"),
        (3, "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|nor_conv_3x3~2|"),
    ):
        network = NatsTss().decode(NatsTss().parse(text))
        assert figures.aleph(network) == 3 + 2 * (3 + 3 + 1) + 2 + 2 + 15 * 3 * edges
        assert figures.depth(network) == 1 + 2 * 2 + 1 + 15 * edges
