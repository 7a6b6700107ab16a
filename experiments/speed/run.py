"""How fast the search core is, on one core; ratios wherever a peer exists.

Run on an otherwise idle machine:

    python experiments/speed/run.py

Each part runs in a process of its own, so that one's memory and caches are not another's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

Numbers = dict[str, float]


def figures(count: int) -> Numbers:
    """Build a munas network from its genotype and compute trace and every figure.

    Scores of weights are no figures, and latency_ms needs a board's rates: a search without a board has none.
    """
    from fitness import FITNESS
    from spaces.munas import MunasSpace

    space, rng = MunasSpace(), random.Random(0)
    genotypes = [space.sample(rng) for _ in range(count)]
    every = [FITNESS.create(name, {}) for name in FITNESS if name != "latency_ms"]
    scores = [score for score in every if score.needs == "network"]  # type: ignore[attr-defined]
    fresh = MunasSpace()
    milliseconds = []
    for genotype in genotypes:
        started = time.perf_counter()
        network = fresh.decode(genotype)
        for score in scores:
            score(network)  # type: ignore[operator]
        milliseconds.append(1e3 * (time.perf_counter() - started))
    milliseconds.sort()
    return {
        "networks": count,
        "scores each": len(scores),
        "median ms": statistics.median(milliseconds),
        "99th percentile ms": milliseconds[int(0.99 * count)],
        "maximum ms": milliseconds[-1],
    }


def torch_peer(count: int) -> Numbers:
    """The same three counts from the layer graph and from a torch module on the meta device."""
    import torch
    from torch import nn

    from fitness.figures import macs, n_relu, params
    from fitness.lower import lower
    from spaces.munas import MunasSpace

    space, rng = MunasSpace(), random.Random(0)
    genotypes = [space.sample(rng) for _ in range(count)]
    fresh, ours, theirs = MunasSpace(), 0.0, 0.0
    for genotype in genotypes:
        started = time.perf_counter()
        network = fresh.decode(genotype)
        expected = n_relu(network), params(network), macs(network)
        ours += time.perf_counter() - started
        started = time.perf_counter()
        with torch.device("meta"):
            module = lower(network)
            seen: list[int] = []
            for layer in module.modules():
                if isinstance(layer, nn.ReLU):
                    layer.register_forward_hook(lambda m, i, o, seen=seen: seen.append(o[0].numel()))
            module.eval()(torch.empty(1, *space.channels_first))
        counted = sum(seen), sum(p.numel() for p in module.parameters())
        theirs += time.perf_counter() - started
        if counted != expected[:2]:
            raise AssertionError(f"{counted} is not {expected[:2]}")
    return {
        "networks": count,
        "ms ours": 1e3 * ours / count,
        "ms torch meta": 1e3 * theirs / count,
        "ratio": theirs / ours,
    }


def size_space(count: int) -> Numbers:
    """Trace, params and macs of all 32,768 networks of the size space."""
    from fitness.figures import macs, params
    from fitness.trace import trace
    from fitness.whole_space import figure_of_all
    from spaces.nats import NatsSss

    space = NatsSss()
    started = time.perf_counter()
    for figure in (trace(), params, macs):
        values = figure_of_all(space, figure)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    rng = random.Random(0)
    for _ in range(count):
        network = NatsSss().decode(space.sample(rng))
        trace()(network), params(network), macs(network)
    each = (time.perf_counter() - started) / count
    return {"networks": len(values), "seconds": seconds, "ratio to one by one": each * len(values) / seconds}


def peak_memory(count: int) -> Numbers:
    """Exact best-order peak beside nine parallel blocks of three layers, against a plain search."""
    from fitness import figures
    from fitness.schedule import Step
    from spaces.munas import MunasSpace

    space, rng = MunasSpace(), random.Random(0)

    def branchy(branches: int) -> object:
        def choose(name: str, domain: object) -> object:
            if name == "blocks":
                return branches + 1
            if name.endswith(".branch"):
                return True
            if name.endswith(".layers"):
                return 3
            return domain.draw(rng.random())  # type: ignore[attr-defined]

        return space.decode(space.record(choose))  # type: ignore[arg-type]

    nine = []
    for _ in range(count):
        network = branchy(9)
        started = time.perf_counter()
        figures.munas_peak_memory(network)  # type: ignore[arg-type]
        nine.append(1e3 * (time.perf_counter() - started))
    taken: list[list[Step]] = []
    real = figures.minimum_peak
    figures.minimum_peak = lambda steps: taken.append(list(steps)) or real(steps)  # type: ignore[assignment]
    network = branchy(3)
    started = time.perf_counter()
    ours = figures.munas_peak_memory(network)  # type: ignore[arg-type]
    ours_seconds = time.perf_counter() - started
    figures.minimum_peak = real
    started = time.perf_counter()
    theirs = _every_order(taken[0])
    theirs_seconds = time.perf_counter() - started
    if ours != theirs:
        raise AssertionError(f"{ours} is not {theirs}")
    return {
        "networks with nine branches": count,
        "median ms": statistics.median(nine),
        "maximum ms": max(nine),
        "three branches: ratio of a plain search over executed sets": theirs_seconds / ours_seconds,
    }


def _every_order(steps: list) -> int:  # type: ignore[type-arg]
    """Minimum over all orders by dynamic programming over the sets of executed steps."""
    users = [[v for v, step in enumerate(steps) if u in step.inputs] for u in range(len(steps))]
    inputs = frozenset(v for v, step in enumerate(steps) if not step.inputs)

    def live(done: frozenset[int]) -> int:
        last = len(steps) - 1
        return sum(steps[u].size for u in done if u == last or any(v not in done for v in users[u]))

    best = {inputs: live(inputs)}
    for _ in range(len(steps) - len(inputs)):
        following: dict[frozenset[int], int] = {}
        for done, peak in best.items():
            for v, step in enumerate(steps):
                if v in done or any(u not in done for u in step.inputs):
                    continue
                takes_over = any(all(w == v or w in done for w in users[u]) for u in step.in_place)
                during = max(peak, live(done) + (0 if takes_over else step.size))
                after = done | {v}
                during = max(during, live(after))
                if during < following.get(after, 1 << 62):
                    following[after] = during
        best = following
    return min(best.values())


def aging(budget: int) -> Numbers:
    """The default search, records written to disk; and what the engine itself takes of it."""
    from engine import api
    from engine.config import RunConfig
    from engine.evaluation import Evaluator
    from engine.setup import Setup
    from spaces.space import Space

    inside = 0.0
    depth = 0

    def timed(owner: type, name: str) -> None:
        function = getattr(owner, name)

        def wrapper(*arguments: object, **options: object) -> object:
            nonlocal inside, depth
            depth += 1
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                depth -= 1
                if not depth:
                    inside += time.perf_counter() - started

        setattr(owner, name, wrapper)

    with tempfile.TemporaryDirectory() as folder:
        seen = {"distinct": 0, "rejected": 0, "cached": 0}
        memory: dict[int, int] = {}

        def on_record(record) -> None:  # type: ignore[no-untyped-def]
            seen["distinct"] += record.status == "ok" and not record.cached
            seen["rejected"] += record.status == "infeasible"
            seen["cached"] += record.cached
            if record.number + 1 in (budget // 2, budget):
                memory[record.number + 1] = _resident_bytes()

        started = time.perf_counter()
        api.run(Setup(RunConfig(budget=budget, out=f"{folder}/run")), on_record)
        seconds = time.perf_counter() - started
        size = Path(folder, "run", "records.jsonl").stat().st_size
        for owner, name in ((Space, "mutate"), (Space, "sample"), (Space, "decode"), (Evaluator, "__call__")):
            timed(owner, name)
        count = min(budget, 20_000)
        started = time.perf_counter()
        api.run(Setup(RunConfig(budget=count, seed=1, out=f"{folder}/share")))
        share = (time.perf_counter() - started - inside) / count
    return {
        "records": budget,
        "seconds": seconds,
        "distinct feasible fully scored networks a second": seen["distinct"] / seconds,
        "records a second": budget / seconds,
        "rejected": seen["rejected"],
        "cached": seen["cached"],
        "engine's own ms a record": 1e3 * share,
        "peak resident MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "memory bytes a further record": (memory[budget] - memory[budget // 2]) / (budget - budget // 2),
        "disk bytes a record": size / budget,
    }


def start_up(repeats: int) -> Numbers:
    """CPU seconds of `engine --help`, and whether a run with trace loads torch."""
    cpu = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "engine.cli", "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    program = (
        "import sys; from engine.cli import main; "
        "main(['run', '--budget', '20', '--quiet', '--out', sys.argv[1]]); "
        "print('torch' in sys.modules)"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", program, f"{folder}/run"], check=True, capture_output=True, text=True
        )
    return {"--help CPU s": min(cpu), "run imports torch": float(done.stdout.split()[-1] == "True")}


def resuming(records: int, strategy: str) -> Numbers:
    """Seconds from the start of `resume` to its first new record, and what records cost on the way there."""
    from engine import api
    from engine.config import RunConfig
    from engine.setup import Setup

    stamps: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(RunConfig(strategy=strategy, budget=records, out=f"{folder}/run"))
        api.run(setup, lambda record: stamps.append(time.perf_counter()))
        first: list[float] = []

        def on_record(record) -> None:  # type: ignore[no-untyped-def]
            if record.number == records:
                first.append(time.perf_counter() - started)

        started = time.perf_counter()
        api.resume(f"{folder}/run", records + 1, on_record=on_record)
    numbers: Numbers = {"records": records, "seconds to the first new record": first[0]}
    for at in (100, 1000, 5000, 100_000):
        if at <= records:
            span = stamps[at - 100 : at]
            numbers[f"ms a record around {at}"] = 1e3 * (span[-1] - span[0]) / (len(span) - 1)
    return numbers


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


PARTS: dict[str, tuple[str, Callable[[], Numbers], Callable[[], Numbers]]] = {
    "figures": ("median <= 0.3 ms, 99th percentile <= 3 ms", lambda: figures(10_000), lambda: figures(200)),
    "torch_peer": ("a ratio to torch on the meta device", lambda: torch_peer(200), lambda: torch_peer(5)),
    "size_space": ("<= 2 s for all 32,768", lambda: size_space(200), lambda: size_space(5)),
    "peak_memory": ("<= 50 ms, exact", lambda: peak_memory(200), lambda: peak_memory(3)),
    "aging": (
        ">= 2,000 distinct a second; engine <= 0.15 ms; < 500 MB; <= 300 bytes a record",
        lambda: aging(100_000),
        lambda: aging(500),
    ),
    "start_up": ("--help <= 0.1 s, no torch", lambda: start_up(5), lambda: start_up(1)),
    "resume_random": ("<= 3 s", lambda: resuming(100_000, "random"), lambda: resuming(300, "random")),
    "resume_aging": ("<= 3 s", lambda: resuming(100_000, "aging"), lambda: resuming(300, "aging")),
    "resume_tpe": ("<= 5 s; usable at 5,000 records", lambda: resuming(5_000, "tpe"), lambda: resuming(60, "tpe")),
}


_READING = """
## What is missed, and why

