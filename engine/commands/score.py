"""`engine score`: figures and scores of one architecture."""

from __future__ import annotations

import argparse

from engine.commands.options import add_images, add_known, add_problem, add_series, given, with_series

__all__ = ["add", "call"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "architecture",
        metavar="ARCH",
        help="genotype JSON, benchmark string, index (with --table), DIR:NUMBER or DIR:best of a run",
    )
    add_problem(parser)
    parser.add_argument(
        "--fitness", dest="scores", metavar="F[,F...]", help="scores or expressions (default: every figure)"
    )
    add_images(parser)
    add_series(parser)
    add_known(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace) -> str:
    """One line per score, or JSON."""
    from dataclasses import replace

    from engine.config import load_config
    from engine.results.scores import format_scores, score_architecture

    flags = given(options)
    config = load_config(None, {"target": "none", **flags})
    config = replace(config, data=with_series(config.data, options, config.space))
    return format_scores(score_architecture(options.architecture, config, flags, options.scores), options.json)
