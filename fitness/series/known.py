"""Series that need no file: the sine of the papers, and two real ones that come with statsmodels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spaces.errors import MissingExtra, UsageError

__all__ = ["co2", "sine", "sunspots"]

_MOST_ROWS = 10_000_000


def sine(frequency: float = 1.0, start: float = 0.0, stop: float = 100.0, step: float = 0.1) -> NDArray[np.float64]:
    """(rows,) sin(2 pi frequency x) for x = start, start + step, ... below stop; by default the papers' series.

    Theirs (Camero, Toutouh and Alba) has ten rows per period and a hundred periods.

    Raises:
        UsageError: No such sine.
    """
    if frequency <= 0 or step <= 0:
        raise UsageError(f"sine with frequency {frequency:g} and step {step:g}; expected numbers above 0")
    count = (stop - start) / step - 1e-6  # 0.3 / 0.1 is a little less than 3
    if not count <= _MOST_ROWS:
        raise UsageError(f"a sine of {count:,.0f} rows; expected at most {_MOST_ROWS:,}: a larger step")
    rows = max(math.ceil(count), 0)
    return np.asarray(np.sin(2 * np.pi * frequency * (start + step * np.arange(rows))))


def sunspots() -> NDArray[np.float64]:
    """(309,) mean sunspot number of every year from 1700 to 2008 (SIDC), none missing.

    Raises:
        MissingExtra: statsmodels is not installed.
    """
    try:
        from statsmodels.datasets import sunspots as dataset
    except ImportError as error:
        raise _missing("sunspots") from error
    return np.asarray(dataset.load_pandas().data["SUNACTIVITY"], dtype=np.float64)


def co2() -> NDArray[np.float64]:
    """(2284,) CO2 in the air over Mauna Loa in ppm, every week from 1958-03-29 to 2001-12-29 (Keeling and Whorf).

    59 weeks have no value. Each gap is filled by a straight line between the weeks around it: no row is left out,
    so steps of time stay equal.

    Raises:
        MissingExtra: statsmodels is not installed.
    """
    try:
        from statsmodels.datasets import co2 as dataset
    except ImportError as error:
        raise _missing("co2") from error
    values = np.asarray(dataset.load_pandas().data["co2"], dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values))
    return np.interp(np.arange(len(values)), known, values[known])


def _missing(name: str) -> MissingExtra:
    return MissingExtra(
        f"the series {name!r} comes with statsmodels, which is not installed; install the extra: "
        "pip install 'nas-engine[series]'"
    )
