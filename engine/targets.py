"""Microcontrollers as memory budgets.

Budgets are what a model may use: the device's memory less what the runtime takes. 1 kB is 1,024 bytes. Flash and
RAM are those of the data sheets and of the MLPerf Tiny submissions; the runtime's share is an allowance, not a
measurement: 100 kB of code (ST's model zoo reports 47 to 110 KiB) and 16 kB of RAM for the interpreter's
bookkeeping, stack and the application.
"""

from __future__ import annotations

from dataclasses import dataclass

from spaces.errors import UnknownName

KB = 1024


@dataclass(frozen=True)
class Target:
    """One device profile; all sizes in bytes.

    Attributes:
        name: What `--target` calls it.
        description: Board, core and clock.
        flash_bytes: Flash of the device.
        ram_bytes: Largest contiguous RAM region.
        runtime_flash_bytes: Of that flash, what the runtime's code takes.
        runtime_ram_bytes: Of that RAM, what is not arena.
    """

    name: str
    description: str
    flash_bytes: int
    ram_bytes: int
    runtime_flash_bytes: int = 100 * KB
    runtime_ram_bytes: int = 16 * KB

    @property
    def flash_budget_bytes(self) -> int:
        """Flash left for weights and biases."""
        return self.flash_bytes - self.runtime_flash_bytes

    @property
    def ram_budget_bytes(self) -> int:
        """RAM left for the tensor arena."""
        return self.ram_bytes - self.runtime_ram_bytes

    @property
    def bounds(self) -> tuple[str, ...]:
        """The bounds this target puts on a search."""
        return (f"flash_bytes<={self.flash_budget_bytes}", f"peak_ram_bytes<={self.ram_budget_bytes}")


TARGETS = {
    target.name: target
    for target in (
        Target("mcu-256k", "generic small device; both budgets wholly for the model", 256 * KB, 64 * KB, 0, 0),
        Target("nucleo-f746zg", "STM32F746, Cortex-M7 at 216 MHz", 1024 * KB, 320 * KB),
        Target("nucleo-l4r5zi", "STM32L4R5, Cortex-M4F at 120 MHz", 2048 * KB, 640 * KB),
        Target("nucleo-f446re", "STM32F446, Cortex-M4F at 180 MHz", 512 * KB, 128 * KB),
        Target("nucleo-l412kb", "STM32L412, Cortex-M4F at 80 MHz", 128 * KB, 40 * KB),
        Target("arduino-nano-33-ble", "nRF52840, Cortex-M4F at 64 MHz", 1024 * KB, 256 * KB),
        Target("raspberry-pi-pico", "RP2040, Cortex-M0+ at 133 MHz", 2048 * KB, 264 * KB),
    )
}


def find_target(name: str) -> Target | None:
    """The profile called `name`; None for "none".

    Raises:
        UnknownName: No such target.
    """
    if name == "none":
        return None
    if name not in TARGETS:
        raise UnknownName("target", name, [*TARGETS, "none"])
    return TARGETS[name]
