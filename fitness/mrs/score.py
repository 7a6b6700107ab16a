"""MAE random sampling (MRS) as scores of a recurrent network.

Camero, Toutouh and Alba: "Low-cost recurrent neural network expected performance evaluation" (2018, arXiv
1805.07159), with the definitions of their program acamero/dlopt: draw all weights N(0, 1), biases too; take the
mean absolute error over all windows of the data; repeat; mrs = ln P(error <= threshold) of the truncated normal law
with the errors' mean and standard deviation.

Differs from the program: windows are those of the training part unless another is asked for (theirs reads the test
part); one seed for all networks unless `common=false` (theirs does the one in its Bayesian search and the other in
its evolution); `scale` and `law` have an effect; the logarithm has no floor; a network without spread in its errors
has no score instead of a division by zero; weights and windows are float32 as in Keras, but the arithmetic is
float64 (`single=true`: float32), since wide networks of a long look-back and weights of N(0, 1) amplify rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import blake2b
from math import inf, isfinite
from typing import ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from fitness.base import Direction, Needs
from fitness.mrs.draws import Draws
from fitness.mrs.stack import LAWS, Law, stack_of
from fitness.mrs.truncated import log_p
from fitness.mrs.windows import Distinct, distinct, windows_of
from fitness.series.series import PARTS, Windows
from fitness.series.source import SeriesSource
from spaces.errors import ScoreFailed, UnknownName, UsageError
from spaces.network import Network

__all__ = ["Mrs", "MrsMoment", "Sampling", "mrs", "mrs_errors", "mrs_mean", "mrs_std"]


@dataclass(frozen=True)
class Sampling:
    """How errors of a network with random weights are made; two alike give the same errors.

    Args:
        samples: How often all weights are drawn.
        law: "normal", N(0, 1); "uniform", U(-1, 1); "glorot", Glorot's uniform law per matrix, biases zero.
        scale: Multiplies every weight.
        split: Part of the series whose windows are forecast: one of `fitness.series.PARTS`.
        common: Whether all networks read one stream of random numbers, or each one of its own.
        single: Compute in float32: half the time, but networks of a long look-back amplify rounding up to 1e-4.
        series: Where the series comes from; None has no errors.
    """

    samples: int = 100
    law: str = "normal"
    scale: float = 1.0
    split: str = "train"
    common: bool = True
    single: bool = False
    series: SeriesSource | None = None

    def __post_init__(self) -> None:
        if type(self.samples) is not int or self.samples < 2:
            raise UsageError(
                f"mrs: samples is {self.samples!r}; expected a whole number from 2, of which to take the spread"
            )
        if self.law not in LAWS:
            raise UnknownName("law of mrs", str(self.law), LAWS)
        if not 0 < _number("scale", self.scale) <= 1e30:
            raise UsageError(f"mrs: scale is {self.scale}; expected a number above 0 and at most 1e30")
        if self.split not in PARTS:
            raise UnknownName("part of a series", str(self.split), PARTS)
        for name in ("common", "single"):
            if type(getattr(self, name)) is not bool:
                raise UsageError(f"mrs: {name} is {getattr(self, name)!r}; expected true or false")
        object.__setattr__(self, "scale", float(self.scale))  # 2 and 2.0 are one score

    def source(self) -> SeriesSource:
        """Where the series comes from.

        Raises:
            UsageError: There is none.
        """
        if self.series is None:
            raise UsageError("mrs without a series; name one, e.g. --space rnn --data sine")
        return self.series

    def moments(self, network: Network) -> tuple[float, float]:
        """Mean and standard deviation (ddof 0) of the errors; shared by the scores of one network.

        Raises:
            UsageError: There is no series, or it does not fit the network.
            ScoreFailed: An error is not finite, all are the same, or there is not enough memory for one.
        """
        return _moments(network, self)


@lru_cache(maxsize=8)  # the three scores of a network are asked for one after the other
def _moments(network: Network, sampling: Sampling) -> tuple[float, float]:
    source = sampling.source()
    stack = stack_of(network)
    seed = source.seed if sampling.common else _seed_of(network, source.seed)
    seen = windows_of(source, sampling.split, stack.look_back)
    errors = _errors(
        network, seen, sampling, seed, keep=sampling.common, device=source.device, threads=source.threads
    )
    if not np.isfinite(errors).all():
        raise ScoreFailed(
            f"{np.count_nonzero(~np.isfinite(errors))} of {len(errors)} errors are inf or nan: the forward pass "
            "overflows"
        )
    mean, std = float(errors.mean()), float(errors.std())
    if std == 0 or errors.min() == errors.max():
        raise ScoreFailed(
            f"all {len(errors)} samples of the weights have the same error {mean:.6g}, so it has no law"
        )
    return mean, std


def _seed_of(network: Network, seed: int) -> int:
    return int.from_bytes(blake2b(f"{seed}:{network.key}".encode(), digest_size=4).digest(), "big")


def _errors(
    network: Network, seen: Distinct, sampling: Sampling, seed: int, *, keep: bool, device: str, threads: int
) -> NDArray[np.float64]:
    from torch import OutOfMemoryError

    from fitness.mrs.batched import errors
    from fitness.probing.source import usable_device

    stack, features, outputs = stack_of(network), seen.inputs.shape[2], seen.targets.shape[1]
    if (stack.features, stack.outputs) != (features, outputs):
        raise UsageError(
            f"the network reads {stack.features} columns and forecasts {stack.outputs}; the series has {features} "
            f"and {outputs}: expected the same numbers"
        )
    law = cast(Law, sampling.law)
    draws = Draws(seed, law, keep=keep)
    try:
        return errors(
            stack,
            seen,
            draws,
            sampling.samples,
            law=law,
            scale=sampling.scale,
            single=sampling.single,
            device=usable_device(device),
            threads=threads,
        )
    except (MemoryError, OutOfMemoryError) as error:
        raise ScoreFailed(
            f"{error}; a smaller network, or a shorter part of the series (split=), needs less"
        ) from error


def mrs_errors(
    network: Network,
    windows: Windows,
    samples: int = 100,
    seed: int = 0,
    *,
    law: Law = "normal",
    scale: float = 1.0,
    single: bool = False,
    device: str = "cpu",
    threads: int = 1,
) -> NDArray[np.float64]:
    """Mean absolute errors of a network with random weights, (samples,).

    The weights are those of `numpy.random.seed(seed)` and, for each sample and each tensor in Keras' order (kernel,
    recurrent kernel, bias; gates i, f, c, o of an LSTM, z, r, h of a GRU), `numpy.random.normal(0, 1, shape)`,
    rounded to float32 as Keras keeps them, and multiplied with `scale`.

    Args:
        network: Input((L, F)) -> Recurrent... -> Dense..., such as space rnn makes.
        windows: Inputs (windows, L, F) and targets (windows, O), from `Series.windows` or any arrays.
        samples: How often all weights are drawn.
        seed: Of the draws.
        law: See `Sampling`.
        scale: Multiplies every weight.
        single: Compute in float32.
        device: "cpu", "cuda", "cuda:N", or "auto".
        threads: Of the CPU.

    Raises:
        UsageError: The network is of another form or does not fit the windows.
        ScoreFailed: There is not enough memory for one sample of its weights.
    """
    inputs, targets = (np.ascontiguousarray(array, np.float32) for array in (windows.inputs, windows.targets))
    if inputs.ndim != 3 or inputs.shape[1] != stack_of(network).look_back:
        raise UsageError(
            f"windows of shape {inputs.shape}; expected (windows, {stack_of(network).look_back}, columns), the "
            "network's look-back"
        )
    sampling = Sampling(samples, law, scale, single=single)
    seen = distinct(inputs, targets)
    return _errors(network, seen, sampling, seed, keep=True, device=device, threads=threads)


@dataclass(frozen=True)
class Mrs:
    """ln P(error <= threshold) of a network with random weights.

    Args:
        sampling: How the errors are made.
        threshold: Mean absolute error that counts as small, in the unit of the scaled series.
        lower: Where the law of the errors is truncated below.
        upper: And above; 0 takes the series' own, `Series.error_bound`.
    """

    sampling: Sampling
    threshold: float = 0.01
    lower: float = 0.0
    upper: float = 0.0
    direction: ClassVar[Direction] = "max"
    unit: ClassVar[str] = "ln p"
    needs: ClassVar[Needs] = "network"

    def __post_init__(self) -> None:
        for name in ("threshold", "lower", "upper"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        self._check(self.upper or inf)

    def _check(self, upper: float) -> None:
        if not self.lower < self.threshold < upper:
            raise UsageError(
                f"mrs: threshold is {self.threshold:g}; expected a number above lower={self.lower:g} and below "
                f"upper={upper:g}"
            )

    @property
    def bound(self) -> float:
        """Where the law of the errors is truncated above, of the series if not by `upper`.

        Raises:
            UsageError: The threshold is not below it; or there is no series.
            RunError: The series cannot be read.
        """
        bound = self.upper or self.sampling.source().open().error_bound
        self._check(bound)
        return bound

    @property
    def name(self) -> str:
        """What its values are recorded under."""
        return _spelled("mrs", self.sampling, self)

    def __call__(self, network: Network) -> float:
        """Ln p of a network, at most 0.

        Raises:
            UsageError: See `Sampling.moments`; or the threshold is not below the series' own upper bound.
            ScoreFailed: See there; or the number is beyond what a float holds.
        """
        bound = self.bound
        mean, std = self.sampling.moments(network)
        value = log_p(mean, std, self.threshold, self.lower, bound)
        if not isfinite(value):
            raise ScoreFailed(f"ln p of errors with mean {mean:.6g} and standard deviation {std:.6g} is not finite")
        return value


@dataclass(frozen=True)
class MrsMoment:
    """Mean or standard deviation of the errors of a network with random weights.

    A small mean is better, and so is a large spread: it is what makes small errors likely.

    Args:
        sampling: How the errors are made.
        moment: Which one.
    """

    sampling: Sampling
    moment: Literal["mean", "std"]
    unit: ClassVar[str] = "scaled units of the series"
    needs: ClassVar[Needs] = "network"
    positive: ClassVar[bool] = True

    @property
    def direction(self) -> Direction:
        """Less of the mean is better, more of the spread."""
        return "min" if self.moment == "mean" else "max"

    @property
    def name(self) -> str:
        """What its values are recorded under."""
        return _spelled(f"mrs_{self.moment}", self.sampling)

    def __call__(self, network: Network) -> float:
        """The moment for a network.

        Raises:
            UsageError: See `Sampling.moments`.
            ScoreFailed: Likewise.
        """
        return self.sampling.moments(network)[0 if self.moment == "mean" else 1]


def _number(name: str, value: object) -> float:
    """An option that has to be a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise UsageError(f"mrs: {name} is {value!r}; expected a finite number")
    return float(value)


