"""The structural moves of μNAS on a genotype, each child of the authors' list equally likely.

Liberis et al. 2021 (see `spaces.munas`), as in the authors' code. A move renumbers blocks and layers, so that
what it does not touch keeps its meaning. Moves that cannot change the network (the width of a branch's last
layer) are left out, which equals redrawing them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from spaces.munas import (
    BATCH_NORM,
    BRANCH,
    BRANCH_OF,
    FIELD_OF,
    FIELDS,
    FILTERS,
    KERNEL,
    KIND,
    LAYERS_OF,
    MAX_BLOCKS,
    MAX_DENSE,
    MAX_LAYERS,
    POOL_SIZE,
    PREPOOL,
    RELU,
    STRIDE2,
    UNITS,
    UNITS_OF,
)
from spaces.space import Domain, Value

Layer = dict[str, Value]

FILTER_STEPS = (-5, -3, -1, 1, 3, 5)
UNIT_STEPS = (-5, -3, -1, 1, 3, 5)
_LAYER_DOMAINS: dict[str, Domain] = {
    "kernel": KERNEL,
    "filters": FILTERS,
    "stride2": STRIDE2,
    "prepool": PREPOOL,
    "bn": BATCH_NORM,
    "relu": RELU,
}


@dataclass
class _Block:
    branch: bool
    layers: list[Layer]


def morph(
    genotype: Mapping[str, Value], image_channels: int, min_dense: int, rng: Random
) -> dict[str, Value]:
    """The choices of one random child, complete but for genes its structure does not ask for."""
    blocks = _read_blocks(genotype, image_channels)
    units = [int(genotype[UNITS_OF[d]]) for d in range(int(genotype["dense"]))]
    pool = str(genotype["pool"])
    pool_size = int(genotype["pool.size"]) if pool != "none" else 0

    # (what, block or dense layer, layer, step): the children, listed before one is drawn, none of them built.
    moves: list[tuple[str, int, int, int]] = [("pool", 0, 0, 0)]
    add = moves.append
    if len(blocks) > 1:
        add(("remove block", -1, 0, 0))
    if len(blocks) < MAX_BLOCKS:
        add(("append block", 0, 0, 0))
    last_block = len(blocks) - 1
    for b, block in enumerate(blocks):
        count = len(block.layers)
        if b:
            add(("branch", b, 0, 0))
        if count > 1:
            add(("remove layer", b, 0, 0))
        elif last_block:
            add(("remove block", b, 0, 0))
        if count < MAX_LAYERS:
            add(("insert layer", b, 0, 0))
        for i, layer in enumerate(block.layers):
            moves += [
                ("bn", b, i, 0),
                ("relu", b, i, 0),
                ("prepool", b, i, 0),
                ("kind", b, i, 0),
                ("kind", b, i, 1),
            ]
            kind = layer["kind"]
            if kind != "dwconv" and not (block.branch and i == count - 1):
                width = int(layer["filters"])
                moves += [
                    ("filters", b, i, step) for step in FILTER_STEPS if 1 <= width + step <= FILTERS.high
                ]
            if kind != "conv1x1":
                kernel = int(layer["kernel"])
                moves += [("kernel", b, i, step) for step in (-2, 2) if 3 <= kernel + step <= 7]
                add(("stride2", b, i, 0))
    if pool != "none":
        add(("pool kind", 0, 0, 0))
        moves += [("pool size", 0, 0, step) for step in (-2, 2) if 2 <= pool_size + step <= 6]
    if len(units) > min_dense:
        add(("remove dense", 0, 0, 0))
    if len(units) < MAX_DENSE:
        add(("append dense", 0, 0, 0))
    for d, width in enumerate(units):
        moves += [("units", d, 0, step) for step in UNIT_STEPS if UNITS.low <= width + step <= UNITS.high]

    what, place, index, step = moves[_below(rng, len(moves))]
    match what:
        case "remove block":
            _remove_block(blocks, _below(rng, len(blocks)) if place < 0 else place)
        case "append block":
            blocks.append(_Block(BRANCH.draw(rng.random()), [_random_layer(rng)]))
        case "branch":
            blocks[place].branch = not blocks[place].branch
        case "remove layer":
            del blocks[place].layers[_below(rng, len(blocks[place].layers))]
        case "insert layer":
            layers = blocks[place].layers
            layers.insert(_below(rng, len(layers)), _random_layer(rng))
        case "bn" | "relu" | "prepool" | "stride2":
            layer = blocks[place].layers[index]
            layer[what] = not layer[what]
        case "kind":
            layer = blocks[place].layers[index]
            others = [kind for kind in KIND.options if kind != layer["kind"]]
            blocks[place].layers[index] = _random_layer(rng, others[step])
        case "filters" | "kernel":
            layer = blocks[place].layers[index]
            layer[what] = int(layer[what]) + step
        case "pool":
            pool = "none" if pool != "none" else ("avg", "max")[_below(rng, 2)]
            pool_size = POOL_SIZE.draw(rng.random())
        case "pool kind":
            pool = "max" if pool == "avg" else "avg"
        case "pool size":
            pool_size += step
        case "remove dense":
            del units[_below(rng, len(units))]
        case "append dense":
            units.append(UNITS.draw(rng.random()))
        case "units":
            units[place] += step
    return _write(blocks, units, pool, pool_size)


def _read_blocks(genotype: Mapping[str, Value], image_channels: int) -> list[_Block]:
    """Blocks with every convolution's width spelled out, that of a branch's last layer included."""
    blocks = []
    serial_width = image_channels  # of the last serial block's output, which a branch must match
    for b in range(int(genotype["blocks"])):
        branch = b > 0 and genotype[BRANCH_OF[b]] is True
        layers: list[Layer] = []
        width = serial_width
        for names in FIELD_OF[b][: int(genotype[LAYERS_OF[b]])]:
            layer = {
                field: genotype[name] for field, name in zip(FIELDS, names, strict=True) if name in genotype
            }
            if layer["kind"] != "dwconv":
                width = int(layer.setdefault("filters", serial_width))
            layers.append(layer)
        if not branch:
            serial_width = width
        blocks.append(_Block(branch, layers))
    return blocks


def _write(blocks: list[_Block], units: list[int], pool: str, pool_size: int) -> dict[str, Value]:
    choices: dict[str, Value] = {"blocks": len(blocks)}
    for b, block in enumerate(blocks):
        choices[BRANCH_OF[b]] = block.branch
        choices[LAYERS_OF[b]] = len(block.layers)
        for names, layer in zip(FIELD_OF[b], block.layers, strict=False):
            for field, name in zip(FIELDS, names, strict=True):
                if field in layer:
                    choices[name] = layer[field]
    choices["pool"] = pool
    choices["pool.size"] = pool_size
    choices["dense"] = len(units)
    choices.update(zip(UNITS_OF, units, strict=False))
    return choices


def _remove_block(blocks: list[_Block], b: int) -> None:
    """What hung on a removed serial block has nothing to be parallel to: the next block takes its place."""
    if not blocks[b].branch and b + 1 < len(blocks):
        blocks[b + 1].branch = False
    del blocks[b]


def _random_layer(rng: Random, kind: str | None = None) -> Layer:
    layer: Layer = {"kind": kind or KIND.draw(rng.random())}
    for field, domain in _LAYER_DOMAINS.items():
        layer[field] = domain.draw(rng.random())
    return layer


def _below(rng: Random, count: int) -> int:
    return int(rng.random() * count)
