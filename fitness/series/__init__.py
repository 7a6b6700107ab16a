"""Time series that recurrent networks forecast: `load_series("csv(column=load,split=0.7):load.csv")`.

Owns what a series is called, how it is read, scaled and cut into parts and windows. Knows no network and no score.
"""

from __future__ import annotations

from fitness.series.load import load_series
from fitness.series.series import PARTS, Scaling, Series, Windows, persistence
from fitness.series.source import SeriesSource
from fitness.series.text import SERIES, SeriesText, is_series

__all__ = [
    "PARTS",
    "SERIES",
    "Scaling",
    "Series",
    "SeriesSource",
    "SeriesText",
    "Windows",
    "is_series",
    "load_series",
    "persistence",
]
