"""Official NATS-Bench archives: accuracies and costs by index, from folders of checked pickles.

Dong et al. 2021, NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size
(arXiv:2009.00437). Knows the archives' files and columns; nothing of tables, scores or networks.
"""

from __future__ import annotations

import math
import os
import re
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from fitness.pickle_check import damaged, load, quote
from spaces.errors import MissingExtra, RunError, UnknownName, UsageError

__all__ = ["Archive", "read_architectures"]

_LONGEST_ARCHITECTURE: Final = 256  # characters; the official ones have at most 95
_MOST_ARCHITECTURES: Final = 100_000  # the official spaces have 15,625 and 32,768

_DATASETS: Final = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16": "ImageNet16-120"}
_ARCHIVES: Final = {"tss": "NATS-tss-v1_0-3ffb9-simple", "sss": "NATS-sss-v1_0-50262-simple"}
_EPOCHS: Final = {"tss": (12, 200), "sss": (1, 12, 90)}
_ARCHITECTURE_FORM: Final = {
    "tss": re.compile(r"\|[a-z0-9_]+~\d\|(\+(\|[a-z0-9_]+~\d)+\|)*"),
    "sss": re.compile(r"\d+(:\d+){4}"),
}


def read_architectures(archive: Path) -> tuple[str, ...]:
    """The architecture strings of an archive in the official index order.

    The order of the topology space is a fixed shuffle, known only from this file.

    Args:
        archive: the folder with `meta.pickle.pbz2`.

    Raises:
        UntrustedFile: see `check_pickle`.
        RunError: the file is missing, damaged, or not the meta file of a NATS-Bench space.
    """
    path = archive / "meta.pickle.pbz2"
    if not os.path.exists(path):
        raise RunError(
            f"{archive} holds no meta.pickle.pbz2; expected the folder of an official NATS-Bench archive, "
            f"such as {_ARCHIVES['tss']} (https://github.com/D-X-Y/NATS-Bench)"
        )
    meta = load(path)
    names = meta.get("meta_archs") if isinstance(meta, dict) else None
    if not isinstance(names, list) or not 0 < len(names) <= _MOST_ARCHITECTURES:
        raise damaged(path, f"no list 'meta_archs' of 1 to {_MOST_ARCHITECTURES:,} architectures in it")
    for index, name in enumerate(names):
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ARCHITECTURE:
            what = f"a string of 1 to {_LONGEST_ARCHITECTURE} characters"
            raise damaged(path, f"architecture {index} is not {what}")
    if len(set(names)) != len(names):
        raise damaged(path, "an architecture occurs twice")
    return tuple(names)


@dataclass(frozen=True, slots=True)
class _Query:
    """Where the official API keeps a column's number: results after `epochs`, dataset, and split or cost."""

    epochs: str  # the archive's own key: "01", "12", "90", "200"
    dataset: str
    split: str = ""  # of an accuracy: "x-valid", "x-test", "ori-test"
    cost: str = ""  # otherwise: a key of get_compute_costs, or "query": training and one evaluation, in seconds


def _queries(space: str) -> dict[str, _Query]:
    """Column name → query.

    CIFAR-10 has no validation split of its own; 'cifar10-valid' are trainings on half of its training
    images, validated on the other half.
    """
    accuracies = {
        "cifar10_valid": ("cifar10-valid", "x-valid"),
        "cifar10_test": ("cifar10", "ori-test"),
        "cifar10valid_test": ("cifar10-valid", "ori-test"),
        "cifar100_valid": ("cifar100", "x-valid"),
        "cifar100_test": ("cifar100", "x-test"),
        "imagenet16_valid": ("ImageNet16-120", "x-valid"),
        "imagenet16_test": ("ImageNet16-120", "x-test"),
    }
    queries = {
        f"{name}_{epochs}ep_pct": _Query(f"{epochs:02d}", dataset, split)
        for epochs in _EPOCHS[space]
        for name, (dataset, split) in accuracies.items()
    }
    longest = f"{_EPOCHS[space][-1]:02d}"
    costs = {"params_{}_M_api": "params", "macs_{}_M_api": "flops", "latency_{}_s_api": "latency"}
    for column, key in costs.items():
        for name, dataset in _DATASETS.items():
            queries[column.format(name)] = _Query(longest, dataset, cost=key)
    for kind, key in (("train", "T-train@total"), ("query", "query")):
        for epochs in _EPOCHS[space]:
            for name, dataset in _DATASETS.items():
                trained = "cifar10-valid" if name == "cifar10" else dataset  # as simulate_train_eval has it
                queries[f"{name}_{kind}{epochs}_cost_s"] = _Query(f"{epochs:02d}", trained, cost=key)
    return queries


