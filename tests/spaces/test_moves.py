"""Mutation makes exactly the authors' children, each equally likely.

The table of facts/munas-and-mcu.md, section 1 (eliberis/uNAS @63ab705), is written down here once more, as the
list of all children of a parent; what is drawn at random is left open in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple
from unittest.mock import ANY

import pytest

from spaces.mlp import MlpSpace
from spaces.munas import MunasSpace
from spaces.space import Genotype

KINDS = ("conv", "conv1x1", "dwconv")
STEPS = (-5, -3, -1, 1, 3, 5)
RANDOM_LAYER = (ANY,) * 7

Child = tuple[float, str, Any]  # how often it is drawn, in units of one move; the move; what it leads to


class Layer(NamedTuple):
    """None where a kind of layer has no such field."""

    kind: Any
    kernel: Any
    filters: Any
    stride2: Any
    prepool: Any
    bn: Any
    relu: Any


class Block(NamedTuple):
    branch: Any
    layers: tuple[Any, ...]


class Structure(NamedTuple):
    blocks: tuple[Block, ...]
    pool: Any  # (kind, size) or None
    dense: tuple[Any, ...]


def _read(genotype: Genotype, image_channels: int = 3) -> Structure:
    """The authors' view: every convolution has a width, that of a branch's last layer is the serial block's."""
    blocks, serial = [], image_channels
    for b in range(genotype["blocks"]):
        branch, layers = b > 0 and genotype[f"b{b}.branch"], []
        width = serial
        for index in range(genotype[f"b{b}.layers"]):
            layer = Layer(*[genotype.get(f"b{b}.l{index}.{field}") for field in Layer._fields])
            if layer.kind != "dwconv":
                layer = layer._replace(filters=layer.filters or serial)
                width = layer.filters
            layers.append(layer)
        serial = serial if branch else width
        blocks.append(Block(branch, tuple(layers)))
    pool = None if genotype["pool"] == "none" else (genotype["pool"], genotype["pool.size"])
    return Structure(tuple(blocks), pool, tuple(genotype[f"d{d}.units"] for d in range(genotype["dense"])))


def _children(parent: Structure) -> Iterator[Child]:
    blocks, pool, dense = parent
    if len(blocks) > 1:
        for b in range(len(blocks)):
            yield 1 / len(blocks), "remove a random block", parent._replace(blocks=_removed(blocks, b))
    if len(blocks) < 10:
        appended = Block(ANY, (RANDOM_LAYER,))
        yield 1, "append a block", parent._replace(blocks=(*blocks, appended))
    for b, block in enumerate(blocks):
        for weight, move, changed in _changed_blocks(b, block):
            yield weight, move, parent._replace(blocks=(*blocks[:b], changed, *blocks[b + 1 :]))
        if len(block.layers) == 1 and len(blocks) > 1:
            yield 1, "remove this block", parent._replace(blocks=_removed(blocks, b))
    if pool is None:
        yield 1, "pooling on", parent._replace(pool=(ANY, ANY))
    else:
        kind, size = pool
        yield 1, "pooling off", parent._replace(pool=None)
        yield 1, "kind of pooling", parent._replace(pool=("max" if kind == "avg" else "avg", size))
        for step in (-2, 2):
            if 2 <= size + step <= 6:
                yield 1, f"pool size {step:+}", parent._replace(pool=(kind, size + step))
    for changed in _changed_widths(dense, STEPS, most=3):
        yield changed[0], f"dense {changed[1]}", parent._replace(dense=changed[2])


