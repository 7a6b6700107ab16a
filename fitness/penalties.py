"""Size penalties that multiply a positive score: 1 up to a transition, then smoothly to 0.

Fernandes 2022 (see `fitness.trace`), section 4.2.1, as its text and Figure 14 define them: equal to one at the
origin. Its printed equations 15 to 17 are densities that are not normalised at the transition; `literal=true`
gives those, "x otherwise" read as the score unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cosh, exp, isfinite, log, pi, sqrt
from typing import Literal

from spaces.errors import UnknownName, UsageError

BYTES_PER_MB = 1_000_000
PENALTY_NAMES = ("gdf", "hsdf", "rdf")
Side = Literal["upper", "both"]

_DEFAULTS: dict[str, dict[str, float]] = {
    "gdf": {"mu": 0.2, "sigma": 0.4},
    "hsdf": {"mu": 0.2, "s": 0.4},
    "rdf": {"sigma": 0.2},
}


@dataclass(frozen=True)
class Penalty:
    """One penalty; `x` is the model's size in MB (10^6 bytes).

    Attributes:
        kind: "gdf" (Gaussian), "hsdf" (hyperbolic secant) or "rdf" (Rayleigh).
        figure: The recorded figure that x comes from, "params" at one byte each or "flash_bytes".
        mu: Transition of gdf and hsdf in MB.
        scale: sigma of gdf and rdf, s of hsdf, in MB; rdf's transition.
        side: "upper" leaves sizes below the transition alone, "both" punishes distance on either side.
        literal: Use the equations as printed.
    """

    kind: str
    figure: str
    mu: float
    scale: float
    side: Side = "upper"
    literal: bool = False

    def __str__(self) -> str:
        if self.kind == "rdf":
            parameters = f"sigma={self.scale:g}"
        else:
            parameters = f"mu={self.mu:g}, {'sigma' if self.kind == 'gdf' else 's'}={self.scale:g}"
        side = ", side=both" if self.side == "both" else ""
        literal = ", literal=true" if self.literal else ""
        return f"{self.kind}({parameters}{side}{literal}) on {self.figure} in MB"

    def __call__(self, size_bytes: float) -> float:
        """The factor for a model of `size_bytes`."""
        return exp(self.log(size_bytes))

    def log(self, size_bytes: float) -> float:
        """Natural logarithm of the factor; finite where the factor itself underflows."""
        x = size_bytes / BYTES_PER_MB
        if x < self.mu and self.side == "upper":
            return 0.0
        away = (x - self.mu) / self.scale
        if self.kind == "gdf":  # eq. 15
            return -away * away / 2 - (log(self.scale * sqrt(2 * pi)) if self.literal else 0.0)
        if self.kind == "hsdf":  # eq. 16
            if self.literal:
                return _log_sech(pi / 2 * (x - self.mu)) - log(2)
            return _log_sech(pi / 2 * away)
        ratio = x / self.scale  # eq. 17
        if self.literal:
            return log(x / self.scale**2) - ratio * ratio / 2
        return log(ratio) + 0.5 - ratio * ratio / 2


def penalty(kind: str, options: dict[str, object], flash_budget_bytes: int | None = None) -> Penalty:
    """A penalty from an expression such as `gdf(mu=0.2)`.

    Args:
        kind: gdf, hsdf or rdf.
        options: mu, sigma (gdf, rdf) or s (hsdf) in MB, side, literal.
        flash_budget_bytes: Under a target, its flash budget. Then sizes are `flash_bytes`, and a penalty without
            options means "use the budget": gdf and hsdf two-sided around it with half of it as scale, rdf with
            its transition there.

    Raises:
        UsageError: An unknown option or a value out of range.
    """
    if kind not in _DEFAULTS:
        raise UnknownName("penalty", kind, _DEFAULTS)
    figure = "params" if flash_budget_bytes is None else "flash_bytes"
    scale_name = "s" if kind == "hsdf" else "sigma"
    values = dict(_DEFAULTS[kind])
    side: Side = "upper"
    if flash_budget_bytes is not None and not options:
        budget = flash_budget_bytes / BYTES_PER_MB
        if kind == "rdf":
            values["sigma"] = budget
        else:
            values["mu"], values[scale_name], side = budget, budget / 2, "both"
    literal = False
    for name, value in options.items():
        if name == "literal":
            if not isinstance(value, bool):
                raise UsageError(f"{kind}: literal={value}; expected true or false")
            literal = value
        elif name == "side" and kind != "rdf":
            if value not in ("upper", "both"):
                raise UsageError(f"{kind}: side={value}; expected upper or both")
            side = "both" if value == "both" else "upper"
        elif name in values or (name == "mu" and options.get("literal") is True):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
                raise UsageError(f"{kind}: {name}={value}; expected a finite number of MB")
            values[name] = float(value)
        else:
            known = [*values, *(["side"] if kind != "rdf" else []), "literal"]
            raise UsageError(f"{kind} takes no option {name!r}; its options: {', '.join(known)}")
    scale, mu = values[scale_name], values.get("mu", values[scale_name])
    if scale <= 0 or mu < 0:
        raise UsageError(f"{kind}: mu={mu:g}, {scale_name}={scale:g}; expected mu >= 0 and {scale_name} > 0")
    return Penalty(kind, figure, mu, scale, side, literal)


def _log_sech(angle: float) -> float:
    angle = abs(angle)
    return log(2) - angle if angle > 300 else -log(cosh(angle))
