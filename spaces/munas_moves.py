"""The structural moves of μNAS on a genotype, each child of the authors' list equally likely.

Liberis et al. 2021 (see `spaces.munas`), as in the authors' code. A move renumbers blocks and layers, so that
what it does not touch keeps its meaning. Moves that cannot change the network (the width of a branch's last
layer) are left out, which equals redrawing them.
"""

from __future__ import annotations

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
from spaces.space import Domain, Integer, Value

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


def morph(genotype: dict[str, Value], image_channels: int, min_dense: int, rng: Random) -> dict[str, Value]:
    """The choices of one random child, in the order in which the space asks for them."""
    moves = _count_moves(genotype, min_dense)
    drawn = _below(rng, sum(count for count, _, _ in moves))
    place = 0
    while drawn >= moves[place][0]:
        drawn -= moves[place][0]
        place += 1
    _, block, layer = moves[place]
    if layer >= 0:
        return _change_layer(genotype, block, layer, drawn, image_channels, rng)
    if block >= 0:
        return _change_block(genotype, block, drawn, image_channels, rng)
    return _change_rest(genotype, drawn, image_channels, min_dense, rng)


def _count_moves(genotype: dict[str, Value], min_dense: int) -> list[tuple[int, int, int]]:
    """Number of children by place: (count, block, layer), layer -1 for the block itself, block -1 for the rest."""
    moves = [(len(_rest_moves(genotype, min_dense)), -1, -1)]
    for b in range(int(genotype["blocks"])):
        layers = int(genotype[LAYERS_OF[b]])
        moves.append((len(_block_moves(genotype, b)), b, -1))
        for layer in range(layers):
            _, kernel, filters, stride2, _, _, _ = FIELD_OF[b][layer]
            count = 5  # batch norm, ReLU, pooling before, two other kinds
            if stride2 in genotype:
                count += 2 if genotype[kernel] != 5 else 3
            if filters in genotype:
                width = int(genotype[filters])
                count += 6 if 5 < width < 124 else len(_steps(width, FILTER_STEPS, FILTERS))
            moves.append((count, b, layer))
    return moves


def _change_layer(
    genotype: dict[str, Value], b: int, index: int, drawn: int, image_channels: int, rng: Random
) -> dict[str, Value]:
    kind, kernel, filters, stride2, prepool, norm, relu = FIELD_OF[b][index]
    child = dict(genotype)
    moves: list[tuple[str, int]] = [(norm, 0), (relu, 0), (prepool, 0)]
    if stride2 in genotype:
        moves.append((stride2, 0))
        moves += [(kernel, step) for step in _steps(int(genotype[kernel]), (-2, 2), KERNEL)]
    if filters in genotype:
        moves += [(filters, step) for step in _steps(int(genotype[filters]), FILTER_STEPS, FILTERS)]
    if drawn < len(moves):
        name, step = moves[drawn]
        child[name] = int(child[name]) + step if step else not child[name]
        return child
    others = [other for other in KIND.options if other != genotype[kind]]
    blocks = _read_blocks(genotype, image_channels)
    blocks[b].layers[index] = _random_layer(rng, others[drawn - len(moves)])
    return _write(blocks, genotype)


def _block_moves(genotype: dict[str, Value], b: int) -> list[str]:
    layers = int(genotype[LAYERS_OF[b]])
    moves = ["branch"] if b else []
    if layers > 1:
        moves.append("remove layer")
    elif int(genotype["blocks"]) > 1:
        moves.append("remove block")
    if layers < MAX_LAYERS:
        moves.append("insert layer")
    return moves


def _change_block(
    genotype: dict[str, Value], b: int, drawn: int, image_channels: int, rng: Random
) -> dict[str, Value]:
    blocks = _read_blocks(genotype, image_channels)
    layers = blocks[b].layers
    match _block_moves(genotype, b)[drawn]:
        case "branch":
            blocks[b].branch = not blocks[b].branch
        case "remove layer":
            del layers[_below(rng, len(layers))]
        case "remove block":
            _remove_block(blocks, b)
        case "insert layer":
            layers.insert(_below(rng, len(layers)), _random_layer(rng))
    return _write(blocks, genotype)


