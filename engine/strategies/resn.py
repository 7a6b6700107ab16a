"""(μ+λ) evolution of lists of layers, as for recurrent networks.

Camero, Toutouh, Alba: Random error sampling-based recurrent neural network architecture optimization (RESN),
Engineering Applications of Artificial Intelligence 96, 2020, arXiv:1909.02425, as in the authors' program (DLOPT):
λ times, the winner of a tournament of two is changed without crossover, and the best μ of parents and children live
on. Every number changes with one probability; with another a layer, drawn at random, is deleted or duplicated.

Once in a generation all three strengths adapt: where the parents' mean merit rose, probabilities and step grow by a
half, else they fall to a quarter, to 10^-9 and a step of 1 at least (or the first one, if that is less), to 1 and
a million at most.

Differs from the program: this is the direction its own comment gives; its test takes every objective for one to
be minimised, so that with a score to be maximised standstill widens the search. The length of the list never takes
the look-back for a layer, steps are rounded instead of cut off, and a restart also resets the strengths. A child in
which no draw changes anything is not evaluated once more: one change is forced, each kind by its probability; one
that was asked before is drawn anew.

With one ask open this is the algorithm; with several, no ask waits: before there are μ parents random ones are
asked, and a child told after its generation has ended counts in the next, but for one told after the next start:
a restart keeps `migrate` parents and nothing else. Candidates that break a bound, fail or have no finite merit are
neither parents nor counted. The program's steps are 2 to 15, its probabilities .1 to .25.

Measured, one ask open, mean and spread of the best over 10 seeds: munas-mlp, trace+gdf, 100 records: 11.99 ± 0.08,
with step=60 12.07 ± 0.03, without adapt 11.73 ± 0.09, eight asks open 11.87 ± 0.13; random search 11.69 ± 0.07.
rnn on sine, mrs(samples=20), 60 records: -8.9 ± 0.9, with step=60 -8.9 ± 0.7; random search -8.8 ± 0.9: no better.
"""

from __future__ import annotations

import math
from random import Random
from statistics import fmean
from typing import ClassVar, NamedTuple

from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.base import MOST, check_count, stream
from engine.strategies.mixed.layer_list import LayerList, domains_of
from engine.strategies.random import RandomSearch
from spaces.errors import UsageError
from spaces.space import Domain, Genotype, Integer, Space, Value

GROWTH, DECLINE = 1.5, 4.0  # of the strengths, after a better generation and after any other
LEAST_CHANCE, LEAST_STEP = 1e-9, 1.0
LENGTH_CHANCE, SPAN = 0.2, 100  # of `p_length` and `max_eval` where nothing is said
_TRIES = 20  # children asked before until a random candidate is asked


class Strengths(NamedTuple):
    """How much a mutation changes: two probabilities, and a step in units of the choices' own."""

    gene: float
    length: float
    step: float

    def adapted(self, better: bool, least_step: float = LEAST_STEP) -> Strengths:
        """Those of the next generation."""
        if better:
            gene, length = min(1.0, self.gene * GROWTH), min(1.0, self.length * GROWTH)
            return Strengths(gene, length, min(float(MOST), self.step * GROWTH))
        gene = max(LEAST_CHANCE, self.gene / DECLINE)
        length = max(LEAST_CHANCE, self.length / DECLINE) if self.length else 0.0
        return Strengths(gene, length, max(least_step, self.step / DECLINE))


class _Individual(NamedTuple):
    merit: float
    number: int
    genotype: Genotype


