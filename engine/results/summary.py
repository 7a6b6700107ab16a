"""What a run says before it starts and when it is done."""

from __future__ import annotations

import json
import shlex

from engine.api import Result
from engine.config import RunConfig
from engine.progress import Progress
from engine.reading import ends_in_words, of_series
from engine.results.front import format_front, recorded_names
from engine.results.hypervolume import coverage
from engine.results.tabular import format_number, json_number
from engine.setup import Setup
from fitness.scores import Score
from fitness.series import Series, load_series
from spaces.supernet import SupernetSpace

_ROWS = 10
_COLUMNS = 6  # of a series that are named; files may have hundreds


def announce(setup: Setup) -> str:
    """The choices that decide a run, defaults spelled out."""
    config = setup.config
    options = "".join(
        f", {name} {value}"
        for name, value in (("population", config.population), ("tournament", config.tournament))
        if value is not None
    )
    lines = [
        f"space {setup.space.name} {ends_in_words(config, setup.space)}; strategy {config.strategy}"
        f"{options}; budget {config.budget}, open {config.open}, seed {config.seed}"
    ]
    if config.objectives and config.fitness != RunConfig.fitness:
        lines.append(f"fitness {config.fitness} is neither pursued nor recorded: the objectives replace it")
    pursued = [("objective", objective) for objective in setup.objectives.objectives]
    ranked = [("ranked by", setup.ranking)] if setup.ranking is not None else []
    for what, objective in pursued + ranked:
        penalties = "".join(f"; {penalty}" for penalty in objective.expression.penalties)
        lines.append(f"{what} {objective.text}:{objective.direction}{penalties}")
    if setup.target:
        lines.append(
            f"target {setup.target.name}: flash {setup.target.flash_budget_bytes:,} B, "
            f"RAM {setup.target.ram_budget_bytes:,} B for the model"
        )
        if any(score.name.startswith("latency_ms") for score in setup.computed):
            lines.append("latency_ms is an estimate: multiply-accumulates over the board's rates")
    if setup.bounds:
        lines.append("bounds " + ", ".join(map(str, setup.bounds)))
    images = {score.name: score for score in setup.computed if isinstance(score, Score)}
    if images:
        batches = ", ".join(
            f"{score.name} {score.batch or config.batch or score.published_batch}"
            for score in images.values()
            if score.published_batch > 1
        )
        lines.append(
            f"images {setup.data}: {batches or 'none read'}; images and weights of seed {config.score_seed}, "
            f"device {setup.device}, threads {config.threads} in each of {_where(config)}"
        )
    if any(map(of_series, setup.computed)):
        series = load_series(setup.data)
        parts = ", ".join(f"{len(rows):,} for {name}" for name, rows in series.parts.items())
        lines.append(
            f"series {setup.data}: {len(series):,} rows of {_columns(series)}, {parts}; "
            f"scale {series.scaling.kind}; weights of seed {config.score_seed}, "
            f"device {setup.device}, threads {config.threads} in each of {_where(config)}"
        )
    if config.out:
        lines.append(f"run folder {config.out}")
    return "\n".join(lines)


def _columns(series: Series) -> str:
    """What is seen, and what is forecast if that is something else."""
    seen, told = (
        ", ".join(names if len(names) <= _COLUMNS else (*names[: _COLUMNS - 1], f"... ({len(names)} columns)"))
        for names in (series.names, series.target_names)
    )
    return seen if series.names == series.target_names else f"{seen} -> {told}"


def _where(config: RunConfig) -> str:
    return f"the workers of {config.cluster}" if config.cluster else f"{config.workers} workers"


def summarise(result: Result, progress: Progress, as_json: bool) -> str:
    """Best network and front of a finished run, as `progress` met them; the last line says where it lies."""
    best, front = progress.best, progress.archive.front(result.records.__getitem__)
    assert best is not None, "a run without a feasible record ends in an error"
    objective = result.setup.objectives.objectives[0]
    names = recorded_names(result.setup)
    space = result.setup.space
    simulated = sum(map(result.setup.simulated_seconds, result.records)) if result.setup.cost else None
    covered = coverage(result.records, result.setup.objectives)
    if as_json:
        return json.dumps(
            {
                "run": str(result.path),
                "records": len(result.records),
                "feasible": progress.feasible,
                "rejected": progress.infeasible,
                "failed": progress.failed,
                "cached": progress.cached,
                "exhausted": result.exhausted,
                "simulated_seconds": simulated,
                "best": best.to_dict() | {"value": json_number(objective.value(best.scores))},
                "front": [record.number for record in front.records],
                "hypervolume": covered.to_dict() if covered is not None else None,
            },
            indent=1,
        )
    turned_down = "supernets" if isinstance(space, SupernetSpace) else "rejected by a bound"
    scores = ", ".join(f"{name} {format_number(best.scores[name])}" for name in names)
    lines = [
        f"{len(result.records):,} records: {progress.feasible:,} feasible, {progress.infeasible:,} {turned_down}, "
        f"{progress.failed:,} failed; {progress.cached:,} answered from the cache",
    ]
    if simulated is not None:
        lines.append(f"training them would have taken {simulated:,.0f} s")
    if result.exhausted:
        whole = space.size is not None and len(result.records) >= space.size
        lines.append(
            "the space is exhausted: every architecture has been asked" if whole else "the search is at its end"
        )
    lines += [
        f"best  #{best.number}  {objective.text} {format_number(objective.value(best.scores))}",
        f"      {scores}",
        f"      {space.describe(best.genotype)}",
        f"front of {len(front.records)} over "
        + ", ".join(f"{item.text}:{item.direction}" for item in front.objectives),
        format_front(front, names, "table", space.describe, _ROWS),
    ]
    if covered is not None:
        lines.append(str(covered))
    if result.path:
        lines.append(f"run in {result.path}; show it with: engine front {shlex.quote(str(result.path))}")
    return "\n".join(lines)
