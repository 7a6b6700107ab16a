"""TensorFlow Lite's flatbuffer schema, as far as int8 networks need it, and how its tables become bytes.

A field is found by its place in its table; the schema only ever grows at the end, so the places stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spaces.errors import MissingExtra

if TYPE_CHECKING:
    from flatbuffers import Builder

__all__ = ["CODES", "INT8", "INT32", "OPTIONS", "RELU", "SAME", "VALID", "Fields", "Table", "Value", "file_bytes"]

INT32, INT8 = 2, 9  # TensorType
SAME, VALID = 0, 1  # Padding
RELU = 1  # ActivationFunctionType; 0 is none

CODES = {  # BuiltinOperator
    "ADD": 0,
    "AVERAGE_POOL_2D": 1,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 4,
    "FULLY_CONNECTED": 9,
    "MAX_POOL_2D": 17,
    "MUL": 18,
    "RELU": 19,
    "PAD": 34,
    "STRIDED_SLICE": 45,
    "PADV2": 60,
}

OPTIONS = {  # BuiltinOptions; RELU has none
    "Conv2DOptions": 1,
    "DepthwiseConv2DOptions": 2,
    "Pool2DOptions": 5,
    "FullyConnectedOptions": 8,
    "ConcatenationOptions": 10,
    "AddOptions": 11,
    "MulOptions": 21,
    "PadOptions": 22,
    "StridedSliceOptions": 32,
    "PadV2Options": 43,
}

# Fields of each table in their places: a kind, `ref` for whatever lies elsewhere in the file, and a name.
_FIELDS: dict[str, tuple[tuple[str, str], ...]] = {
    name: tuple((field.split()[0], field.split()[1]) for field in fields.split(", ") if field)
    for name, fields in {
        "Model": "uint32 version, ref operator_codes, ref subgraphs, ref description, ref buffers",
        "OperatorCode": "int8 deprecated_builtin_code, ref custom_code, int32 version, int32 builtin_code",
        "SubGraph": "ref tensors, ref inputs, ref outputs, ref operators, ref name",
        "Tensor": "ref shape, int8 type, uint32 buffer, ref name, ref quantization",
        "QuantizationParameters": "ref min, ref max, ref scale, ref zero_point, uint8 details_type, ref details, "
        "int32 quantized_dimension",
        "Operator": "uint32 opcode_index, ref inputs, ref outputs, uint8 builtin_options_type, ref builtin_options",
        "Buffer": "ref data",
        "Conv2DOptions": "int8 padding, int32 stride_w, int32 stride_h, int8 fused_activation_function, "
        "int32 dilation_w_factor, int32 dilation_h_factor",
        "DepthwiseConv2DOptions": "int8 padding, int32 stride_w, int32 stride_h, int32 depth_multiplier, "
        "int8 fused_activation_function, int32 dilation_w_factor, int32 dilation_h_factor",
        "Pool2DOptions": "int8 padding, int32 stride_w, int32 stride_h, int32 filter_width, int32 filter_height, "
        "int8 fused_activation_function",
        "FullyConnectedOptions": "int8 fused_activation_function",
        "ConcatenationOptions": "int32 axis",
        "AddOptions": "int8 fused_activation_function",
        "MulOptions": "",
        "PadOptions": "",
        "StridedSliceOptions": "",
        "PadV2Options": "",
    }.items()
}
_DEFAULTS = {("OperatorCode", "version"): 1} | {
    (table, f"dilation_{side}_factor"): 1 for table in ("Conv2DOptions", "DepthwiseConv2DOptions") for side in "wh"
}
_ALIGNMENT = 16  # of tensors' data in the file, from where they are read in place
_IDENTIFIER = b"TFL3"


class Table(NamedTuple):
    """A table of the schema: its name and the fields that are set."""

    name: str
    fields: Fields


Value = int | Table | Sequence[Table] | NDArray[np.generic]
Fields = dict[str, Value]


def file_bytes(model: Table) -> bytes:
    """The file that holds a Model.

    Raises:
        MissingExtra: flatbuffers is not installed.
    """
    try:
        from flatbuffers import Builder
    except ImportError as error:
        raise MissingExtra(
            "a .tflite file needs flatbuffers, which is not installed; pip install 'nas-engine[tflite]'"
        ) from error
    builder = Builder(1 << 16)
    builder.Finish(_written(builder, model), _IDENTIFIER)
    return bytes(builder.Output())


def _written(builder: Builder, table: Table) -> int:
    """Where a table lies after it was appended, with all that it refers to."""
    name, values = table
    places = {
        field: _referred(builder, name, value) for field, value in values.items() if not isinstance(value, int)
    }
    fields = _FIELDS[name]
    builder.StartObject(len(fields))
    for slot, (kind, field) in enumerate(fields):
        value = values.get(field)
        if value is None:
            continue
        if kind == "ref":
            builder.PrependUOffsetTRelativeSlot(slot, places[field], 0)
        else:
            prepend = getattr(builder, f"Prepend{kind.capitalize()}Slot")
            prepend(slot, value, _DEFAULTS.get((name, field), 0))
    return int(builder.EndObject())


def _referred(builder: Builder, name: str, value: Table | Sequence[Table] | NDArray[np.generic]) -> int:
    if isinstance(value, Table):
        return _written(builder, value)
    if isinstance(value, np.ndarray):
        if name == "Buffer":
            builder.Prep(_ALIGNMENT, value.nbytes)
            return int(builder.CreateByteVector(value.tobytes()))
        return int(builder.CreateNumpyVector(value))
    places = [_written(builder, each) for each in value]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())
