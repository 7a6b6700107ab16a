"""`engine list`: what there is to choose from."""

from __future__ import annotations

import argparse

from engine.commands.options import one_of

__all__ = ["add", "call"]

_KINDS = ("spaces", "strategies", "fitness", "targets", "data", "tables", "predictors", "features")


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("what", type=one_of("list", _KINDS), metavar="|".join(_KINDS), help="what to list")
    parser.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace) -> str:
    """The list as text or JSON."""
    from engine.results.listing import listing

    return listing(options.what, options.json)