def _spelled(title: str, *options: Sampling | Mrs) -> str:
    """The title with the options that differ from their defaults."""
    chosen = []
    for held in options:
        for field in fields(held):
            value = getattr(held, field.name)
            if field.name not in ("sampling", "series") and value != field.default:
                chosen.append(f"{field.name}={str(value).lower() if isinstance(value, bool) else value}")
    return title + (f"({','.join(chosen)})" if chosen else "")


def mrs(
    samples: int = 100,
    threshold: float = 0.01,
    lower: float = 0.0,
    upper: float = 0.0,
    law: str = "normal",
    scale: float = 1.0,
    split: str = "train",
    common: bool = True,
    single: bool = False,
    series: SeriesSource | None = None,
) -> Mrs:
    """MAE random sampling: ln of the probability that random weights forecast with an error below a threshold."""
    return Mrs(Sampling(samples, law, scale, split, common, single, series), threshold, lower, upper)


def mrs_mean(
    samples: int = 100,
    law: str = "normal",
    scale: float = 1.0,
    split: str = "train",
    common: bool = True,
    single: bool = False,
    series: SeriesSource | None = None,
) -> MrsMoment:
    """Mean absolute error of forecasts with random weights, averaged over the samples that mrs takes."""
    return MrsMoment(Sampling(samples, law, scale, split, common, single, series), "mean")


def mrs_std(
    samples: int = 100,
    law: str = "normal",
    scale: float = 1.0,
    split: str = "train",
    common: bool = True,
    single: bool = False,
    series: SeriesSource | None = None,
) -> MrsMoment:
    """Standard deviation of the errors of forecasts with random weights, over the samples that mrs takes."""
    return MrsMoment(Sampling(samples, law, scale, split, common, single, series), "std")