class LayerEvolution:
    """See the module.

    In a space that is no list of layers, every choice is a gene; what is no number changes to any other value.

    Args:
        space: Best one with `layered`.
        objectives: Exactly one objective.
        seed: Of the run.
        population: μ.
        offspring: λ, good children in a generation.
        mutation: "uniform" adds or takes max(1, i), i whole and uniform below `step`; "gaussian" adds N(0, step),
            rounded.
        p_gene: Probability that a choice changes.
        p_length: Probability that a layer is deleted or duplicated, half each; 0.2 if not given. For lists of
            layers of more than one length.
        step: See `mutation`; in units of a choice's own step. At least 1 for "uniform".
        adapt: Whether `p_gene`, `p_length` and `step` adapt.
        restarts: How often the search starts anew.
        max_eval: Candidates of a start told until the next; the last goes on to the run's end. 100 if not given;
            with restarts only.
        migrate: Best parents that a restart keeps; one, or none of a population of one, if not given. Likewise.

    Raises:
        UsageError: An option out of its range, or one that would have no effect.
    """

    max_objectives: ClassVar[int | None] = 1

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        population: int = 3,
        offspring: int = 5,
        mutation: str = "uniform",
        p_gene: float = 0.2,
        p_length: float | None = None,
        step: float = 15.0,
        adapt: bool = True,
        restarts: int = 0,
        max_eval: int | None = None,
        migrate: int | None = None,
    ) -> None:
        check_count("population", population)
        check_count("offspring", offspring)
        check_count("restarts", restarts, least=0)
        for name, count in (("max_eval", max_eval), ("migrate", migrate)):
            if count is not None and not restarts:
                raise UsageError(f"{name} is {count!r}, but restarts is 0; expected restarts from 1, or no {name}")
        if mutation not in ("uniform", "gaussian"):
            raise UsageError(f"mutation {mutation!r}; expected 'uniform' or 'gaussian'")
        if type(adapt) is not bool:
            raise UsageError(f"adapt is {adapt!r}; expected true or false")
        self._layers = LayerList(space, space.layered) if space.layered is not None else None
        resizes = self._layers is not None and self._layers.least < self._layers.most
        if p_length is None:
            p_length = LENGTH_CHANCE if resizes else 0.0
        elif not resizes:
            raise UsageError(
                f"strategy 'resn': p_length is for lists of layers of more than one length, which space "
                f"{space.name!r} has none of; expected no such option"
            )
        for name, chance in (("p_gene", p_gene), ("p_length", p_length)):
            number = isinstance(chance, (int, float)) and not isinstance(chance, bool)
            if not number or not 0 <= chance <= 1 or (name == "p_gene" and chance == 0):
                raise UsageError(
                    f"{name} is {chance!r}; expected a probability{' above 0' if name == 'p_gene' else ''}, 0 to 1"
                )
        least = "at least 1" if mutation == "uniform" else "above 0"
        if not 0 < step <= MOST or (mutation == "uniform" and step < 1):
            raise UsageError(f"step is {step!r}; expected a number {least}, at most {MOST:,}")
        max_eval = SPAN if max_eval is None else max_eval
        migrate = min(1, population - 1) if migrate is None else migrate
        check_count("max_eval", max_eval)
        check_count(f"migrate for a population of {population:,}", migrate, least=0, most=population - 1)
        self._space, self._objectives, self._seed = space, objectives, seed
        self._size, self._offspring, self._uniform = population, offspring, mutation == "uniform"
        self._first = self.strengths = Strengths(p_gene, p_length, step)
        self._adapt, self._restarts, self._span, self._migrate = adapt, restarts, max_eval, migrate
        self._random = RandomSearch(space, objectives, seed)
        self._parents: list[_Individual] = []
        self._children: list[_Individual] = []
        self._mean = math.nan  # of the parents before, see `_mean`
        self._start = 0  # number of the first candidate since the last start
        self._told = 0  # since then

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        return self._random.ask_unless(self._child() if len(self._parents) == self._size else None)

    def tell(self, record: Record) -> None:
        """See `Strategy.tell`."""
        if record.number < self._start:
            return  # open when the search started anew: of the one that has ended
        merits = self._objectives.merits(record)
        if merits is not None and math.isfinite(merits[0]):
            self._enter(_Individual(merits[0], record.number, record.genotype))
        self._told += 1
        if self._restarts and self._told >= self._span and len(self._parents) == self._size:
            self._restart()

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self._random.adopt(candidate)

    def _enter(self, told: _Individual) -> None:
        """Make one a parent while there are too few, else a child."""
        if len(self._parents) < self._size:
            self._parents.append(told)
            if len(self._parents) == self._size:
                self._mean = _mean(self._parents)
        else:
            self._children.append(told)
        if len(self._parents) == self._size and len(self._children) >= self._offspring:
            self._parents = _best(self._parents + self._children, self._size)
            self._children = []
            before, self._mean = self._mean, _mean(self._parents)
            if self._adapt:
                self.strengths = self.strengths.adapted(self._mean > before, min(LEAST_STEP, self._first.step))

    def _restart(self) -> None:
        self._restarts -= 1
        self._parents = _best(self._parents + self._children, self._migrate)
        self._children = []
        self.strengths = self._first
        self._start, self._told = self._random.asked, 0

    def _child(self) -> Candidate | None:
        """A mutant of a tournament's winner that was not asked before; None if there seems to be none."""
        rng = stream(self._seed, self._random.asked)
        one, other = rng.choice(self._parents), rng.choice(self._parents)
        parent = one if one.merit > other.merit else other
        domains = domains_of(self._space, parent.genotype)
        for _ in range(_TRIES):
            genotype = self._made(self._mutated(parent.genotype, domains, rng), rng)
            if hash(genotype) not in self._random.fingerprints:
                return Candidate(self._random.asked, genotype, parent.number)
        return None

    def _made(self, choices: dict[str, Value], rng: Random) -> Genotype:
        """The member that has these choices; where a change brings new ones, they are drawn."""

        def choose(name: str, domain: Domain) -> Value:
            value = choices.get(name)
            return value if value is not None and value in domain else domain.draw(rng.random())

        return self._space.record_new(choose, self._random.fingerprints)

    def _mutated(self, genotype: Genotype, domains: dict[str, Domain], rng: Random) -> dict[str, Value]:
        """The choices after at least one draw that changes some."""
        choices = genotype.to_dict()
        genes = list(choices)
        if self._layers is not None:
            genes.remove(self._layers.count)
        chances = [*[self.strengths.gene] * len(genes), self.strengths.length]
        hit = [rng.random() < chance for chance in chances]
        if not any(hit) and any(chances):
            hit[rng.choices(range(len(hit)), chances)[0]] = True
        for name in (name for name, changes in zip(genes, hit, strict=False) if changes):
            choices[name] = self._changed(choices[name], domains[name], rng)
        return self._resized(choices, rng) if hit[-1] else choices

    def _changed(self, value: Value, domain: Domain, rng: Random) -> Value:
        """Another value of one choice: a number a step away, within its bounds, or any other name."""
        if isinstance(domain, Integer):
            if self._uniform:
                step = max(1, rng.randrange(max(1, int(self.strengths.step))))
                step = -step if rng.random() < 0.5 else step
            else:
                step = round(rng.gauss(0, self.strengths.step))
            return min(max(int(value) + step * domain.step, domain.low), domain.high)
        others = [other for other in domain.values() if other != value]
        return rng.choice(others) if others else value

    def _resized(self, choices: dict[str, Value], rng: Random) -> dict[str, Value]:
        """With one layer less, or one twice in a row; at a bound of the length, what can be done of the two."""
        assert self._layers is not None, "only the length of a list changes"
        rest, layers = self._layers.split(choices)
        place = rng.randrange(len(layers))
        shorter = rng.random() < 0.5
        if len(layers) == (self._layers.least if shorter else self._layers.most):
            shorter = not shorter
        if shorter:
            del layers[place]
        else:
            layers.insert(place, layers[place])
        return self._layers.join(rest, layers)


def _best(individuals: list[_Individual], count: int) -> list[_Individual]:
    """The best, the earlier of equals first."""
    return sorted(individuals, key=lambda one: (-one.merit, one.number))[:count]


def _mean(individuals: list[_Individual]) -> float:
    """Mean merit, of a scale of its own on which none of `MOST` or fewer overflows."""
    return fmean(math.ldexp(one.merit, -MOST.bit_length()) for one in individuals)
