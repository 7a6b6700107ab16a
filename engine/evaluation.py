"""Candidate -> outcome: cheap figures first, bounds next, the rest only for what keeps them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.objectives import Bound
from engine.reading import of_series
from engine.records import Status
from engine.run_folder import current_versions
from engine.score_cache import Known, ScoreCache, ScoreFile
from fitness.base import Fitness
from fitness.probing.source import ProbeSource
from fitness.scores.base import GenotypeScore, Score
from spaces.errors import CacheFailed
from spaces.layers import Zero
from spaces.network import Network
from spaces.space import Genotype, Space
from spaces.supernet import SupernetSpace

if TYPE_CHECKING:
    from torch import nn

    from fitness.probing.measure import Measured
    from fitness.probing.probe import Probe, Probed

_LONGEST_REASON = 300  # characters of an error's message that go into a record
_KNOWN = 20_000  # functions whose scores are remembered
SUPERNET = "not an architecture yet"  # what turns supernets down


class Outcome(NamedTuple):
    """What evaluating one candidate gave; see `Record` for the fields."""

    scores: dict[str, float]
    status: Status
    reason: str | None
    seconds: float


class Evaluator:
    """Computes all recorded scores of a genotype. Can be sent to another process.

    Args:
        space: Decodes genotypes.
        bounds: Tried before anything else, the cheapest first; the first that is broken ends the evaluation.
        scores: Further scores to record.
        probe: What training-free scores of modules are computed on; None if there are none.
        threads: Of torch while it computes. Rounding depends on it, so it belongs to what a run is.
        cache: Where scores of modules are kept between runs; None keeps none.

    Attributes:
        shareable: Whether networks of one key have all their scores in common.
        saved_seconds: What computing the scores that came from the cache had taken.
    """

    def __init__(
        self,
        space: Space,
        bounds: Sequence[Bound],
        scores: Sequence[Fitness],
        probe: ProbeSource | None = None,
        threads: int = 1,
        cache: ScoreCache | None = None,
    ) -> None:
        self._space = space
        self._bounds = tuple(sorted(bounds, key=lambda bound: _cost(bound.fitness)))
        named = {fitness.name: fitness for fitness in scores}
        self._scores = tuple(sorted(named.values(), key=_cost))
        every = [*self._scores, *(bound.fitness for bound in self._bounds)]
        self._own = {
            fitness.name for fitness in every if fitness.needs == "genotype" or isinstance(fitness, GenotypeScore)
        }
        self.shareable = not self._own
        self._measured = tuple(fitness for fitness in every if fitness.needs == "images")
        self._source, self._threads = probe, threads
        self._probe: Probe | None = None
        self._known: dict[tuple[str, str], Measured] = {}  # by simplified key and score
        self._cache = cache
        self._files: dict[str, ScoreFile] = {}  # of the cache, by score
        self.saved_seconds = 0.0

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_probe": None, "_known": {}, "_files": {}}  # a worker loads its own images

    def open(self) -> None:
        """Load the images now, so that what is wrong with them is found before anything runs.

        Raises:
            UsageError: See `ProbeSource.open`.
            RunError: Likewise.
        """
        if self._source is not None and self._probe is None and self._measured:
            self._probe = self._source.open(self._measured)

    def __call__(self, genotype: Genotype, known: Mapping[str, float] | None = None) -> Outcome:
        """Evaluate, taking over from `known` what networks of one key share."""
        started, saved = time.perf_counter(), self.saved_seconds
        scores: dict[str, float] = {}
        if known:
            scores = {name: value for name, value in known.items() if name not in self._own}
        status, reason = self._evaluate(genotype, scores)
        seconds = time.perf_counter() - started + self.saved_seconds - saved
        return Outcome(scores, status, reason, round(seconds, 6))

    def recall(self, genotype: Genotype) -> Outcome | None:
        """The outcome if the cache holds all of it: neither bounds nor scores that are not of modules."""
        asked = [score for score in self._scores if isinstance(score, Score)]
        if self._cache is None or self._bounds or len(asked) < len(self._scores):
            return None
        known = self._kept(genotype, self._space.decode(genotype), asked)
        return self(genotype) if len(known) == len(asked) else None

    def _evaluate(self, genotype: Genotype, scores: dict[str, float]) -> tuple[Status, str | None]:
        undecided = self._space.undecided(genotype) if isinstance(self._space, SupernetSpace) else 0
        for bound in () if undecided else self._bounds:  # they are for what is found in the end
            reason = self._add([bound.fitness], genotype, scores)
            if reason is not None:
                return "failed", reason
            value = scores[bound.fitness.name]
            if not bound.holds(value):
                return "infeasible", f"{bound.fitness.name} is {value}; bound {bound}"
        for fitness in self._scores:
            if not isinstance(fitness, Score) and (reason := self._add([fitness], genotype, scores)) is not None:
                return "failed", reason
        reason = self._add([fitness for fitness in self._scores if isinstance(fitness, Score)], genotype, scores)
        if reason is not None:
            return "failed", reason
        return ("infeasible", f"{undecided} operations to prune; {SUPERNET}") if undecided else ("ok", None)

    def _add(self, asked: Sequence[Fitness], genotype: Genotype, scores: dict[str, float]) -> str | None:
        """Record scores, those that share passes together; returns why one could not be computed."""
        missing = [fitness for fitness in asked if fitness.name not in scores]
        if not missing:
            return None
        try:
            shared = [fitness for fitness in missing if isinstance(fitness, Score)]
            if shared:
                return self._measure(shared, genotype, scores)
            (fitness,) = missing
            value = fitness(self._subject(fitness, genotype))
            value = int(value) if isinstance(value, int) else float(value)
            finite = math.isfinite(value)
        except CacheFailed:
            raise  # no fault of the network's
        except (Exception, SystemExit) as error:  # foreign code: whatever it raises belongs into the record
            return f"{missing[0].name} {_raised(error)}"
        if not finite:
            return f"{fitness.name} is {value}"
        scores[fitness.name] = value
        return None

    def _measure(self, asked: Sequence[Score], genotype: Genotype, scores: dict[str, float]) -> str | None:
        """Record scores of the module; those that dead branches leave alone, of what is left without them."""
        network = self._space.decode(genotype)
        found = self._kept(genotype, network, asked)
        started = time.perf_counter()
        missing = [score for score in asked if score.name not in found]
        found |= self._compute(network, [score for score in missing if not isinstance(score, GenotypeScore)])
        for score in missing:
            if isinstance(score, GenotypeScore):
                found |= self._on(self._made_of(genotype, network, score), [score])
        self._keep(genotype, network, missing, found, time.perf_counter() - started)
        reason = None
        for score in asked:
            measured = found[score.name]
            if measured.value is None:
                reason = reason or f"{score.name}: {measured.reason}"
                continue
            scores[score.name] = measured.value
            if measured.std is not None:
                scores[f"{score.name}.std"] = measured.std
        return reason

    def _compute(self, network: Network, asked: Sequence[Score]) -> dict[str, Measured]:
        found = self._on(partial(self._probed, network), [score for score in asked if not score.ignores_dead])
        alive = [score for score in asked if score.ignores_dead]
        if alive:
            function = _function(network)
            new = [score for score in alive if (function.key, score.name) not in self._known]
            for name, measured in self._on(partial(self._probed, function), new).items():
                if len(self._known) >= _KNOWN:
                    del self._known[next(iter(self._known))]
                self._known[function.key, name] = measured
                found[name] = measured
            found |= {score.name: self._known[function.key, score.name] for score in alive if score not in new}
        return found

    def _kept(self, genotype: Genotype, network: Network, asked: Sequence[Score]) -> dict[str, Measured]:
        """What the cache holds of an architecture."""
        if self._cache is None:
            return {}
        from fitness.probing.measure import Measured

        started = time.perf_counter()
        found, seconds = {}, 0.0
        for score in filter(_of_ours, asked):
            known = self._file(score).get(self._identity(score, genotype, network))
            if known is not None:
                seconds += known.seconds
                found[score.name] = Measured(known.value, known.std, known.reason)
        self.saved_seconds += seconds - (time.perf_counter() - started)  # looking it up is no part of a search
        return found

    def _keep(
        self,
        genotype: Genotype,
        network: Network,
        computed: Sequence[Score],
        found: Mapping[str, Measured],
        seconds: float,
    ) -> None:
        if self._cache is None:
            return
        for score in computed:
            of = found[score.name]
            passing = of.reason is not None and "memory" in of.reason  # the next try may have more of it
            if _of_ours(score) and not passing:
                known = Known(of.value, of.std, of.reason, round(seconds / len(computed), 6))
                self._file(score).put(self._identity(score, genotype, network), known)

    def _identity(self, score: Score, genotype: Genotype, network: Network) -> str:
        """What a score is kept under: the network, or the genotype where it is made of that."""
        return self._space.describe(genotype) if _made_of_genotype(score) else network.key

    def _file(self, score: Score) -> ScoreFile:
        """Where the values of a score are kept: everything that they depend on is in the header."""
        assert self._cache is not None
        if score.name not in self._files:
            probe = self._opened()
            header = {
                "space": self._space.name,
                "score": score.name,
                **probe.identity(score),
                "threads": self._threads,
                "versions": {name: current_versions()[name] for name in ("torch", "nas-engine")},
            }
            if _made_of_genotype(score):  # elsewhere the network's key says it
                header |= {"outputs": self._space.num_classes, "input": self._space.input_shape}
            self._files[score.name] = self._cache.file(header)
        return self._files[score.name]

    def _made_of(self, genotype: Genotype, network: Network, score: GenotypeScore) -> Callable[[], Probed]:
        """Makes what a score is computed on: of a score that knows no space, the network."""
        if score.space is None:
            return partial(self._probed, network)
        return lambda: score.subject(genotype, self._opened())

    def _on(self, make: Callable[[], Probed], asked: Sequence[Score]) -> dict[str, Measured]:
        if not asked:
            return {}
        import torch

        from fitness.probing.measure import measure

        module, probe = make()
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            return measure(module, asked, probe)
        except Exception:  # one that raises must not cost the others their values
            if len(asked) == 1:
                raise
            return {score.name: self._alone(score, module, probe) for score in asked}
        finally:
            torch.set_num_threads(before)

    def _alone(self, score: Score, module: nn.Module, probe: Probe) -> Measured:
        from fitness.probing.measure import Measured, measure

        try:
            return measure(module, [score], probe)[score.name]
        except Exception as error:
            return Measured(None, reason=_raised(error))

    def _subject(self, fitness: Fitness, genotype: Genotype) -> Any:
        if fitness.needs == "genotype":
            return genotype
        network = self._space.decode(genotype)
        if fitness.needs == "network":
            return network
        if fitness.needs == "images":
            return self._probed(network)
        import torch

        from fitness.lower import lower

        with torch.random.fork_rng([]):  # the same weights whenever it is asked
            torch.default_generator.manual_seed(self._source.seed if self._source else 0)
            return lower(network)

    def _probed(self, network: Network) -> Probed:
        from fitness.probing.probe import Probed
        from fitness.probing.source import seeded_module

        probe = self._opened()
        return Probed(seeded_module(network, probe), probe)

    def _opened(self) -> Probe:
        self.open()
        assert self._probe is not None, "setup gives a probe source wherever there are scores of modules"
        return self._probe


def _made_of_genotype(score: Score) -> bool:
    return isinstance(score, GenotypeScore) and score.space is not None


def _of_ours(score: Score) -> bool:
    """Whether name and version say what a score computes; one's own may change under its name."""
    return type(score).__module__.startswith("fitness.")


def _function(network: Network) -> Network:
    """What a network computes, without dead branches; itself if no path leads from the image to the output."""
    function = network.simplified()
    return network if isinstance(function.ops[-1], Zero) else function


def _raised(error: BaseException) -> str:
    return f"raised {type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_REASON]}"


def _cost(fitness: Fitness) -> int:
    """Rank of what a fitness costs: figures of shapes, then memory planning, then anything with weights."""
    if fitness.needs in ("module", "images") or of_series(fitness):
        return 3
    name = fitness.name.partition("(")[0]
    return 2 if name == "munas_peak_memory" else 1 if "peak" in name else 0
