"""Will a pass fit into memory? Linux ends a process that takes more than there is, without an error to catch."""

from __future__ import annotations

from pathlib import Path

from spaces.layers import BatchNorm, Conv, Dense, Recurrent, ReLU
from spaces.network import Network

__all__ = ["available_bytes", "least_bytes"]

_FLOAT = 4


def least_bytes(network: Network, images: int, *, recorded: bool) -> int:
    """What a forward pass of a network holds at one time at the least, in float32.

    Args:
        network: Of the module.
        images: In the batch.
        recorded: Whether autograd keeps what a backward pass reads: the inputs of layers with weights, and the
            outputs of ReLUs.
    """
    volumes, reads = network.volumes, network.inputs
    if recorded:
        kept = {index for index, op in enumerate(network.ops) if isinstance(op, ReLU)}
        for op, sources in zip(network.ops, reads, strict=True):
            if isinstance(op, (BatchNorm, Conv, Dense, Recurrent)):
                kept.update(sources)
        most = sum(volumes[index] for index in kept)
    else:
        most = max(
            volumes[index] + sum(volumes[source] for source in set(sources)) for index, sources in enumerate(reads)
        )
    return _FLOAT * images * most


def available_bytes() -> int | None:
    """Memory that this process may still take, by the system's and its control group's account; None if unknown."""
    found = []
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            found.append(1024 * int(line.split()[1]))
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdecimal() and used.isdecimal():
        # Pages of files that were read count as used, though the system gives them up when asked.
        lines = _read("/sys/fs/cgroup/memory.stat").splitlines()
        cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
        found.append(max(0, int(limit) - int(used) + cached))
    return min(found, default=None)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
