"""Fitness expressions: `trace`, `trace+gdf(mu=0.2)`, `naswot+trace(live=true)+rdf`.

An expression names scores and penalties joined by +. What it says is computed from recorded raw scores, so it
can be asked of a run after the fact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log

from fitness.base import Fitness
from fitness.penalties import PENALTY_NAMES, Penalty, penalty
from fitness.reference import Quantiles
from spaces.errors import UsageError

_NAME = re.compile(r"[A-Za-z_][\w.:-]*")


@dataclass(frozen=True)
class Term:
    """One name of an expression with its options."""

    name: str
    options: Mapping[str, object]


def parse(text: str, what: str = "fitness") -> tuple[Term, ...]:
    """The terms of `a+b(key=value, ...)`.

    Args:
        text: Without blanks.
        what: What the text names, as errors call it.

    Raises:
        UsageError: Not of that form, or a value that is not a finite number, true, false or a word.
    """
    terms, at = [], 0
    while True:
        match = _NAME.match(text, at)
        if not match:
            raise _malformed(text, at, "a name", what)
        at, options = match.end(), {}
        if text[at : at + 1] == "(":
            close = text.find(")", at)
            if close < 0:
                raise _malformed(text, len(text), "')'", what)
            options = _options(text[at + 1 : close], f"{what} {text!r}")
            at = close + 1
        terms.append(Term(match.group(), options))
        if at == len(text):
            return tuple(terms)
        if text[at] != "+":
            raise _malformed(text, at, "'+' or the end", what)
        at += 1


def split_list(text: str) -> list[str]:
    """Split `a,b(x=1,y=2),c` at the commas outside parentheses."""
    return re.split(r",(?![^(]*\))", text)


class Expression:
    """Scores and penalties with the one number they make of a record.

    One positive, higher-better score times its penalties is just that product. Everything else is
    sum ln q_i + sum ln penalty_j, with q_i the quantile of score i in the space's reference sample.

    Args:
        text: The expression.
        make: Creates the fitness for a score's name and options.
        flash_budget_bytes: Under a target, what penalties take as the size to use.
    """

    def __init__(
        self,
        text: str,
        make: Callable[[str, Mapping[str, object]], Fitness],
        flash_budget_bytes: int | None = None,
    ) -> None:
        scores: dict[str, Fitness] = {}
        penalties: list[Penalty] = []
        for term in parse("".join(text.split())):
            if term.name in PENALTY_NAMES:
                penalties.append(penalty(term.name, dict(term.options), flash_budget_bytes))
                continue
            score = make(term.name, term.options)
            if score.name in scores:
                raise UsageError(f"fitness {text!r} names {score.name!r} twice; expected it once")
            scores[score.name] = score
        if not scores:
            raise UsageError(f"fitness {text!r} has only penalties; expected a score to penalise, e.g. trace+gdf")
        self.text = text
        self.scores: tuple[Fitness, ...] = tuple(scores.values())
        self.penalties: tuple[Penalty, ...] = tuple(penalties)
        self.quantiles: Mapping[str, Quantiles] = {}
        first = self.scores[0]
        self._plain = len(scores) == 1 and not penalties
        self._product = (
            len(scores) == 1
            and bool(penalties)
            and first.direction == "max"
            and bool(getattr(first, "positive", False))
        )

    @property
    def direction(self) -> str:
        """A lone score keeps its own direction; a combination is better when larger."""
        return self.scores[0].direction if self._plain else "max"

    @property
    def recorded(self) -> tuple[str, ...]:
        """Names of the raw scores that `value` reads."""
        figures = {penalty.figure: None for penalty in self.penalties}
        return tuple({score.name: None for score in self.scores} | figures)

    @property
    def needs_reference(self) -> bool:
        """Whether `quantiles` must be set before a value can be computed."""
        return not (self._plain or self._product)

    def refer(self, samples: Mapping[str, Sequence[float]]) -> None:
        """Take the raw scores of the reference sample, by name."""
        self.quantiles = {
            score.name: Quantiles(score.name, [self._sign(score) * value for value in samples[score.name]])
            for score in self.scores
        }

    def value(self, scores: Mapping[str, float]) -> float:
        """The number people see; a product stays a product."""
        if self._product:
            factor = exp(sum(penalty.log(scores[penalty.figure]) for penalty in self.penalties))
            return scores[self.scores[0].name] * factor
        return self.merit(scores)

    def merit(self, scores: Mapping[str, float]) -> float:
        """What is compared: the value, in logarithms wherever penalties could underflow it to a tie."""
        if self._plain:
            return scores[self.scores[0].name]
        penalised = sum(penalty.log(scores[penalty.figure]) for penalty in self.penalties)
        if self._product:
            score = scores[self.scores[0].name]
            return (log(score) if score > 0 else -inf) + penalised
        return penalised + sum(
            self.quantiles[score.name].log_q(self._sign(score) * scores[score.name]) for score in self.scores
        )

    @staticmethod
    def _sign(score: Fitness) -> int:
        return 1 if score.direction == "max" else -1


def _options(text: str, whole: str) -> dict[str, object]:
    options: dict[str, object] = {}
    for part in text.split(",") if text else ():
        name, equals, raw = part.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name) or not raw:
            raise UsageError(f"{whole}: {part!r} is not an option; expected name=value")
        if name in options:
            raise UsageError(f"{whole}: option {name!r} is given twice; expected it once")
        options[name] = _value(raw, whole)
    return options


def _value(raw: str, whole: str) -> object:
    if raw.lower() in ("true", "false"):
        return raw.lower() == "true"
    try:
        return int(raw)
    except ValueError:
        pass
    try:
        number = float(raw)
    except ValueError:
        return raw.strip("'\"")
    if not isfinite(number):
        raise UsageError(f"{whole}: {raw} is not a number that can be used; expected a finite one")
    return number


def _malformed(text: str, at: int, expected: str, what: str) -> UsageError:
    got = repr(text[at]) if at < len(text) else "the end"
    example = ", as in trace+gdf(mu=0.2) or naswot+trace" if what == "fitness" else ""
    return UsageError(f"{what} {text!r}: {got} at position {at + 1}; expected {expected}{example}")