def _rest_moves(genotype: dict[str, Value], min_dense: int) -> list[tuple[str, int, int]]:
    """(what, dense layer, step) of every child outside the convolutional part, and of whole blocks."""
    count, dense, pool = int(genotype["blocks"]), int(genotype["dense"]), genotype["pool"]
    moves = [("pool", 0, 0)]
    if count > 1:
        moves.append(("remove block", 0, 0))
    if count < MAX_BLOCKS:
        moves.append(("append block", 0, 0))
    if pool != "none":
        moves.append(("pool kind", 0, 0))
        moves += [("pool size", 0, step) for step in _steps(int(genotype["pool.size"]), (-2, 2), POOL_SIZE)]
    if dense > min_dense:
        moves.append(("remove dense", 0, 0))
    if dense < MAX_DENSE:
        moves.append(("append dense", 0, 0))
    for d in range(dense):
        moves += [("units", d, step) for step in _steps(int(genotype[UNITS_OF[d]]), UNIT_STEPS, UNITS)]
    return moves


def _change_rest(
    genotype: dict[str, Value], drawn: int, image_channels: int, min_dense: int, rng: Random
) -> dict[str, Value]:
    what, place, step = _rest_moves(genotype, min_dense)[drawn]
    child = dict(genotype)
    dense = int(child["dense"])
    match what:
        case "remove block" | "append block":
            blocks = _read_blocks(genotype, image_channels)
            if what == "remove block":
                _remove_block(blocks, _below(rng, len(blocks)))
            else:
                blocks.append(_Block(BRANCH.draw(rng.random()), [_random_layer(rng)]))
            return _write(blocks, genotype)
        case "pool" if child["pool"] == "none":
            child["pool"], child["pool.size"] = ("avg", "max")[_below(rng, 2)], POOL_SIZE.draw(rng.random())
        case "pool":
            child["pool"] = "none"
            del child["pool.size"]
        case "pool kind":
            child["pool"] = "max" if child["pool"] == "avg" else "avg"
        case "pool size":
            child["pool.size"] = int(child["pool.size"]) + step
        case "remove dense":
            removed = _below(rng, dense)
            for d in range(removed, dense - 1):
                child[UNITS_OF[d]] = child[UNITS_OF[d + 1]]
            del child[UNITS_OF[dense - 1]]
            child["dense"] = dense - 1
        case "append dense":
            child[UNITS_OF[dense]] = UNITS.draw(rng.random())
            child["dense"] = dense + 1
        case "units":
            child[UNITS_OF[place]] = int(child[UNITS_OF[place]]) + step
    return child


def _steps(value: int, steps: tuple[int, ...], domain: Integer) -> list[int]:
    """The steps from `value` that stay inside the domain."""
    return [step for step in steps if domain.low <= value + step <= domain.high]


def _read_blocks(genotype: dict[str, Value], image_channels: int) -> list[_Block]:
    """Blocks with every convolution's width spelled out, that of a branch's last layer included."""
    blocks = []
    serial_width = image_channels  # of the last serial block's output, which a branch must match
    for b in range(int(genotype["blocks"])):
        branch = b > 0 and genotype[BRANCH_OF[b]] is True
        layers: list[Layer] = []
        width = serial_width
        for names in FIELD_OF[b][: int(genotype[LAYERS_OF[b]])]:
            layer = {field: genotype[name] for field, name in zip(FIELDS, names, strict=True) if name in genotype}
            if layer["kind"] != "dwconv":
                width = int(layer.setdefault("filters", serial_width))
            layers.append(layer)
        if not branch:
            serial_width = width
        blocks.append(_Block(branch, layers))
    return blocks


def _write(blocks: list[_Block], rest: dict[str, Value]) -> dict[str, Value]:
    """Choices of these blocks, without the genes that have no meaning in them, and of the rest of a genotype."""
    choices: dict[str, Value] = {"blocks": len(blocks)}
    for b, block in enumerate(blocks):
        branch = b > 0 and block.branch
        if b:
            choices[BRANCH_OF[b]] = branch
        count = choices[LAYERS_OF[b]] = len(block.layers)
        for index, (names, layer) in enumerate(zip(FIELD_OF[b], block.layers, strict=False)):
            kind_, kernel, filters, stride2, prepool, norm, relu = names
            kind = choices[kind_] = layer["kind"]
            if kind != "conv1x1":
                choices[kernel] = layer["kernel"]
            if kind != "dwconv" and not (branch and index == count - 1):
                choices[filters] = layer["filters"]
            if kind != "conv1x1":
                choices[stride2] = layer["stride2"]
            choices[prepool], choices[norm], choices[relu] = layer["prepool"], layer["bn"], layer["relu"]
    for name in ("pool", "pool.size", "dense", *UNITS_OF):
        if name in rest:
            choices[name] = rest[name]
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
