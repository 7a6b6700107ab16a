"""Why records are not ok, said once for many of them."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.records import Record, Status
from engine.study import nothing_feasible
from spaces.space import Genotype


def _record(status: Status, reason: str | None) -> Record:
    return Record(0, Genotype({}), None, "", {}, status, reason, False, 0.0)


@pytest.mark.parametrize(
    ("status", "reason", "cause"),
    [
        ("ok", None, ""),
        ("infeasible", "flash_bytes is 300000; bound flash_bytes<=262144", "bound flash_bytes<=262144"),
        ("infeasible", "12 operations to prune; not an architecture yet", "not an architecture yet"),
        ("failed", "naswot is nan", "naswot is nan"),
        ("failed", "ntk of 3 images failed at -1.5e-3 in conv_3x3", "ntk of … images failed at … in conv_3x3"),
        (
            "failed",
            f"table:cifar10_pct raised UsageError: unknown architecture '{'x' * 200}'; t.csv holds",
            "table:cifar10_pct raised UsageError: unknown architecture …; t.csv holds",
        ),
        ("failed", f"mine raised KeyError: '{'x' * 200}", "mine raised KeyError: …"),
        ("failed", "mine knows no 'test_acc_pct' of 4", "mine knows no 'test_acc_pct' of …"),
        ("failed", "word " * 60, "word " * 20 + "…"),
    ],
)
def test_a_cause_is_without_what_differs_from_record_to_record(
    status: Status, reason: str | None, cause: str
) -> None:
    assert _record(status, reason).cause == cause


def test_the_commonest_causes_are_told_and_the_remedy_is_for_the_first() -> None:
    bound = _record("infeasible", "params is 5; bound params<=4")
    broken = [_record("failed", f"mine raised ValueError: bound {number}") for number in range(30)]
    counted = Counter((record.status, record.cause) for record in (bound, *broken))
    assert nothing_feasible(counted, 31) == (
        "none of 31 candidates is feasible: 30 failed (mine raised ValueError: bound …), "
        "bound params<=4 turned down 1; mend or replace the score"
    )
    counted = Counter((record.status, record.cause) for record in (*[bound] * 2, broken[0]))
    assert nothing_feasible(counted, 3).endswith(
        "1 failed (mine raised ValueError: bound …); loosen the bound or the target"
    )
