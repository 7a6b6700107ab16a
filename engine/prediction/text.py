"""Predictions as a table, CSV or JSON."""

from __future__ import annotations

import json
from math import floor, inf, log10

from engine.prediction.predicting import Agreement, Predicted, PredictedNetwork
from engine.results.tabular import aligned, as_csv, counted, json_number

__all__ = ["FORMATS", "format_predicted"]

FORMATS = ("table", "csv", "json")


def format_predicted(found: Predicted, kind: str, top: int | None) -> str:
    """Predictions as text, the best network first.

    Args:
        found: The predictions.
        kind: One of `FORMATS`.
        top: Show so many; None for all, of a table 20.
    """
    shown = found.networks[: top if top is not None else 20 if kind == "table" else None]
    return {"table": _table, "csv": _csv, "json": _json}[kind](found, shown)


def _titles(found: Predicted) -> list[str]:
    number = ["number"] if found.setup.config.known_run is not None else []
    return [*number, "mean", "std", "known", "architecture"]


def _row(found: Predicted, one: PredictedNetwork) -> list[object]:
    number = [one.number] if found.setup.config.known_run is not None else []
    return [*number, one.mean, one.std, one.known, found.setup.space.describe(one.genotype)]


def _table(found: Predicted, shown: tuple[PredictedNetwork, ...]) -> str:
    known, count = found.known, len(found.networks)
    better = "larger" if known.direction == "max" else "smaller"
    largest = max((abs(value) for one in shown for value in (one.mean, one.std)), default=1.0)
    decimals = min(max(5 - floor(log10(largest)), 0), 12) if 0 < largest < inf else 4  # points under each other
    cells = [_titles(found)]
    cells += [[_cell(value, decimals) for value in _row(found, one)] for one in shown]
    left = [line[-1] for line in cells]
    numbers = aligned([line[:-1] for line in cells], 0)
    learnt = counted(len(known.networks), "network")
    each = 1000 * found.query_seconds / count
    lines = [
        f"{found.predictor} learnt {known.metric} ({better} is better) of {learnt} of {known.source} in "
        f"{found.fit_seconds:.2g} s",
        f"and predicted {counted(count, 'network')} in {found.query_seconds:.2g} s, {each:.2g} ms each",
        "",
        *(f"{number}  {text}" for number, text in zip(numbers, left, strict=True)),
    ]
    if len(shown) < count:
        lines.append(f"... and {count - len(shown):,} more")
    if found.agreement is not None:
        lines += ["", _agreement(found.agreement, known.unit)]
    return "\n".join(lines)


def _agreement(of: Agreement, unit: str) -> str:
    return (
        f"beside the truth of {counted(of.networks, 'network')} that compute nothing that a known one does: "
        f"Kendall {of.kendall:.3f}, Spearman {of.spearman:.3f}, Pearson {of.pearson:.3f}, "
        f"mean absolute error {of.mae:.4g} {unit}"
    ).rstrip()


def _cell(value: object, decimals: int) -> str:
    if value is None:
        return "-"
    return f"{value:,.{decimals}f}" if isinstance(value, float) else str(value)


def _csv(found: Predicted, shown: tuple[PredictedNetwork, ...]) -> str:
    return as_csv([_titles(found), *(_row(found, one) for one in shown)])


def _json(found: Predicted, shown: tuple[PredictedNetwork, ...]) -> str:
    known, of = found.known, found.agreement
    agreement = None if of is None else {name: json_number(value) for name, value in of._asdict().items()}
    return json.dumps(
        {
            "predictor": found.predictor,
            "metric": known.metric,
            "direction": known.direction,
            "unit": known.unit,
            "source": known.source,
            "known": len(known.networks),
            "predicted": len(found.networks),
            "fit_seconds": round(found.fit_seconds, 6),
            "query_seconds": round(found.query_seconds, 6),
            "agreement": agreement,
            "networks": [dict(zip(_titles(found), _row(found, one), strict=True)) for one in shown],
        },
        indent=1,
    )
