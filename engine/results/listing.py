"""What there is to choose from, for people and as JSON."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from engine.finding import checked_fitness
from engine.strategies import STRATEGIES
from engine.targets import BOARDS_FILE, TARGETS, Speed
from fitness import FITNESS
from fitness.benchmarks import SHIPPED, shipped_table
from fitness.data import SOURCES
from fitness.predictors import PREDICTORS
from fitness.predictors.features import FEATURES
from fitness.series import SERIES
from fitness.table import Table
from fitness.table_store import BENCHMARKS, how_to_get, imported_tables
from spaces import SPACES
from spaces.errors import EngineError

Row = dict[str, object]
Rows = list[Row]


def listing(what: str, as_json: bool) -> str:
    """One line or object per entry.

    Args:
        what: "spaces", "strategies", "fitness", "predictors", "features", "targets", "data" or "tables".
        as_json: JSON instead of columns.
    """
    kinds = {
        "spaces": _spaces,
        "strategies": _strategies,
        "fitness": _fitness,
        "predictors": _predictors,
        "features": _features,
        "targets": _targets,
        "data": _data,
        "tables": _tables,
    }
    if as_json:
        return json.dumps(_profiles() if what == "targets" else kinds[what](), indent=1)
    rows = kinds[what]()
    titles = max(map(list, rows), key=len)
    cells = [titles] + [[_cell(row.get(title, "")) for title in titles] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(titles))]
    lines = ["  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    if what == "targets":
        lines.append(f"{_TARGETS_NOTE} {BOARDS_FILE}")
    return "\n".join(lines)


def _spaces() -> Rows:
    def row(name: str) -> Row:
        space = SPACES.load(name)
        return {"genotypes": getattr(space, "size", None) or "unlimited", "about": _about(space)}

    return _rows("space", SPACES, row)


def _strategies() -> Rows:
    def row(name: str) -> Row:
        strategy = STRATEGIES.load(name)
        most = getattr(strategy, "max_objectives", None)
        return {"objectives": most or "any number", "about": _about(inspect.getmodule(strategy))}

    return _rows("strategy", STRATEGIES, row)


def _fitness() -> Rows:
    def row(name: str) -> Row:
        made = checked_fitness(f"fitness {name!r}", FITNESS.create(name, {}))
        about = _about(FITNESS.load(name))
        needs = made.needs + (", labels" if getattr(made, "needs_labels", False) else "")
        cost = getattr(made, "cost", "")
        return {"better": made.direction, "unit": made.unit, "needs": needs, "cost": cost, "about": about}

    rows = _rows("fitness", FITNESS, row)
    about = "A column of the benchmark tables imported or given by --table."
    rows.append({"fitness": "table:COLUMN", "better": "max", "unit": "", "needs": "genotype", "about": about})
    about = "What a predictor expects of --metric, learnt from --known networks of a table or those of --known-run."
    rows.append({"fitness": "predict:PREDICTOR", "better": "max", "unit": "", "needs": "genotype", "about": about})
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


def _predictors() -> Rows:
    def row(name: str) -> Row:
        made = PREDICTORS.load(name)
        options = [
            f"{option.name}={option.default}"
            for option in inspect.signature(made).parameters.values()  # type: ignore[arg-type]  # a class or function
            if option.name not in ("space", "scores", "seed")
        ]
        return {"options": " ".join(options), "about": _about(made)}

    return _rows("predictor", PREDICTORS, row)


def _features() -> Rows:
    return _rows("features", FEATURES, lambda name: {"about": _about(inspect.getmodule(FEATURES.load(name)))})


def _targets() -> Rows:
    return [
        {
            "target": target.name,
            "board": target.board,
            "core": target.core,
            "MHz": "" if target.clock_mhz is None else f"{target.clock_mhz:g}",
            "flash_bytes": target.flash_bytes,
            "flash_budget": target.flash_budget_bytes,
            "ram_bytes": target.ram_bytes,
            "ram_budget": target.ram_budget_bytes,
            **_millions(target.speed),
            "runtime": target.runtime,
        }
        for target in TARGETS.values()
    ]


_TARGETS_NOTE = (
    "ram_bytes: largest contiguous region; flash_budget: bytes for the .tflite file, ram_budget: for the arena of "
    "TFLite Micro\n(mcu-256k, and networks of time series: for weights, for tensors); conv, depthwise, dense: "
    "million int8 MACs\na second, from measured latencies, or ~ estimated; --json gives every source. Own boards: "
    "--target my-board.toml,\na table copied from"
)


def _millions(speed: Speed | None) -> Row:
    rates = {"conv": speed.conv, "depthwise": speed.depthwise, "dense": speed.dense} if speed else {}
    return {kind: f"{'' if r.measured else '~'}{r.macs_per_second / 1e6:.1f}" for kind, r in rates.items()}


def _profiles() -> Rows:
    """All that is known of every target."""
    rows = []
    for target in TARGETS.values():
        row = asdict(target) | {"mlperf_tiny_ms": dict(target.mlperf_tiny_ms)}
        budgets = {"flash_budget_bytes": target.flash_budget_bytes, "ram_budget_bytes": target.ram_budget_bytes}
        rows.append({"target": row.pop("name")} | budgets | row)
    return rows


def _data() -> Rows:
    return [{"data": form, "about": about} for form, about in {**SOURCES, **SERIES}.items()]


def _tables() -> Rows:
    """The imported tables, those that come with the package, then the benchmarks of which there is none."""
    imported = imported_tables()
    rows = [_table(space, path, str(path)) for space, paths in imported.items() for path in paths]
    for space, name in SHIPPED.items():
        shipped = shipped_table(space)
        assert shipped is not None
        use = " (not used: one is imported)" if space in imported else ""
        rows.append(_table(space, shipped.path, f"built in: {name}{use}"))
    return rows + [
        {"space": space, "architectures": 0, "columns": 0, "about": f"not imported: {how_to_get(space)}"}
        for space in BENCHMARKS
        if space not in imported
    ]


def _table(space: str, path: Path, about: str) -> Row:
    try:
        table = Table.open(path)
    except EngineError as error:
        return {"space": space, "about": f"cannot be used: {error}"}
    return {"space": space, "architectures": len(table), "columns": len(table.columns), "about": about}


def _rows(title: str, names: Iterable[str], row: Callable[[str], Row]) -> Rows:
    """One row per name; a plug-in that cannot be used says why in its own row and spoils no other."""
    rows: Rows = []
    for name in names:
        try:
            rows.append({title: name} | row(name))
        except EngineError as error:
            rows.append({title: name, "about": f"cannot be used: {error}"})
    return rows


def _about(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
