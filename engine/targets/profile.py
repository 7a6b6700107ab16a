"""One microcontroller under one runtime: memory, speed, and where each number comes from.

Budgets are what a model may use: the device's memory less what the runtime takes. 1 kB is 1,024 bytes. Knows no
files and no networks.
"""

from __future__ import annotations

from dataclasses import dataclass

from fitness.latency import Rates
from spaces.space import Space

KB = 1024

RUNTIME_FLASH_BYTES = 100 * KB
"""Code of the runtime and the application: an allowance; ST's model zoo reports 47 to 110 KiB."""

APPLICATION_RAM_BYTES = 10 * KB
"""Stack and the application's own variables: an allowance."""

RUNTIME_SOURCE = (
    "allowances: 100 kB of code (ST's model zoo: 47 to 110 KiB), 10 kB of stack and variables of the application"
)

FLASH_FIGURES = ("tflite_file_bytes", "flash_bytes")
"""Figures that may be bounded by the flash; the first is the common one: TensorFlow Lite Micro keeps the file."""

RAM_FIGURES = ("arena_bytes", "peak_ram_bytes")
"""Likewise by the RAM: TensorFlow Lite Micro keeps tensors and what it needs itself in one arena."""


@dataclass(frozen=True)
class Rate:
    """Speed of one kind of layer.

    Attributes:
        macs_per_second: Int8 multiply-accumulates per second.
        measured: Whether it follows from a time that was measured for this kind of layer on this board.
        source: What it was derived from, and how.
    """

    macs_per_second: float
    measured: bool
    source: str


@dataclass(frozen=True)
class Speed:
    """Speed of the three kinds of layers that latency is estimated from."""

    conv: Rate
    depthwise: Rate
    dense: Rate

    @property
    def rates(self) -> Rates:
        """The plain numbers."""
        return Rates(self.conv.macs_per_second, self.depthwise.macs_per_second, self.dense.macs_per_second)


@dataclass(frozen=True)
class Target:
    """One device profile; all sizes in bytes.

    Attributes:
        name: What `--target` calls it.
        board: The board and its microcontroller.
        flash_bytes: Flash of the device.
        ram_bytes: Largest contiguous RAM region: an arena is one block.
        core: The processor; empty for no particular one.
        clock_mhz: Its clock, in MHz; None for no particular one.
        runtime: What executes the network; the speed is that of this runtime.
        memory_source: Where the sizes come from.
        runtime_flash_bytes: Of the flash, what the code of runtime and application takes.
        application_ram_bytes: Of the RAM, what stack and application take.
        runtime_source: Where those two come from.
        flash_figure: The figure of a network that the flash left has to hold: "tflite_file_bytes", its file, or
            "flash_bytes", weights and biases alone, for a runtime that compiles them in.
        ram_figure: The figure that the RAM left has to hold: "arena_bytes", all that TensorFlow Lite Micro needs,
            or "peak_ram_bytes", the tensors alone, for a runtime that keeps no more.
        speed: None where nothing is known of it.
        mlperf_tiny_ms: Published or own latencies in ms that the speed follows from, by benchmark: "ic", "kws",
            "vww", "ad".
    """

    name: str
    board: str
    flash_bytes: int
    ram_bytes: int
    core: str = ""
    clock_mhz: float | None = None
    runtime: str = ""
    memory_source: str = ""
    runtime_flash_bytes: int = RUNTIME_FLASH_BYTES
    application_ram_bytes: int = APPLICATION_RAM_BYTES
    runtime_source: str = RUNTIME_SOURCE
    flash_figure: str = FLASH_FIGURES[0]
    ram_figure: str = RAM_FIGURES[0]
    speed: Speed | None = None
    mlperf_tiny_ms: tuple[tuple[str, float], ...] = ()

    @property
    def flash_budget_bytes(self) -> int:
        """Flash left for a model."""
        return self.flash_bytes - self.runtime_flash_bytes

    @property
    def ram_budget_bytes(self) -> int:
        """RAM left for a model."""
        return self.ram_bytes - self.application_ram_bytes

    @property
    def bounds(self) -> tuple[str, ...]:
        """The bounds this target puts on a search."""
        return (f"{self.flash_figure}<={self.flash_budget_bytes}", f"{self.ram_figure}<={self.ram_budget_bytes}")

    def bounds_for(self, space: Space) -> tuple[str, ...]:
        """The bounds this target puts on a search of a space: there is no .tflite file of a network of series."""
        if space.reads == "images":
            return self.bounds
        return (f"{FLASH_FIGURES[1]}<={self.flash_budget_bytes}", f"{RAM_FIGURES[1]}<={self.ram_budget_bytes}")