def _changed_blocks(b: int, block: Block) -> Iterator[Child]:
    layers = block.layers
    if b:
        yield 1, "branch", block._replace(branch=not block.branch)
    if len(layers) > 1:
        for index in range(len(layers)):
            left = (*layers[:index], *layers[index + 1 :])
            yield 1 / len(layers), "remove a random layer", block._replace(layers=left)
    if len(layers) < 3:
        for index in range(len(layers)):  # never at the end
            more = (*layers[:index], RANDOM_LAYER, *layers[index:])
            yield 1 / len(layers), "insert a layer", block._replace(layers=more)
    for index, layer in enumerate(layers):
        is_tail = block.branch and index == len(layers) - 1
        for move, changed in _changed_layers(layer, is_tail):
            yield 1, move, block._replace(layers=(*layers[:index], changed, *layers[index + 1 :]))


def _changed_layers(layer: Layer, is_tail: bool) -> Iterator[tuple[str, Any]]:
    for field in ("bn", "relu", "prepool"):
        yield field, layer._replace(**{field: not getattr(layer, field)})
    for kind in KINDS:
        if kind != layer.kind:
            yield f"{layer.kind} to {kind}", (kind, *(ANY,) * 6)
    if layer.kind != "dwconv" and not is_tail:  # the width of a tail has no effect: redrawn
        for step in STEPS:
            if 1 <= layer.filters + step <= 128:
                yield f"filters {step:+}", layer._replace(filters=layer.filters + step)
    if layer.kind != "conv1x1":
        yield "stride", layer._replace(stride2=not layer.stride2)
        for step in (-2, 2):
            if 3 <= layer.kernel + step <= 7:
                yield f"kernel {step:+}", layer._replace(kernel=layer.kernel + step)


def _changed_widths(widths: tuple[int, ...], steps: tuple[int, ...], most: int) -> Iterator[Child]:
    if len(widths) > 1:
        for index in range(len(widths)):
            yield 1 / len(widths), "remove", (*widths[:index], *widths[index + 1 :])
    if len(widths) < most:
        yield 1, "append", (*widths, ANY)
    for index, width in enumerate(widths):
        for step in steps:
            if 10 <= width + step <= 256:
                yield 1, f"units {step:+}", (*widths[:index], width + step, *widths[index + 1 :])


def _removed(blocks: tuple[Block, ...], b: int) -> tuple[Block, ...]:
    """If a serial block goes and a branch follows, that becomes serial."""
    left = [*blocks[:b], *blocks[b + 1 :]]
    if b < len(left) and not blocks[b].branch:
        left[b] = left[b]._replace(branch=False)
    return tuple(left)


def _open_tails(structure: Structure) -> Structure:
    """A branch's last layer has the width of the serial block, whatever a move says."""
    blocks = []
    for block in structure.blocks:
        tail = Layer(*block.layers[-1])
        if block.branch is True and tail.kind != "dwconv":
            block = block._replace(layers=(*block.layers[:-1], tail._replace(filters=ANY)))
        blocks.append(block)
    return structure._replace(blocks=tuple(blocks))


def _matching(child: Any, children: list[Child]) -> list[int]:
    return [index for index, (_, _, pattern) in enumerate(children) if pattern == child]


def _layer(kind: str, **fields: Any) -> dict[str, Any]:
    layer = {"kind": kind, "kernel": 5, "filters": 20, "stride2": False, "prepool": False, "bn": True}
    unused = {"conv": (), "conv1x1": ("kernel", "stride2"), "dwconv": ("filters",)}[kind]
    return {name: v for name, v in (layer | {"relu": True} | fields).items() if name not in unused}


def _genotype(blocks: list[tuple[bool, list[dict[str, Any]]]], **rest: Any) -> Genotype:
    choices: dict[str, Any] = {"blocks": len(blocks)}
    for b, (branch, layers) in enumerate(blocks):
        choices |= ({f"b{b}.branch": branch} if b else {}) | {f"b{b}.layers": len(layers)}
        for index, layer in enumerate(layers):
            choices |= {f"b{b}.l{index}.{field}": value for field, value in layer.items()}
            if branch and index == len(layers) - 1:
                choices.pop(f"b{b}.l{index}.filters", None)
    return Genotype(choices | rest)


