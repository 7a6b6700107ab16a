"""What a run is made of: one frozen set of fields, the same for flags, TOML files and Python."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf
from pathlib import Path

from engine.targets import kept_target
from fitness.data import absolute_source
from fitness.series import SeriesText, is_series
from spaces.errors import UnknownName, UsageError

MAX_BUDGET = 100_000_000  # records; a hundred million lines are 50 GB, so more is a slip of the finger
MAX_IMAGE_SIZE = 100_000  # of a side or the channels; sizes beyond are slips too, and products of them overflow


@dataclass(frozen=True)
class RunConfig:
    """Every choice that decides which records a run gives; `workers`, `cluster` and `out` do not.

    Attributes:
        space: Name of the space, with options in parentheses: "nats-tss(channels=3,cells=1)".
        input_shape: HEIGHTxWIDTHxCHANNELS of the images.
        classes: Number of classes.
        strategy: Name of the strategy, with options in parentheses: "bo(model=gp)".
        fitness: Expression of scores and penalties.
        objectives: Instead of the fitness alone, expressions with an optional :min or :max.
        bounds: NAME<=NUMBER or NAME>=NUMBER, each on a raw score.
        target: Microcontroller whose memory bounds the search, by name, as FILE.toml or as the text of such a file;
            "none", or "default": mcu-256k for munas.
        table: Benchmark tables (CSV) or official archive folders that table:COLUMN reads, the first that has the
            column; the imported table of the space if not given. One may be given as text alone.
        within_table: Whether only networks of the table are searched.
        budget: Number of records in the end, of every status.
        simulated_seconds: Ends a search among looked-up accuracies when the trainings of its records would have
            taken that long, if its budget does not end it before.
        cost: Column of the table that holds those seconds; the one of the looked-up accuracy if not given.
        open: Number of asks kept open.
        population: Of evolution; the strategy's default if not given.
        tournament: Of evolution; the strategy's default if not given.
        rank: Expression that ranks candidates for a strategy that asks for it, such as area; if not given, naswot
            or, of time series, mrs; for predictor params+macs.
        predictor: What a strategy that learns, predictor, predicts by: "forest(features=onehot+graph)"; if not
            given, `engine.prediction.DEFAULT`.
        metric: Column of the table, or score of trainings, that predict:PREDICTOR learns.
        known: Number of random networks of the table whose metric it is told; all of them if not given.
        known_run: Run whose trained candidates it learns instead.
        known_digest: Names what it was told when the run began: a run is resumed with the same only.
        seed: Of every random choice.
        workers: Processes that evaluate.
        cluster: Address of a Dask scheduler, whose workers evaluate instead: tcp://HOST:PORT or tls://HOST:PORT.
        data: Images that scores of modules are computed on (`fitness.data.SOURCES`), or of a space that reads one
            the time series (`fitness.series.SERIES`); "auto": digits if a score needs labels, else noise; the sine
            of time series.
        batch: Number of images for every such score, instead of its published one.
        score_seed: Of images and weights, the same for every architecture.
        device: Where modules run: "cpu", "cuda", or "auto": a GPU if there is one.
        threads: Of torch in each process; rounding depends on it.
        out: Run folder; made from the names if not given.
    """

    space: str = "munas"
    input_shape: str = "32x32x3"
    classes: int = 10
    strategy: str = "aging"
    fitness: str = "trace+gdf"
    objectives: tuple[str, ...] = field(default=())
    bounds: tuple[str, ...] = field(default=())
    target: str = "default"
    table: tuple[str, ...] = field(default=())
    within_table: bool = False
    budget: int = 1000
    simulated_seconds: float | None = None
    cost: str | None = None
    open: int = 8
    population: int | None = None
    tournament: int | None = None
    rank: str | None = None
    predictor: str | None = None
    metric: str | None = None
    known: int | None = None
    known_run: str | None = None
    known_digest: str | None = None
    seed: int = 0
    workers: int = 1
    cluster: str | None = None
    data: str = "auto"
    batch: int | None = None
    score_seed: int = 0
    device: str = "auto"
    threads: int = 1
    out: str | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("budget", 1, MAX_BUDGET),
            ("open", 1, 10_000),
            ("population", 1, 1_000_000),
            ("tournament", 1, 1_000_000),
            ("classes", 2, 1_000_000),
            ("seed", 0, 2**63 - 1),
            ("workers", 1, 1024),
            ("batch", 1, 1_000_000),
            ("known", 2, 10_000_000),
            ("score_seed", 0, 2**63 - 1),
            ("threads", 1, 1024),
        ):
            value = getattr(self, name)
            if value is None and name in ("population", "tournament", "batch", "known"):
                continue
            if type(value) is not int or not low <= value <= high:
                raise UsageError(f"{name} is {value!r}; expected a whole number from {low} to {high:,}")
        if type(self.within_table) is not bool:
            raise UsageError(f"within_table is {self.within_table!r}; expected true or false")
        seconds = self.simulated_seconds
        if seconds is not None and (type(seconds) not in (int, float) or not 0 < seconds < inf):
            raise UsageError(f"simulated_seconds is {seconds!r}; expected a number above 0, e.g. 12000")
        texts = ("space", "input_shape", "strategy", "fitness", "target", "data", "device")
        perhaps = ("cost", "rank", "predictor", "metric", "known_run", "known_digest", "out")
        for name in (*texts, *perhaps):
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name in perhaps):
                raise UsageError(f"{name} is {value!r}; expected text")
        if self.cluster is not None:
            _check_cluster(self.cluster, self.workers)
        alone: object = self.table  # runs of earlier versions name one table, or null
        if alone is None or isinstance(alone, str):
            object.__setattr__(self, "table", () if alone is None else (alone,))
        for name in ("objectives", "bounds", "table"):
            value = getattr(self, name)
            listed = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (None,)
            if not all(isinstance(text, str) for text in listed):
                raise UsageError(f"{name} is {value!r}; expected a list of texts")
            object.__setattr__(self, name, listed)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`input_shape` as three numbers.

        Raises:
            UsageError: Not three whole numbers from 1 to `MAX_IMAGE_SIZE`.
        """
        parts = self.input_shape.lower().replace("×", "x").split("x")
        numbers = [int(part) for part in parts if part.isdecimal() and len(part) < 10]
        if len(parts) != 3 or len(numbers) != 3 or not all(1 <= number <= MAX_IMAGE_SIZE for number in numbers):
            raise UsageError(
                f"input shape {self.input_shape[:80]!r}; expected HEIGHTxWIDTHxCHANNELS, each from 1 to "
                f"{MAX_IMAGE_SIZE:,}, e.g. 32x32x3"
            )
        return numbers[0], numbers[1], numbers[2]

    def to_dict(self) -> dict[str, object]:
        """All fields as JSON values."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @staticmethod
    def from_dict(values: Mapping[str, object], where: str) -> RunConfig:
        """Read fields back; `where` is named in messages.

        Raises:
            UsageError: An unknown field or a value of the wrong kind.
        """
        known = [item.name for item in fields(RunConfig)]
        for name in values:
            if name not in known:
                raise UsageError(f"{where}: {UnknownName('field', name, known)}")
        try:
            return RunConfig(**values)  # type: ignore[arg-type]
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error


def _check_cluster(address: object, workers: int) -> None:
    found = re.fullmatch(r"(?:tcp|tls)://(?:[\w.-]+|\[[\da-fA-F:.]+\]):(\d{1,5})", str(address), re.ASCII)
    if not found or not 1 <= int(found[1]) <= 65535:
        raise UsageError(
            f"cluster is {str(address)[:80]!r}; expected a Dask scheduler's address, tcp://HOST:PORT or "
            "tls://HOST:PORT, e.g. tcp://10.0.0.5:8786"
        )
    if workers != 1:
        raise UsageError(
            f"workers is {workers} and cluster {str(address)!r}; expected one of them: a cluster has the workers "
            "that were started for it"
        )


def absolute_data(data: str) -> str:
    """A source of images or a time series whose path is the same from every folder.

    Raises:
        UsageError: The text of a time series cannot be read.
    """
    return str(SeriesText.parse(data).absolute) if is_series(data) else absolute_source(data)


def load_config(path: str | None, flags: Mapping[str, object]) -> RunConfig:
    """The fields of a TOML file, if one is given, with flags on top.

    Raises:
        UsageError: The file cannot be read or is not TOML of these fields.
    """
    config = RunConfig()
    if path is not None:
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read config {path!r}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
            raise UsageError(f"config {path!r} is not TOML: {error}") from error
        config = RunConfig.from_dict(values, f"config {path!r}")
    config = replace(config, **flags)  # type: ignore[arg-type]
    # A run is resumed and asked from other folders than the one it was started in, and when files have changed.
    config = replace(config, target=kept_target(config.target))
    return replace(
        config,
        data=absolute_data(config.data),
        table=tuple(str(Path(table).resolve()) for table in config.table),
        known_run=config.known_run and str(Path(config.known_run).resolve()),
    )
