"""`engine report`: a run as one page for the browser."""

from __future__ import annotations

import argparse

from engine.commands.options import add_objectives

__all__ = ["add", "call"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("run", metavar="DIR", help="run folder")
    add_objectives(parser, "of the front (default: the run's scores against its sizes)")
    parser.add_argument("--out", metavar="FILE.html", help="default: DIR/report.html")


def call(options: argparse.Namespace) -> str:
    """Write the page and say where."""
    from pathlib import Path

    from engine.results.output import check_places
    from engine.results.report import write_report

    check_places(options.out)
    run = Path(options.run)
    return write_report(run, options.objectives or (), Path(options.out or run / "report.html"))