class Archive:
    """The folder of an official NATS-Bench archive (`…-simple`), read one result file at a time.

    Every number is the mean over the seeds that the archive holds, as `get_more_info(is_random=False)` of
    the official API gives it: the averaging is done by its `ArchResults`. Its `create()` is not used: it
    would unpickle each file itself, after the check and thus perhaps another content, follow a string
    found in place of results to a further, unchecked pickle, and keep every file (325 kB each) for ever.
    Here only an architecture's numbers are kept: under 500 bytes.

    Attributes:
        path: the folder.
        space: "tss" (topology) or "sss" (size).
        architectures: the architecture strings in the official index order.
        columns: the names that `accuracy` answers: `<data>_<split>_<epochs>ep_pct` in percent,
            `params_<data>_M_api` and `macs_<data>_M_api` in millions, `latency_<data>_s_api` in seconds
            (the authors' GPU, batch 256), `<data>_train<epochs>_cost_s` in seconds of training, and
            `<data>_query<epochs>_cost_s`, the seconds that `simulate_train_eval` accounts for: training and one
            evaluation on the validation images. CIFAR-10's costs are those of its 'cifar10-valid' trainings.
    """

    def __init__(self, path: Path) -> None:
        """Read the meta file, no results yet.

        Args:
            path: the archive's folder.

        Raises:
            UntrustedFile: see `check_pickle`.
            RunError: no readable meta file, or not one of the topology or size space.
        """
        self.path = path
        self.architectures = read_architectures(path)
        self.space = "tss" if self.architectures[0].startswith("|") else "sss"
        form = _ARCHITECTURE_FORM[self.space]
        for index, name in enumerate(self.architectures):
            if not form.fullmatch(name):
                what = f"{quote(name)}, neither a topology '|op~0|+|…|' nor sizes 'a:b:c:d:e'"
                raise damaged(path / "meta.pickle.pbz2", f"architecture {index} is {what}")
        self._queries = _queries(self.space)
        self._numbers: dict[int, array[float]] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names that `accuracy` answers."""
        return tuple(self._queries)

    def result_file(self, index: int) -> Path:
        """Where the results of an architecture lie; the file may be missing from a partial archive."""
        return self.path / f"{index:06d}.pickle.pbz2"

    def accuracy(self, index: int, column: str) -> float:
        """One number of one architecture, mean over seeds, in the unit that the column's name ends with.

        Args:
            index: official index, 0 <= index < len(architectures).
            column: one of `columns`.

        Raises:
            UnknownName: no such column.
            UsageError: the index is out of range.
            UntrustedFile: see `check_pickle`.
            RunError: the result file is missing or damaged, or holds no number for this column.
            MissingExtra: nats_bench is not installed.
        """
        if column not in self._queries:
            raise UnknownName("table column", column, self._queries)
        if not 0 <= index < len(self.architectures):
            raise UsageError(
                f"architecture index {index} is out of range; {self.path} has indexes 0 to "
                f"{len(self.architectures) - 1}"
            )
        if index not in self._numbers:
            self._numbers[index] = self.read_numbers(index)
        number = self._numbers[index][self.columns.index(column)]
        if math.isnan(number):
            raise RunError(
                f"{self.result_file(index)} holds no finite {column!r}; choose another column or get the "
                f"complete archive {_ARCHIVES[self.space]}"
            )
        return number

    def read_numbers(self, index: int) -> array[float]:
        """All columns of one architecture, in the order of `columns`; nan where the file has none.

        Args:
            index: official index, 0 <= index < len(architectures).

        Raises:
            UntrustedFile: see `check_pickle`.
            RunError: the result file is missing or damaged.
            MissingExtra: nats_bench is not installed.
        """
        path = self.result_file(index)
        if not os.path.exists(path):
            raise RunError(
                f"{path} is missing, so nothing is known of architecture {index}; expected one file per "
                f"architecture: get the complete {_ARCHIVES[self.space]} (https://github.com/D-X-Y/NATS-Bench)"
            )
        try:
            from nats_bench.api_utils import ArchResults
        except ImportError as error:
            raise MissingExtra(
                "an official archive is read through nats_bench, which is not installed: "
                "python -m pip install nats_bench"
            ) from error
        states = load(path)
        if not isinstance(states, dict):
            raise damaged(path, "no dictionary of results in it")
        results: dict[str, ArchResults] = {}
        try:
            for epochs, state in states.items():
                # nats_bench takes a string for the name of a further pickle: only dictionaries may pass
                if not isinstance(epochs, str) or not isinstance(state, dict):
                    raise damaged(path, "results that are not a dictionary by number of epochs")
                if state.get("arch_str") != (expected := self.architectures[index]):
                    raise damaged(path, f"not the results of architecture {index}, {expected!r}")
                results[epochs] = ArchResults.create_from_state_dict(state)
            costs = cache(lambda epochs, dataset: results[epochs].get_compute_costs(dataset))
            return array("d", (_number(results, query, costs) for query in self._queries.values()))
        except (TypeError, AttributeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            raise damaged(path, f"results of another form than the official ones: {error}") from error


def _number(results: Mapping[str, Any], query: _Query, costs: Callable[[str, str], Mapping[str, Any]]) -> float:
    """The mean over seeds, or nan where the results hold no finite one.

    Args:
        results: the API's `ArchResults` by epochs.
        query: what is wanted.
        costs: the API's costs by epochs and data set.
    """
    try:
        if query.split:
            metrics = results[query.epochs].get_metrics(query.dataset, query.split, is_random=False)
            value = metrics["accuracy"]
        elif query.cost == "query":
            value = _query_seconds(results[query.epochs], query.dataset)
        else:
            value = costs(query.epochs, query.dataset)[query.cost]
    except (LookupError, ValueError):  # the API's answers to what a file does not hold
        return math.nan
    # None is its answer to a latency or time that was not measured
    return math.nan if value is None or not math.isfinite(value) else float(value)


def _query_seconds(result: Any, dataset: str) -> float | None:
    """What `simulate_train_eval` accounts for: all epochs of training and the validation after one of them."""
    training = result.get_metrics(dataset, "train", is_random=False)
    validation = result.get_metrics(dataset, "x-valid", is_random=False)["all_time"]
    if training["all_time"] is None or validation is None:
        return None
    return float(training["all_time"] + validation / (training["iepoch"] + 1))
