"""What there is to choose from, for people and as JSON."""

from __future__ import annotations

import inspect
import json

from engine.strategies import STRATEGIES
from engine.targets import TARGETS
from fitness import FITNESS
from fitness.base import Fitness
from spaces import SPACES


def listing(what: str, as_json: bool) -> str:
    """One line or object per entry.

    Args:
        what: "spaces", "strategies", "fitness" or "targets".
        as_json: JSON instead of columns.
    """
    rows = {"spaces": _spaces, "strategies": _strategies, "fitness": _fitness, "targets": _targets}[what]()
    if as_json:
        return json.dumps(rows, indent=1)
    titles = list(rows[0])
    cells = [titles] + [[_cell(row[title]) for title in titles] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(titles))]
    return "\n".join("  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def _spaces() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name in SPACES:
        space = SPACES.load(name)
        size = getattr(space, "size", None)
        rows.append({"space": name, "genotypes": size or "unlimited", "about": _about(space)})
    return rows


def _strategies() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name in STRATEGIES:
        strategy = STRATEGIES.load(name)
        most = getattr(strategy, "max_objectives", None)
        module = inspect.getmodule(strategy)
        rows.append({"strategy": name, "objectives": most or "any number", "about": _about(module)})
    return rows


def _fitness() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name in FITNESS:
        if name == "table":  # has no meaning without a column; listed below
            continue
        made = FITNESS.create(name, {})
        assert isinstance(made, Fitness)
        about = _about(FITNESS.load(name))
        row = {
            "fitness": name,
            "better": made.direction,
            "unit": made.unit,
            "needs": made.needs,
            "about": about,
        }
        rows.append(dict(row))
    about = "A column of the benchmark table given by --table."
    rows.append({"fitness": "table:COLUMN", "better": "max", "unit": "", "needs": "genotype", "about": about})
    for name, about in (
        (
            "gdf",
            "Penalty: Gaussian of the size beyond mu (0.2 MB), sigma 0.4; under a target around its flash.",
        ),
        ("hsdf", "Penalty: hyperbolic secant of the size beyond mu (0.2 MB), s 0.4; likewise."),
        ("rdf", "Penalty: Rayleigh of the size beyond sigma (0.2 MB); under a target beyond its flash."),
    ):
        rows.append({"fitness": name, "better": "", "unit": "", "needs": "", "about": about})
    return rows


def _targets() -> list[dict[str, object]]:
    return [
        {
            "target": target.name,
            "flash_budget_bytes": target.flash_budget_bytes,
            "ram_budget_bytes": target.ram_budget_bytes,
            "about": target.description,
        }
        for target in TARGETS.values()
    ]


def _about(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