* Long default searches: evolution drifts to the largest networks the space has (ten blocks of three layers, three
  times the nodes and genes of an early one), and half of the children of networks at the budget's edge break it, so
  the rate falls with the length of the run. Building and canonical ordering take half of a record's time, the two
  memory bounds a quarter, writing 3 kB of JSON a tenth.
* Resuming 100,000 records: reading 330 MB of JSON is most of it.
* The median of all figures: decoding a genotype strictly, every choice checked, is half of it.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that it runs; writes nothing")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part][2 if options.small else 1]()))
        return
    lines = [
        "# Speed of the search core",
        "",
        "    python experiments/speed/run.py",
        "",
        f"One process, one core of {os.cpu_count()} ({platform.machine()}, Python {platform.python_version()}); "
        "shared machines are noisy, so read times as +-30 % and ratios as what they are.",
        "",
    ]
    for name in options.parts or PARTS:
        command = [sys.executable, __file__, "--part", name] + (["--small"] if options.small else [])
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        numbers: Numbers = json.loads(done.stdout.splitlines()[-1])
        lines += [f"## {name}", "", f"Wanted: {PARTS[name][0]}.", "", "| | |", "|---|---|"]
        lines += [
            f"| {key} | {value:,.4g} |" if value < 1000 else f"| {key} | {value:,.0f} |"
            for key, value in numbers.items()
        ]
        lines += [""]
        print("\n".join(lines[-len(numbers) - 6 :]), flush=True)
    if not options.small and not options.parts:
        Path(__file__).with_name("RESULTS.md").write_text("\n".join(lines) + _READING, encoding="utf-8")


if __name__ == "__main__":
    main()
