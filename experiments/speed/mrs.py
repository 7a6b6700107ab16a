"""Seconds of MAE random sampling, all draws in one batched computation, beside loops over the draws and training.

    python experiments/speed/mrs.py [--networks N] [--repeats N] [--threads N]

Random LSTM networks on the sine of 1,000 rows: 1 to 3 layers, 1 to 60 units, look-back 2 to 20; 100 samples. Per
network all peers alternate, least of the repeats; ratios are per network. The peers are linear in the draws (or
epochs), so some of them are run and scaled:

    reference   dlopt's procedure in torch: for each draw new numbers from NumPy into torch's LSTMs, which forecast
                the windows in mini-batches of 5, the batch size of the authors' configurations
    loop        the strongest loop: numbers drawn beforehand, one pass of all windows through torch's LSTM per draw
    loop merged the same on the distinct windows only
    training    ten epochs of Adam, lr 5e-5, mini-batches of 5, on the training windows

The peers compute in float32, ours in float64 unless it says "single". With one thread, seconds are those of the
processor: other jobs on the machine do not count.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import product
from random import Random

import numpy as np
import torch
from numpy.random import RandomState
from torch import nn

from fitness.lower import lower
from fitness.mrs.batched import errors
from fitness.mrs.draws import Draws
from fitness.mrs.stack import stack_of
from fitness.mrs.windows import Distinct, distinct
from fitness.series import Windows, load_series
from spaces.network import Network
from spaces.rnn import RnnSpace
from spaces.space import Genotype

SAMPLES = 100
BATCH = 5
Task = Callable[[], object]


def sampled(count: int) -> list[Network]:
    space, rng = RnnSpace(max_units=60, max_look_back=20), Random(0)
    return [space.decode(space.sample(rng)) for _ in range(count)]


def stacked(layers: int, units: int, look_back: int, columns: int = 1) -> Network:
    space = RnnSpace(columns, columns, preset="waste", min_units=1)
    widths = {f"l{i}.units": units for i in range(layers)}
    return space.decode(Genotype({"look_back": look_back, "layers": layers} | widths))


def fill(module: nn.Module, numbers: np.ndarray) -> None:
    """Put one sample of weights, in Keras' order and layout, into a lowered network's parameters."""
    at = 0
    for parameter in module.parameters():
        taken = torch.from_numpy(numbers[at : at + parameter.numel()])
        at += parameter.numel()
        parameter.copy_(taken if parameter.ndim == 1 else taken.view(parameter.shape[::-1]).T)


def looped(module: nn.Module, given: Windows | Distinct, numbers: Sequence[np.ndarray], batch: int) -> list[float]:
    """Errors of a module, sample by sample; of what is merged only on the distinct windows."""
    kind = next(module.parameters()).dtype
    inputs = torch.from_numpy(given.inputs).to(kind)
    targets = torch.from_numpy(given.targets[: len(inputs)]).to(kind)
    found = []
    with torch.inference_mode():
        for sample in numbers:
            fill(module, sample)
            parts = [
                (module(x) - y).abs().sum() for x, y in zip(inputs.split(batch), targets.split(batch), strict=True)
            ]
            found.append(float(sum(parts)) / targets.numel())
    return found


def reference(module: nn.Module, given: Windows, draws: int, size: int) -> list[float]:
    random = RandomState(0)
    numbers = (random.normal(size=size).astype(np.float32) for _ in range(draws))
    return looped(module, given, numbers, BATCH)  # type: ignore[arg-type]  # drawn one by one, as there


def trained(module: nn.Module, given: Windows, batches: int) -> None:
    adam = torch.optim.Adam(module.parameters(), lr=5e-5)
    inputs, targets = torch.from_numpy(given.inputs), torch.from_numpy(given.targets)
    for x, y in list(zip(inputs.split(BATCH), targets.split(BATCH), strict=True))[:batches]:
        adam.zero_grad()
        nn.functional.mse_loss(module(x), y).backward()
        adam.step()


def least(tasks: dict[str, Task], repeats: int, threads: int) -> dict[str, float]:
    """Seconds of each, in turns."""
    clock = time.process_time if threads == 1 else time.perf_counter
    torch.set_num_threads(threads)
    seconds = dict.fromkeys(tasks, float("inf"))
    for _ in range(repeats):
        for name, task in tasks.items():
            start = clock()
            task()
            seconds[name] = min(seconds[name], clock() - start)
    return seconds


def ours(network: Network, seen: Distinct, samples: int, threads: int, **options: bool) -> np.ndarray:
    stack, law = stack_of(network), "normal"
    drawn = Draws(0, law, keep=options.pop("keep", True))
    return errors(stack, seen, drawn, samples, law=law, scale=1.0, threads=threads, **options)


def compare(
    network: Network, given: Windows, args: argparse.Namespace, samples: int, train: bool
) -> dict[str, float]:
    """Seconds for `samples` draws of every peer, and for ten epochs."""
    size, module = stack_of(network).draws, lower(network)
    merged, whole = distinct(given.inputs, given.targets), distinct(given.inputs, given.targets, merge=False)
    few, some = 2, min(samples, 20)
    numbers = np.split(Draws(0, "normal", keep=True).take(some * size), some)
    # In float64, as ours: 8 layers of 300 units amplify the rounding of float32 to 0.02.
    theirs = looped(lower(network).double(), given, numbers, len(given.inputs))
    mine = ours(network, merged, samples, args.threads)[:some]
    assert np.abs(mine - theirs).max() < 1e-6, "not the same errors"
    tasks: dict[str, Task] = {
        "ours": lambda: ours(network, merged, samples, args.threads),
        "ours, not merged": lambda: ours(network, whole, samples, args.threads),
        "ours, single": lambda: ours(network, merged, samples, args.threads, single=True),
        "ours, single, not merged": lambda: ours(network, whole, samples, args.threads, single=True),
        "loop": lambda: looped(module, given, numbers, len(given.inputs)),
        "loop merged": lambda: looped(module, merged, numbers, len(merged.inputs)),
    }
    if not args.wide:
        tasks["ours, drawing"] = lambda: ours(network, merged, samples, args.threads, keep=False)
        tasks["reference"] = lambda: reference(module, given, few, size)
    seconds = least(tasks, args.repeats, args.threads)
    if train:
        batches = 20
        seconds |= least({"training": lambda: trained(module, given, batches)}, 2, args.threads)
        seconds["training"] *= 10 * -(-len(given.inputs) // BATCH) / batches
    for name, made in {"loop": some, "loop merged": some, "reference": few}.items():
        if name in seconds:
            seconds[name] *= samples / made
    return seconds


def products(network: Network, windows: int, samples: int) -> tuple[float, float]:
    """Multiply-accumulates and transcendental functions of one sampling, in 10^9."""
    stack = stack_of(network)
    steps = windows * samples * stack.look_back / 1e9
    macs = sum(
        layer.rows * layer.columns * (steps if layer.kind != "dense" else steps / stack.look_back)
        for layer in stack.layers
    )
    return macs, sum(5 * layer.units * steps for layer in stack.layers if layer.kind != "dense")


def row(label: str, numbers: Sequence[float]) -> str:
    return f"| {label} | {statistics.median(numbers):.1f} | {min(numbers):.1f} | {max(numbers):.1f} |"


def sine(args: argparse.Namespace, part: str) -> None:
    series, found = load_series("sine"), []
    for index, network in enumerate(sampled(args.networks)):
        given = series.windows(stack_of(network).look_back, part)
        train = part == "train" and index % 4 == 0
        found.append((network, given, compare(network, given, args, SAMPLES, train)))
    print(f"\n## Sine, {part} part: about {len(found[0][1].inputs)} windows, 10 of them distinct\n")
    print("| ratio of seconds, per network | median | least | greatest |\n|---|---|---|---|")
    mine_all = ("ours", "ours, drawing", "ours, not merged", "ours, single", "ours, single, not merged")
    for mine, peer in product(mine_all, ("reference", "loop", "loop merged", "training")):
        ratios = [seconds[peer] / seconds[mine] for *_, seconds in found if peer in seconds]
        if ratios:
            print(row(f"{peer} / {mine}", ratios))
    print("\n| milliseconds per network | median | least | greatest |\n|---|---|---|---|")
    for name in dict.fromkeys(name for *_, seconds in found for name in seconds):
        print(row(name, [1000 * seconds[name] for *_, seconds in found if name in seconds]))
    print("\n| arithmetic | median | least | greatest |\n|---|---|---|---|")
    for name in ("ours", "ours, not merged"):
        counts = [products(n, 10 if name == "ours" else len(given.inputs), SAMPLES) for n, given, _ in found]
        rates = [2 * macs / seconds[name] for (macs, _), (*_, seconds) in zip(counts, found, strict=True)]
        print(row(f"{name}: multiply-accumulates, 10^6", [1000 * macs for macs, _ in counts]))
        print(row(f"{name}: sigmoids, 10^6", [1000 * sigmoids for _, sigmoids in counts]))
        print(row(f"{name}: GFLOP/s", rates))


def wide(args: argparse.Namespace) -> None:
    print("\n## Wide networks: 4 samples, look-back 10, 200 windows, none equal\n")
    print("| layers x units, columns | ours, s | loop / ours | loop / ours, single | GFLOP/s of ours |")
    print("|---|---|---|---|---|")
    args.wide = True
    for layers, units, columns in ((1, 100, 1), (2, 100, 1), (1, 200, 1), (3, 200, 1), (1, 300, 1), (8, 300, 217)):
        network, random = stacked(layers, units, 10, columns), RandomState(0)
        inputs, targets = random.uniform(0, 1, (200, 10, columns)), random.uniform(0, 1, (200, columns))
        given = Windows(inputs.astype(np.float32), targets.astype(np.float32))
        seconds = compare(network, given, args, 4, False)
        mine, rate = seconds["ours"], 2 * products(network, 200, 4)[0] / seconds["ours"]
        other = seconds["loop"] / seconds["ours, single"]
        print(
            f"| {layers} x {units}, {columns} | {mine:.3f} | {seconds['loop'] / mine:.2f} | {other:.2f} "
            f"| {rate:.0f} |"
        )


def bounds(threads: int) -> tuple[float, float, float]:
    """GFLOP/s of a large product in float32 and in float64, nanoseconds per number of NumPy's stream."""
    a, b = torch.rand(2000, 2000), torch.rand(2000, 2000)
    c, d = a.double(), b.double()
    tasks: dict[str, Task] = {
        "single": lambda: a @ b,
        "double": lambda: c @ d,
        "draw": lambda: RandomState(0).normal(size=10**6).astype(np.float32),
    }
    seconds = least(tasks, 5, threads)
    return 16 / seconds["single"], 16 / seconds["double"], 1000 * seconds["draw"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.wide = False
    single, double, draw = bounds(args.threads)
    print(
        f"{args.networks} networks, best of {args.repeats}, torch {torch.__version__}, threads: {args.threads}. "
        f"A product of 2000 x 2000 runs at\n{single:.0f} GFLOP/s in float32 and {double:.0f} in float64; drawing a "
        f"number takes {draw:.0f} ns."
    )
    for part in ("test", "train"):
        sine(args, part)
    wide(args)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of the whole process: {peak:.0f} MB")


if __name__ == "__main__":
    main()
