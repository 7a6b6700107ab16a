"""Reads genotypes in the field names of the authors' code (eliberis/uNAS @63ab705)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spaces.errors import UsageError
from spaces.mlp import MlpSpace
from spaces.munas import BRANCH_OF, FIELD_OF, LAYERS_OF, UNITS_OF, MunasSpace, Rounding
from spaces.space import Domain, Genotype, Space, Value

_KINDS: dict[object, str] = {"Conv2D": "conv", "1x1Conv2D": "conv1x1", "DWConv2D": "dwconv"}


def read_unas(
    genotype: object, input_shape: tuple[int, int, int], num_classes: int, pool_rounding: Rounding
) -> tuple[Space, Genotype]:
    """See `MunasSpace.from_unas`."""
    binary = num_classes == 2
    space: Space
    try:
        if isinstance(genotype, Mapping):
            choices = _convolutional(genotype)
            fewest = min(1, len(genotype["dense_blocks"]))
            space = MunasSpace(input_shape, num_classes, pool_rounding, binary, fewest)
        elif isinstance(genotype, Sequence) and not isinstance(genotype, str):
            space = MlpSpace(input_shape, num_classes, binary_output=binary)
            choices = {"layers": len(genotype)}
            choices |= {f"d{i}.units": layer["units"] for i, layer in enumerate(genotype)}
        else:
            raise UsageError(f"genotype {genotype!r}; expected a mapping (CNN) or a list of widths (MLP)")
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"genotype is not in the authors' form ({type(error).__name__}: {error}); expected conv_blocks, "
            "pooling and dense_blocks, or a list of units"
        ) from error
    # Building asks for what has a meaning here; the genes it does not ask for are the dead ones.
    return space, space.record(lambda name, domain: _checked(choices, name, domain))


def _checked(choices: Mapping[str, Value], name: str, domain: Domain) -> Value:
    if name not in choices:
        raise UsageError(f"genotype lacks what {name!r} stands for; expected one of {domain}")
    if choices[name] not in domain:
        raise UsageError(f"genotype has {choices[name]!r} for {name!r}; expected one of {domain}")
    return choices[name]


def _convolutional(genotype: Mapping[str, Any]) -> dict[str, Value]:
    blocks, dense = genotype["conv_blocks"], genotype["dense_blocks"]
    if len(blocks) > len(BRANCH_OF) or len(dense) > len(UNITS_OF):
        raise UsageError(
            f"genotype has {len(blocks)} blocks and {len(dense)} dense layers; "
            f"expected at most {len(BRANCH_OF)} and {len(UNITS_OF)}"
        )
    choices: dict[str, Value] = {"blocks": len(blocks), "dense": len(dense)}
    for b, block in enumerate(blocks):
        choices[BRANCH_OF[b]] = block["is_branch"]
        choices[LAYERS_OF[b]] = len(block["layers"])
        for (kind, kernel, filters, stride2, prepool, norm, relu), layer in zip(
            FIELD_OF[b], block["layers"], strict=False
        ):
            if layer["type"] not in _KINDS:
                raise UsageError(f"layer type {layer['type']!r}; expected one of {', '.join(map(str, _KINDS))}")
            choices[kind] = _KINDS[layer["type"]]
            choices[prepool], choices[norm] = layer["has_prepool"], layer["has_bn"]
            choices[relu] = layer["has_relu"]
            if "ker_size" in layer:
                choices[kernel] = layer["ker_size"]
            if "filters" in layer:
                choices[filters] = layer["filters"]
            if "2x_stride" in layer:
                choices[stride2] = layer["2x_stride"]
    pooling = genotype["pooling"]
    choices["pool"] = pooling["type"] if pooling else "none"
    if pooling:
        choices["pool.size"] = pooling["pool_size"]
    for name, layer in zip(UNITS_OF, dense, strict=False):
        choices[name] = layer["units"]
    return choices
