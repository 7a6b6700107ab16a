"""The loop: keep q asks open, tell in ask order, append to the store. And nothing else.

A run depends on (seed, q) and never on timing: outcome i is told before ask i + q is made, however many workers
there are. Resuming is the same loop, with recorded candidates adopted and answered from the store.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from engine.evaluation import SUPERNET, Outcome
from engine.executors import Evaluations, Ticket
from engine.records import Candidate, Record, RecordStore, Status
from engine.strategies.base import Exhausted, Strategy, Waiting
from spaces.errors import NothingFeasible, RunError
from spaces.space import Space

PATIENCE = 2000  # records without a single feasible one before a run is given up, unless its strategy is thorough


class _Open(NamedTuple):
    """An ask that has not been told yet: recorded before, or being evaluated."""

    candidate: Candidate
    key: str
    ticket: Ticket | None  # None: the same network came before, or is under way ahead of this one
    record: Record | None = None


class Study:
    """Runs a strategy against a store.

    Args:
        space: Decodes what is asked.
        strategy: Fresh: the records of the store are replayed to it.
        evaluations: Where candidates are evaluated.
        shareable: Whether networks of one key have all their scores in common.
        store: Records so far; new ones are appended.
        open_asks: q, how many asks are kept open.
        cost: Of a record, in what `allowance` is counted in.
        allowance: Total cost at which a search ends even within its budget.
    """

    def __init__(
        self,
        space: Space,
        strategy: Strategy,
        evaluations: Evaluations,
        shareable: bool,
        store: RecordStore,
        open_asks: int,
        cost: Callable[[Record], float] = lambda record: 0.0,
        allowance: float = math.inf,
    ) -> None:
        self._space, self._strategy, self._store = space, strategy, store
        self._evaluations, self._shareable = evaluations, shareable
        self._open_asks = open_asks
        self._rejections: Counter[tuple[Status, str]] = Counter()
        self._feasible = 0
        self._patience = math.inf if getattr(strategy, "thorough", False) else PATIENCE
        self._cost, self._allowance = cost, allowance
        self.spent = 0.0
        self.asking_seconds = 0.0
        self.exhausted = False

    def run(self, budget: int, on_record: Callable[[Record], None] = lambda record: None) -> None:
        """Continue until the store holds `budget` records or the space has no more.

        Args:
            budget: Number of records in the end, those of every status counted.
            on_record: Called with every record, the replayed ones included, after it was told.

        Raises:
            NothingFeasible: The first 2,000 records hold no feasible network; says what rejected them.
            RunError: The strategy waits for an answer while none is due.
        """
        recorded = iter(self._store)
        known = next(recorded, None)  # the next record to replay
        pending: deque[_Open] = deque()
        waiting: set[str] = set()  # keys under way
        asked = told = 0
        while told < budget:
            while asked < budget and len(pending) < self._open_asks and not self.exhausted:
                try:
                    entry = self._adopt(known) if known is not None else self._ask(waiting)
                except Exhausted:
                    self.exhausted = True
                except Waiting:
                    break
                else:
                    pending.append(entry)
                    asked += 1
                    known = next(recorded, None)
            if not pending:
                if self.exhausted:
                    return
                raise RunError(
                    f"strategy {type(self._strategy).__name__} waits with no candidate open; expected a candidate "
                    "or the end: this is a mistake of the strategy"
                )
            entry = pending.popleft()
            record = entry.record or self._record(entry)
            waiting.discard(entry.key)
            if entry.record is None:
                self._store.append(record)
            self._strategy.tell(record)
            told += 1
            self._watch(record, told)
            on_record(record)
            self.spent += self._cost(record)
            if self.spent >= self._allowance:
                return

    def _adopt(self, record: Record) -> _Open:
        self._strategy.adopt(record.candidate)
        return _Open(record.candidate, record.key, None, record)

    def _ask(self, waiting: set[str]) -> _Open:
        started = time.perf_counter()
        candidate = self._strategy.ask()
        self.asking_seconds += time.perf_counter() - started
        key = self._space.decode(candidate.genotype).key
        if key in waiting or self._store.number_of(key) is not None:
            return _Open(candidate, key, None)
        waiting.add(key)
        return _Open(candidate, key, self._evaluations.start(candidate.genotype, None))

    def _record(self, entry: _Open) -> Record:
        """The finished record of an open ask, evaluated or taken over from its twin."""
        number, genotype, parent = entry.candidate
        if entry.ticket is not None:
            outcome = self._evaluations.finish(entry.ticket)
        else:
            outcome = self._take_over(entry)
        cached = entry.ticket is None
        scores, status, reason, seconds = outcome
        return Record(number, genotype, parent, entry.key, scores, status, reason, cached, seconds)

    def _take_over(self, entry: _Open) -> Outcome:
        """What a network met before is known to have; only scores that are never shared are looked up anew."""
        first = self._store.number_of(entry.key)
        assert first is not None, "its twin was told before"
        started = time.perf_counter()
        twin = self._store.read(first)
        if self._shareable:
            outcome = Outcome(dict(twin.scores), twin.status, twin.reason, 0.0)
        else:
            genotype = entry.candidate.genotype
            outcome = self._evaluations.finish(self._evaluations.start(genotype, dict(twin.scores)))
        return outcome._replace(seconds=round(time.perf_counter() - started, 6))

    def _watch(self, record: Record, told: int) -> None:
        """Give up on bounds that nothing keeps."""
        if record.status == "ok":
            self._feasible += 1
        elif not self._feasible:
            self._rejections[record.status, record.cause] += 1
            if told >= self._patience:
                raise NothingFeasible(nothing_feasible(self._rejections, told))

    @property
    def rejections(self) -> Counter[tuple[Status, str]]:
        """While nothing was feasible: how many candidates came to which status, and by which cause."""
        return self._rejections

    @property
    def feasible(self) -> int:
        """Number of records that are ok."""
        return self._feasible


def nothing_feasible(rejections: Counter[tuple[Status, str]], tried: int) -> str:
    """The message for a run in which no candidate came through: commonest causes, and a remedy for the first."""
    if rejections.keys() == {("infeasible", SUPERNET)}:
        return f"none of {tried:,} candidates is an architecture: all are supernets; give a larger budget"
    commonest = rejections.most_common(3)
    causes = ", ".join(
        f"{cause} turned down {count:,}" if status == "infeasible" else f"{count:,} failed ({cause})"
        for (status, cause), count in commonest
    )
    remedy = "mend or replace the score" if commonest[0][0][0] == "failed" else "loosen the bound or the target"
    return f"none of {tried:,} candidates is feasible: {causes}; {remedy}"
