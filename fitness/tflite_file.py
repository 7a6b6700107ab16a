"""An int8 network as a .tflite file, written directly: no TensorFlow, no converter, nothing rewritten on the way.

What is written is exactly `fitness.deploy.runtime_ops`, so that the memory figures hold for the file. Tensors of
activations come first and in the order of execution: the runtime's planner breaks ties by their numbers.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from fitness.deploy import RuntimeOp, runtime_ops
from fitness.quantised import LOWEST, QuantisedKernel, QuantisedNetwork, Scheme
from fitness.tflite_schema import CODES, INT8, INT32, OPTIONS, RELU, SAME, VALID, Fields, Table, file_bytes
from spaces.errors import UsageError
from spaces.layers import Conv, Pool, Shift

__all__ = ["write_tflite"]

_SCHEMA_VERSION = 3
_KEEPING = ("AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D", "STRIDED_SLICE")  # the scheme of what they read
_ACTIVATING = ("AddOptions", "Conv2DOptions", "DepthwiseConv2DOptions", "FullyConnectedOptions", "Pool2DOptions")

Layout = tuple[int, ...]


def write_tflite(net: QuantisedNetwork) -> bytes:
    """The file of a network that reads and gives int8: one image (1, H, W, C) or (1, F) in, the same out.

    Args:
        net: What `fitness.quantise.quantise` makes.

    Returns:
        A flatbuffer in TensorFlow Lite's format; the data of weights and biases is aligned to 16 bytes.

    Raises:
        UsageError: Something that the runtime's operations cannot do, or schemes that they cannot change.
        MissingExtra: flatbuffers is not installed.
    """
    ops = runtime_ops(tuple(each.kernel for each in net.kernels))
    schemes, layouts = _schemes(net, ops), _layouts(ops)
    file = _Tensors()
    for layout, scheme in zip(layouts, schemes, strict=True):
        file.activation(layout, scheme)
    codes = list(dict.fromkeys(op.code for op in ops[1:]))
    operators = []
    for step, op in enumerate(ops[1:], 1):
        quantised, source = net.kernels[op.kernel], op.inputs[0]
        constants, options, fields = _written(file, op, ops[source], quantised, layouts[source], schemes[source])
        ends = step + 1 == len(ops) or ops[step + 1].kernel != op.kernel
        if quantised.kernel.relus and options in _ACTIVATING and (ends or op.code != "ADD"):
            fields["fused_activation_function"] = RELU
        listed: Fields = {
            "opcode_index": codes.index(op.code),
            "inputs": _whole(*op.inputs, *constants),
            "outputs": _whole(step),
        }
        if options:
            listed |= {"builtin_options_type": OPTIONS[options], "builtin_options": Table(options, fields)}
        operators.append(Table("Operator", listed))
    graph: Fields = {
        "tensors": file.tensors,
        "inputs": _whole(0),
        "outputs": _whole(len(ops) - 1),
        "operators": operators,
    }
    model: Fields = {
        "version": _SCHEMA_VERSION,
        "operator_codes": [
            # Told twice: the first field is all that older readers know.
            Table("OperatorCode", {"deprecated_builtin_code": CODES[code], "builtin_code": CODES[code]})
            for code in codes
        ],
        "subgraphs": [Table("SubGraph", graph)],
        "buffers": file.buffers,
    }
    return file_bytes(Table("Model", model))


class _Tensors:
    """The tensors of a file and the buffers of those that are constant, in the order in which they were added."""

    def __init__(self) -> None:
        self.tensors: list[Table] = []
        self.buffers = [Table("Buffer", {})]  # the empty one, of everything that is computed

    def activation(self, layout: Layout, scheme: Scheme) -> None:
        """Add a tensor that is computed."""
        self._add(layout, INT8, 0, _quantization(np.array([scheme.scale]), scheme.zero_point))

    def constant(self, data: NDArray[np.generic], quantization: Table | None = None) -> int:
        """Add a tensor of int8 or int32 with its data; returns its number."""
        self.buffers.append(Table("Buffer", {"data": data}))
        return self._add(data.shape, INT8 if data.dtype == np.int8 else INT32, len(self.buffers) - 1, quantization)

    def _add(self, layout: Layout, kind: int, buffer: int, quantization: Table | None) -> int:
        fields: Fields = {"shape": _whole(*layout), "type": kind, "buffer": buffer}
        if quantization is not None:
            fields["quantization"] = quantization
        self.tensors.append(Table("Tensor", fields))
        return len(self.tensors) - 1


def _schemes(net: QuantisedNetwork, ops: tuple[RuntimeOp, ...]) -> list[Scheme]:
    """How the output of every operation is stored."""
    schemes: list[Scheme] = []
    additions: Counter[int] = Counter()
    for op in ops:
        quantised = net.kernels[op.kernel]
        scheme = quantised.output
        if op.code == "PAD" or op.code == "PADV2":
            scheme = schemes[op.inputs[0]]
        elif op.code == "ADD":
            if additions[op.kernel] < len(quantised.partial):
                scheme = quantised.partial[additions[op.kernel]]
            additions[op.kernel] += 1
        elif op.code in _KEEPING:
            for source in op.inputs:
                if schemes[source] != scheme:
                    raise UsageError(
                        f"{quantised.kernel.op.token} from {schemes[source]} to {scheme}; {op.code} changes no "
                        "scheme: quantise its inputs and its output alike"
                    )
        schemes.append(scheme)
    return schemes


def _layouts(ops: tuple[RuntimeOp, ...]) -> list[Layout]:
    """Shape of every output as it lies in memory: (1, H, W, C), also where it counts as flattened, or (1, F)."""
    layouts: list[Layout] = []
    for op in ops:
        if len(op.shape) == 3:
            channels, height, width = op.shape
            layout: Layout = (1, height, width, channels)
        elif op.code == "FULLY_CONNECTED" or not op.inputs:
            layout = (1, *op.shape)
        else:  # what is flattened keeps the order it lay in
            layout = layouts[op.inputs[0]]
            if any(layouts[source] != layout for source in op.inputs):
                raise UsageError(
                    f"{op.code} of vectors that lie in memory in different orders; expected equal ones"
                )
        layouts.append(layout)
    return layouts


def _written(
    file: _Tensors, op: RuntimeOp, source: RuntimeOp, quantised: QuantisedKernel, layout: Layout, scheme: Scheme
) -> tuple[list[int], str, Fields]:
    """What an operation needs beside computed tensors.

    Args:
        file: Takes its constants.
        op: The operation.
        source: The first that it reads.
        quantised: The kernel it belongs to.
        layout: Of `source`.
        scheme: Of `source`.

    Returns:
        Numbers of its constant tensors, the table of its options, its fields.
    """
    named = quantised.kernel.op
    match op.code:
        case "CONV_2D" | "DEPTHWISE_CONV_2D":
            return _convolution(file, op, quantised, layout, scheme)
        case "FULLY_CONNECTED":
            weights = _weights(quantised)
            if len(layout) == 4:  # from the order of a map in torch to the order in which it lies here
                _, height, width, channels = layout
                weights = (
                    weights.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(weights), -1)
                )
            return _parameters(file, weights, 0, quantised, scheme), "FullyConnectedOptions", {}
        case "MAX_POOL_2D" | "AVERAGE_POOL_2D":
            assert isinstance(named, Pool)
            if source.code == "PAD":
                raise UsageError(
                    f"{named.token} to a map {op.shape}; averages that leave out a border need TensorFlow's SAME "
                    "padding, whose windows lie around pixels of the map, reaching no further before than after; a "
                    "pool without padding, rounded down, can always be written"
                )
            window: Fields = {"filter_width": named.kernel[1], "filter_height": named.kernel[0]}
            if op.shape != quantised.kernel.shape:  # its strides come after it
                named = Pool(named.kind, named.kernel, (1, 1), named.padding)
            return [], "Pool2DOptions", _sliding(op, named) | window
        case "PAD" | "PADV2":
            before = named.padding if isinstance(named, Conv | Pool) else (0, 0)
            after = [
                new - old - first for new, old, first in zip(op.shape[1:], source.shape[1:], before, strict=True)
            ]
            border = np.array([[0, 0], [before[0], after[0]], [before[1], after[1]], [0, 0]], np.int32)
            constants = [file.constant(border)]
            if op.code == "PADV2":  # below every number of a map, as no maximum may come from the border
                lowest = np.array([LOWEST], np.int8)
                constants.append(file.constant(lowest, _quantization(np.array([scheme.scale]), scheme.zero_point)))
            return constants, "PadOptions" if op.code == "PAD" else "PadV2Options", {}
        case "STRIDED_SLICE":
            down, right = named.stride if isinstance(named, Pool) else (1, 1)
            first = 1 if isinstance(named, Shift) else 0
            channels, height, width = op.shape
            stop = (1, first + (height - 1) * down + 1, first + (width - 1) * right + 1, channels)
            places = ((0, first, first, 0), stop, (1, down, right, 1))
            return [file.constant(_whole(*each)) for each in places], "StridedSliceOptions", {}
        case "MUL":
            return [file.constant(np.zeros(1, np.int8), _quantization(np.ones(1), 0))], "MulOptions", {}
        case "ADD":
            return [], "AddOptions", {}
        case "CONCATENATION":
            return [], "ConcatenationOptions", {"axis": 3}
        case _:
            return [], "", {}  # RELU


def _convolution(
    file: _Tensors, op: RuntimeOp, quantised: QuantisedKernel, layout: Layout, scheme: Scheme
) -> tuple[list[int], str, Fields]:
    named, weights = quantised.kernel.op, _weights(quantised)
    if not isinstance(named, Conv):
        if len(op.shape) != 3:
            raise UsageError(
                f"{named.token} of a vector {op.shape} that no layer takes in; expected a map (C, H, W)"
            )
        named = Conv(op.shape[0], (1, 1), groups=op.shape[0])
    fields = _sliding(op, named) | {"dilation_w_factor": named.dilation[1], "dilation_h_factor": named.dilation[0]}
    if op.code == "CONV_2D":
        constants = _parameters(file, weights.transpose(0, 2, 3, 1), 0, quantised, scheme)
        return constants, "Conv2DOptions", fields
    fields["depth_multiplier"] = op.shape[0] // layout[3]
    constants = _parameters(file, weights.transpose(1, 2, 3, 0), 3, quantised, scheme)
    return constants, "DepthwiseConv2DOptions", fields


def _sliding(op: RuntimeOp, named: Conv | Pool) -> Fields:
    return {"padding": SAME if op.same else VALID, "stride_w": named.stride[1], "stride_h": named.stride[0]}


def _weights(quantised: QuantisedKernel) -> NDArray[np.int8]:
    assert quantised.weights is not None
    return quantised.weights


def _parameters(
    file: _Tensors, weights: NDArray[np.int8], axis: int, quantised: QuantisedKernel, scheme: Scheme
) -> list[int]:
    """Add weights, their scales along `axis` or one, and biases, zeros too: LiteRT runs no CONV_2D without."""
    assert quantised.scales is not None
    assert quantised.biases is not None
    return [
        file.constant(weights, _quantization(quantised.scales, axis=axis)),
        file.constant(quantised.biases, _quantization(scheme.scale * quantised.scales)),
    ]


def _quantization(scales: NDArray[np.float64], zero_point: int = 0, axis: int = 0) -> Table:
    fields: Fields = {
        "scale": scales.astype(np.float32),
        "zero_point": np.full(len(scales), zero_point, np.int64),
        "quantized_dimension": axis,
    }
    return Table("QuantizationParameters", fields)


def _whole(*numbers: int) -> NDArray[np.int32]:
    return np.array(numbers, np.int32)
