"""What scoring a network costs, fresh, everything in turn on the same networks; CPU seconds of one thread."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from math import inf
from random import Random

import numpy as np
import torch
from common import METRICS, TSS, Floats, markdown, setup_of
from speed.shipped import naswot
from speed.shipped.network import AuthorsNetwork
from torch import Tensor, nn

from engine import search
from engine.setup import Setup
from fitness.lower import lower
from spaces.space import Genotype

Task = Callable[[Genotype], object]
BATCH = 128
DRAWN, LOOKED_UP = "draw a network and its layer graph", "look its accuracies up"
TRACE, PENALISED = "trace", "trace+gdf"
COUNTED_ONE, COUNTED = "ReLUs counted in a forward of 1 image", f"ReLUs counted in a forward of {BATCH} images"
OURS, PLAIN, SHIPPED = "NAS-WOT", "NAS-WOT by one plain forward", "NAS-WOT as shipped"
WALKED, ROUNDS = 200, 5  # networks that a task without torch is timed on, and how often


def costs(options: argparse.Namespace, space: str, count: int) -> dict[str, Floats]:
    """Seconds of each of `count` random networks, by what is done with it."""
    setup = setup_of(options, space)
    torch.set_num_threads(1)
    found, tasks, rng = _walked(_walks(setup), setup), _passes(setup), Random(100)
    smallest = next(iter(setup.space.enumerate()))
    networks = [smallest, *(setup.space.sample(rng) for _ in range(count))]
    for name in tasks:
        found[name] = np.zeros(len(networks))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the authors' hooks are of torch's old kind
        for number, genotype in enumerate(networks):
            for name, task in tasks.items():
                started = time.process_time()
                task(genotype)
                found[name][number] = time.process_time() - started
    return {name: seconds[1:] if name in tasks else seconds for name, seconds in found.items()}  # the first imports


def _walks(setup: Setup) -> dict[str, Task]:
    """What needs no torch."""
    space, table = setup.space, setup.table
    trace, penalised = setup.expression("trace"), setup.expression("trace+gdf")
    params = setup.fitness("params")

    def both(genotype: Genotype) -> float:
        network = space.decode(genotype)
        return penalised.merit({"trace": trace.scores[0](network), "params": params(network)})

    return {
        DRAWN: space.decode,
        TRACE: lambda genotype: trace.scores[0](space.decode(genotype)),
        PENALISED: both,
        LOOKED_UP: lambda genotype: [
            table.value(space.describe(genotype), column) for column in METRICS[space.name]
        ],
    }


def _walked(tasks: dict[str, Task], setup: Setup) -> dict[str, Floats]:
    """(1,) seconds a network, drawing included, the least of some rounds; every task has networks of its own."""
    rng = Random(0)
    least = {name: np.array([inf]) for name in tasks}
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            started = time.process_time()
            for _ in range(WALKED):
                task(setup.space.sample(rng))
            least[name] = np.minimum(least[name], (time.process_time() - started) / WALKED)
    return least


def _passes(setup: Setup) -> dict[str, Task]:
    """What runs a module; building it included."""
    space, images = setup.space, torch.randn(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def theirs(genotype: Genotype) -> nn.Module:
        if space.name == TSS:
            return AuthorsNetwork(space.describe(genotype)).train()
        return lower(space.decode(genotype)).train()

    tasks: dict[str, Task] = {
        SHIPPED: lambda genotype: naswot.score(theirs(genotype), images),
        PLAIN: lambda genotype: naswot.one_forward(theirs(genotype), images),
        COUNTED: lambda genotype: counted_relus(theirs(genotype), images),
        COUNTED_ONE: lambda genotype: counted_relus(theirs(genotype), images[:1]),
    }
    fresh = Setup(setup.config)  # without the cache
    thin = {"TE-NAS's NTK": "te_nas_ntk", "TE-NAS's regions": "te_nas_regions"} if space.name == TSS else {}
    for title, name in ({OURS: "naswot", "EPE-NAS": "epe_nas"} | thin).items():
        tasks[title] = fresh.evaluator_of([fresh.expression(name).scores[0]])
    return tasks


def counted_relus(module: nn.Module, images: Tensor) -> int:
    """N_A as one gets it without a layer graph: a forward pass with hooks."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output[0].numel()

    hooks = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, nn.ReLU)]
    with torch.no_grad():
        module(images)
    for hook in hooks:
        hook.remove()
    return total


def speed_up(found: dict[str, Floats]) -> str:
    """The table: milliseconds and what is saved against NAS-WOT, in percent of its time."""
    lines = [["", "ms a network", "saved against NAS-WOT as shipped", "against ours"]]
    for name, seconds in sorted(found.items(), key=lambda item: float(item[1].mean())):
        saved = [f"{100 * (1 - seconds.mean() / found[peer].mean()):.2f} %" for peer in (SHIPPED, OURS)]
        lines.append([name, f"{1e3 * seconds.mean():.2f}", *saved])
    return f"{markdown(lines)}\n\nEvery row but those that run a module includes drawing the network."


def search_seconds(space: str, expressions: tuple[str, ...], budget: int, runs: int) -> dict[str, Floats]:
    """(runs,) CPU seconds of whole random searches by the engine, the expressions in turn."""
    taken = {text: np.zeros(runs) for text in expressions}
    for text in expressions:
        search(space, "random", text, target="none", budget=2)
    for seed in range(runs):
        for text in expressions:
            started = time.process_time()
            search(space, "random", text, target="none", budget=budget, seed=seed)
            taken[text][seed] = time.process_time() - started
    return taken
