"""MAE random sampling: how good a recurrent network's random weights can get, without training any.

Owns the draws of weights, their batched errors and the law fitted to them. Knows no run and no strategy.
"""

from __future__ import annotations

from fitness.mrs.score import Mrs, MrsMoment, mrs, mrs_errors, mrs_mean, mrs_std
from fitness.mrs.truncated import log_p

__all__ = ["Mrs", "MrsMoment", "log_p", "mrs", "mrs_errors", "mrs_mean", "mrs_std"]