RICH = _genotype(
    [
        (False, [_layer("conv"), _layer("dwconv", kernel=3)]),
        (True, [_layer("conv1x1", filters=2), _layer("conv", kernel=3)]),
        (True, [_layer("dwconv", relu=False)]),
        (False, [_layer("conv1x1", filters=127)]),
    ],
    **{"pool": "avg", "pool.size": 4, "dense": 2, "d0.units": 12, "d1.units": 100},
)
POOR = _genotype([(False, [_layer("conv", kernel=7, filters=1)])], **{"pool": "none", "dense": 1, "d0.units": 256})


@pytest.mark.parametrize(("parent", "draws"), [(RICH, 5000), (POOR, 2500)], ids=["rich", "poor"])
def test_every_child_of_the_table_is_drawn_equally_often_and_no_other(parent: Genotype, draws: int) -> None:
    space, rng = MunasSpace((64, 64, 3)), Random(0)
    children = [(weight, move, _open_tails(child)) for weight, move, child in _children(_read(parent))]
    hits: Counter[int] = Counter()
    shares: Counter[int] = Counter()
    for index, (weight, _, pattern) in enumerate(children):  # two moves can lead to one child
        shares[_first_equal(pattern, children, index)] += weight
    for _ in range(draws):
        matching = _matching(_read(space.mutate(parent, rng)), children)
        assert matching, "not a child of the table"
        hits[matching[0]] += 1
    total = sum(weight for weight, _, _ in children)
    for index, share in shares.items():
        expected = draws * share / total
        assert abs(hits[index] - expected) < 5 * expected**0.5, children[index][1]
    assert sum(hits.values()) == draws
    assert set(hits) <= set(shares)


def _first_equal(pattern: Structure, children: list[Child], index: int) -> int:
    exact = repr(pattern)
    return next(i for i in range(index + 1) if repr(children[i][2]) == exact)


def test_random_parents_have_children_of_the_table_only() -> None:
    space, rng = MunasSpace(), Random(1)
    moves: Counter[str] = Counter()
    parent = space.sample(rng)
    for round in range(350):
        child = space.mutate(parent, rng)
        children = [(weight, move, _open_tails(c)) for weight, move, c in _children(_read(parent))]
        matching = _matching(_read(child), children)
        assert matching
        moves[children[matching[0]][1]] += 1
        parent = child if round % 10 else space.sample(rng)
    assert len(moves) > 28  # of nearly every kind, step and direction


def test_a_space_without_hidden_layers_can_lose_the_last_one() -> None:
    space = MunasSpace(min_dense=0)
    rng = Random(3)
    genotype = Genotype(POOR.to_dict())
    assert any(space.mutate(genotype, rng)["dense"] == 0 for _ in range(300))


# --- multilayer perceptrons -------------------------------------------------------------------------


@pytest.mark.parametrize("units", [(10, 100, 256), (12,), (50,) * 7], ids=len)
def test_every_child_of_a_perceptron_is_drawn_equally_often(units: tuple[int, ...]) -> None:
    space, rng, draws = MlpSpace((4, 4, 1)), Random(4), 3000
    parent = Genotype({"layers": len(units)} | {f"d{i}.units": width for i, width in enumerate(units)})
    children = list(_changed_widths(units, (-5, -1, 1, 5), most=7))
    hits: Counter[int] = Counter()
    for _ in range(draws):
        child = space.mutate(parent, rng)
        widths = tuple(child[f"d{i}.units"] for i in range(child["layers"]))
        matching = _matching(widths, children)
        assert matching, widths
        hits[matching[0]] += 1
    shares: Counter[int] = Counter()
    for index, (weight, _, pattern) in enumerate(children):
        shares[next(i for i in range(index + 1) if repr(children[i][2]) == repr(pattern))] += weight
    total = sum(shares.values())
    for index, share in shares.items():
        expected = draws * share / total
        assert abs(hits[index] - expected) < 5 * expected**0.5, children[index][1]
