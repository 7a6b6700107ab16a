"""The page: what was searched, the front, the networks, the course, how to make it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from importlib.resources import files
from itertools import combinations
from pathlib import Path

from engine.reading import of_series
from engine.results.output import write_text
from engine.results.pick import knee
from engine.results.report.diagram import draw_network, legend
from engine.results.report.gather import Gathered, gather
from engine.results.report.markup import Markup, join, table, tag
from engine.results.report.plot import course_plot, front_plot, parallel_plot
from engine.results.report.reproduce import command_of, toml_of
from engine.results.tabular import counted, format_number
from fitness.scores import Score

__all__ = ["write_report"]

_MEASURED = {
    "images": "Accuracies are in percent, of networks that were trained.",
    "series": "Errors are of networks that were trained, on scaled values unless their name says otherwise, "
    "test_mape in percent; persistence_mae is that of the forecast that nothing changes.",
}
_SHORT = 80  # letters of an architecture's notation that a table has room for


def write_report(run: Path, objectives: Iterable[str], out: Path) -> str:
    """Write the page of a run.

    Args:
        run: Its folder.
        objectives: Of the front, each with an optional :min or :max; the run's default ones if there are none.
        out: The HTML file.

    Returns:
        What was written, in a line.

    Raises:
        UsageError: Not a run folder, or a score that was not recorded.
        DamagedRun: Something that no run writes.
        RunError: The file cannot be written.
    """
    found = gather(run, objectives)
    text = page_of(found)
    write_text(text, str(out))
    return (
        f"report of {counted(found.counts.records, 'record')}, front of {len(found.front.records):,}, "
        f"written to {out} ({len(text.encode()) / 1024:,.0f} kB); open it in a browser"
    )


def page_of(found: Gathered) -> str:
    """The whole page as HTML."""
    config = found.folder.config
    title = f"{config.space} searched by {config.strategy}"
    bend = knee(found.front).number if found.front.records else None
    body = join(
        tag("h1", title),
        tag("p", _headline(found), class_="note"),
        _counts(found),
        *_searched(found),
        *_fronts(found, bend),
        *_networks(found),
        *_members(found),
        *_course(found),
        *_again(found),
    )
    own = files("engine.results.report")
    style, script = (Markup((own / f"page.{kind}").read_text(encoding="utf-8")) for kind in ("css", "js"))
    head = join(
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", title),
        tag("style", style),
    )
    page = tag("html", tag("head", head), tag("body", body, tag("script", script)), lang="en")
    return f"<!DOCTYPE html>\n{page}"


def _headline(found: Gathered) -> str:
    state = {"finished": "finished", "running": "not finished when this was written"}
    return f"Run {found.folder.path}, {state.get(found.folder.state, found.folder.state)}."


def _counts(found: Gathered) -> Markup:
    counts = found.counts
    cells = [
        (f"{counts.records:,}", f"records of a budget of {found.folder.config.budget:,}"),
        (f"{counts.statuses['ok']:,}", "feasible"),
        (f"{counts.statuses['infeasible']:,}", "rejected"),
        (f"{counts.statuses['failed']:,}", "failed"),
        (f"{counts.cached:,}", "answered from the cache"),
        (f"{len(found.front.records):,}", f"on the front of {found.front.considered:,} networks"),
        (f"{counts.seconds:,.1f} s", "of evaluations"),
    ]
    return tag("div", *(tag("div", tag("b", number), tag("span", what)) for number, what in cells), class_="counts")


def _searched(found: Gathered) -> list[Markup]:
    config, setup = found.folder.config, found.setup
    target = "none"
    if setup.target:
        target = (
            f"{setup.target.name} ({setup.target.board}): {setup.target.flash_budget_bytes:,} B flash, "
            f"{setup.target.ram_budget_bytes:,} B RAM for the model"
        )
    pursued = setup.objectives.objectives
    entries = [
        *_problem(found),
        ("strategy", f"{config.strategy}, {config.open} asks open"),
        ("pursued", ", ".join(f"{item.text}:{item.direction}" for item in pursued)),
        *(("penalty", str(penalty)) for item in pursued for penalty in item.expression.penalties),
        ("target", target),
        ("bounds", ", ".join(map(str, setup.bounds)) or "none"),
        ("seed", str(config.seed)),
        ("versions", ", ".join(f"{name} {version}" for name, version in found.folder.versions.items())),
    ]
    if any(isinstance(score, Score) for score in setup.computed):
        entries.insert(-1, ("images", f"{config.data}; images and weights of seed {config.score_seed}"))
    if changes := found.folder.version_changes():
        entries.append(("since then", ", ".join(changes)))
    listed = [each for name, text in entries for each in (tag("dt", name), tag("dd", text))]
    parts = [tag("h2", "What was searched"), tag("dl", *listed)]
    if found.counts.reasons:
        reasons = "; ".join(f"{reason} ({number:,})" for reason, number in found.counts.reasons)
        parts.append(tag("p", f"Not feasible, the commonest reasons: {reasons}", class_="note"))
    return parts


def _problem(found: Gathered) -> list[tuple[str, str]]:
    """Which networks were searched, and for what."""
    config, space = found.folder.config, found.setup.space
    if space.reads == "images":
        return [("space", f"{config.space}, images {config.input_shape}, {config.classes} classes")]
    columns = f"{counted(space.channels_first[0], 'column')} in, {counted(space.num_classes, 'column')} foretold"
    drawn = f"; weights of seed {config.score_seed}" if any(map(of_series, found.setup.computed)) else ""
    return [("space", f"{config.space}, {columns}"), ("series", f"{found.setup.data}{drawn}")]


def _fronts(found: Gathered, bend: int | None) -> list[Markup]:
    objectives = found.front.objectives
    if bend is None:
        return [tag("h2", "Front"), tag("p", "No record is feasible: loosen the bounds or raise the budget.")]
    over = ", ".join(f"{item.text}:{item.direction}" for item in objectives)
    said = f"Over {over}. Ringed: the knee, #{bend}. Dashed: limits of the run."
    if found.cloud_step > 1:
        said += f" Grey: every {found.cloud_step}th of {found.front.considered:,} feasible networks."
    else:
        said += f" Grey: all {found.front.considered:,} feasible networks."
    if len(objectives) > 2:
        said += f" A plot shows two of {len(objectives)} objectives, so members seem beaten that are not."
    if remark := found.front.remark:
        said += f" {remark}."
    parts = [tag("h2", "Front"), tag("p", said, class_="note")]
    if len(objectives) < 2:
        return [*parts, tag("p", "One objective has one best network and no plot.")]
    pairs = [front_plot(found, across, up, bend) for up, across in combinations(range(len(objectives)), 2)]
    parts.append(tag("div", *pairs, class_="plots"))
    parts += [
        tag("h2", "Trade-offs"),
        tag(
            "p",
            "A line for each member; better is up. Axes over more than two decades are logarithmic.",
            class_="note",
        ),
    ]
    return [*parts, parallel_plot(found, bend)]


def _networks(found: Gathered) -> list[Markup]:
    if not found.picks:
        return []
    cards = []
    networks = {record.number: found.setup.space.decode(record.genotype) for record, _ in found.picks}
    for record, roles in found.picks:
        network = networks[record.number]
        values = {item.text: item.value(record.scores) for item in found.setup.objectives.objectives}
        values |= {name: record.scores[name] for name in found.names if name in record.scores}
        values |= found.measured.get(record.number, {})
        listed = [
            each for name, value in values.items() for each in (tag("dt", name), tag("dd", format_number(value)))
        ]
        drawing = tag(
            "div", draw_network(network, f"Layers of network {record.number}"), class_="drawing", tabindex="0"
        )
        head = join(tag("h3", f"#{record.number}"), tag("p", ", ".join(roles), class_="role"))
        cards.append(tag("section", head, tag("dl", *listed), drawing, class_="card"))
    return [tag("h2", "Networks"), legend(networks.values()), tag("div", *cards, class_="networks")]


def _members(found: Gathered) -> list[Markup]:
    if not found.shown:
        return []
    texts = [item.text for item in found.front.objectives]
    others = [name for name in found.names if name not in texts]
    measured = sorted({name for scores in found.measured.values() for name in scores} - set(texts))
    notes = [found.setup.space.describe(record.genotype) for record in found.shown]
    short = max(map(len, notes)) <= _SHORT
    roles = {record.number: f" {', '.join(words)}" for record, words in found.picks}
    rows = []
    for record, notation in zip(found.shown, notes, strict=True):
        values = [item.value(record.scores) for item in found.front.objectives]
        values += [record.scores.get(name, float("nan")) for name in others]
        known = found.measured.get(record.number, {})
        cells = [format_number(value) for value in values]
        cells += [format_number(known[name]) if name in known else "" for name in measured]
        rows.append([f"#{record.number}{roles.get(record.number, '')}", *cells, *([notation] if short else [])])
    titles = ["number", *texts, *others, *measured, *(["architecture"] if short else [])]
    parts = [tag("h2", "Members of the front")]
    if len(found.shown) < len(found.front.records):
        said = f"{len(found.shown)} of {len(found.front.records):,}, spread evenly; all: {_front_command(found)}"
        parts.append(tag("p", said, class_="note"))
    if measured:
        parts.append(tag("p", _MEASURED[found.setup.space.reads], class_="note"))
    return [*parts, table(titles, rows, [record.number for record in found.shown])]


def _course(found: Gathered) -> list[Markup]:
    total = found.counts.records
    plots = []
    if found.covered is not None:
        plots.append(course_plot("hypervolume", list(found.covered.steps), total, rises=True))
    for objective, series in zip(found.front.objectives, found.best, strict=False):
        if series:
            plots.append(course_plot(f"best {objective.text} so far", series, total, objective.direction == "max"))
    if not plots:
        return []
    said = f"{found.covered}." if found.covered is not None else ""
    return [tag("h2", "Course of the search"), tag("p", said, class_="note"), tag("div", *plots, class_="plots")]


def _again(found: Gathered) -> list[Markup]:
    config, path = found.folder.config, shlex.quote(str(found.folder.path))
    lines = [command_of(config), _front_command(found)]
    if found.picks:
        lines += [f"engine export {path} --pick knee", f"engine score {path}:{found.picks[0][0].number}"]
    return [
        tag("h2", "Make it again"),
        tag("p", "The same records, on the same versions:", class_="note"),
        tag("pre", lines[0]),
        tag(
            "p",
            "The same from a file, engine run --config run.toml --out again, where run.toml holds",
            class_="note",
        ),
        tag("pre", toml_of(config)),
        tag("p", "From this run:", class_="note"),
        tag("pre", "\n".join(lines[1:])),
    ]


def _front_command(found: Gathered) -> str:
    texts = [f"{item.text}:{item.direction}" for item in found.front.objectives]
    flags = " ".join(f"--objective {shlex.quote(text)}" for text in texts)
    return f"engine front {shlex.quote(str(found.folder.path))} {flags}"
