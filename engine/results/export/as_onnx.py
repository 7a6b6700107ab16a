"""A network as ONNX, any number of images at once, compared with PyTorch in a runtime before it is written.

The file is written from the layers, node by node, not traced: torch's exporter of 2.9 and later needs a further
package and half a minute, the one before it is about to be removed and pads by a dozen operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.results.export import Made
from engine.results.export.as_torch import probe
from engine.results.export.source import layer_names, needed
from engine.results.export.subject import Subject
from spaces.errors import MissingExtra, RunError
from spaces.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Flatten,
    Input,
    Op,
    Pool,
    ReLU,
    Shape,
    Shift,
    Slice,
    Zero,
    reach_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["make"]

_OPSET, _IR_VERSION = 17, 8  # of 2022: whatever reads ONNX today knows them
_TOLERANCE = 1e-4  # of the largest output: runtimes fold batch norms and sum in another order
_INPUT, _OUTPUT = "images", "scores"


def make(subject: Subject) -> Made:
    """The file of one network: input `images` (batch, C, H, W), output `scores` (batch, classes), float32.

    Raises:
        MissingExtra: onnx is not installed.
        RunError: A runtime computes something else from the file.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra(
            "ONNX files need onnx, which is not installed; pip install 'nas-engine[onnx]'"
        ) from error
    import torch

    model = _Writer(subject).model()
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    images = probe(subject)
    outputs, runtime = _run(content, images.numpy())
    with torch.no_grad():
        expected = subject.module(images).numpy()
    difference, largest = float(abs(outputs - expected).max()), float(abs(expected).max())
    if not difference <= _TOLERANCE * (1 + largest):
        raise RunError(
            f"{runtime} computes outputs from the ONNX file of {subject.title} that differ by {difference:g} from "
            f"PyTorch's, of up to {largest:g}; try another version of it"
        )
    return Made(
        {".onnx": content},
        {"runtime": runtime, "largest_difference": difference, "largest_output": largest},
        f"{runtime}, largest difference {difference:.2g} of outputs up to {largest:.2g}",
    )


def _run(content: bytes, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], str]:
    """Outputs of a file, and what computed them: onnxruntime, or onnx's own evaluator where it is missing."""
    outputs: NDArray[np.float32]
    try:
        import onnxruntime
    except ImportError:
        import onnx
        from onnx.reference import ReferenceEvaluator

        evaluated: Any = ReferenceEvaluator(onnx.load_from_string(content)).run(None, {_INPUT: images})
        outputs = evaluated[0]
        return outputs, f"evaluator of onnx {onnx.__version__}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {_INPUT: images})[0]
    return outputs, f"onnxruntime {onnxruntime.__version__}"


class _Writer:
    """Nodes and constants of one file."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def model(self) -> Any:
        """The file's content as onnx holds it."""
        from onnx import TensorProto, helper

        subject, network = self._subject, self._subject.network
        names, wanted = layer_names(network), needed(network)
        values = {0: _INPUT}
        for index, node in enumerate(network.nodes):
            if wanted[index] and not isinstance(node.op, Input):
                last = index == len(network) - 1
                result = _OUTPUT if last else f"{names.get(index) or type(node.op).__name__.lower()}_{index}"
                sources = [values[source] for source in node.inputs]
                self._write(node.op, index, names.get(index, ""), sources, node.shape, result)
                values[index] = result
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
            for name, shape in ((_INPUT, network.shapes[0]), (_OUTPUT, network.shapes[-1]))
        ]
        graph = helper.make_graph(
            self._nodes, subject.name, ends[:1], ends[1:], self._constants, f"{subject.title}; {subject.weights}"
        )
        return helper.make_model(
            graph,
            producer_name="nas-engine",
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid("", _OPSET)],
        )

    def _write(self, op: Op, index: int, name: str, sources: list[str], shape: Shape, result: str) -> None:
        inputs = [self._subject.network.shapes[source] for source in self._subject.network.inputs[index]]
        match op:
            case Conv(_, kernel, stride, padding, groups, bias, dilation):
                sources += self._weights(index, name, ("weight", "bias") if bias else ("weight",))
                self._node("Conv", sources, result, kernel_shape=kernel, strides=stride, pads=(*padding, *padding),
                           group=groups, dilations=dilation)  # fmt: skip
            case Pool(kind, kernel, stride):
                kinds = {"max": "MaxPool", "avg": "AveragePool"}
                pads = _border(op, inputs[0], shape)
                self._node(kinds[kind], sources, result, kernel_shape=kernel, strides=stride, pads=pads)
            case BatchNorm():
                weights = ("weight", "bias", "running_mean", "running_var")
                epsilon = self._subject.module.layers[index].eps
                self._node(
                    "BatchNormalization", sources + self._weights(index, name, weights), result, epsilon=epsilon
                )
            case Dense(_, bias):
                sources += self._weights(index, name, ("weight", "bias") if bias else ("weight",))
                self._node("Gemm", sources, result, transB=1)
            case Add():
                self._sum([self._padded(*term, shape) for term in zip(sources, inputs, strict=True)], result)
            case Concat():
                self._node("Concat", sources, result, axis=1)
            case Slice(channels):
                self._slice(sources[0], result, (0,), (channels,), (1,))
            case Shift():
                padded = self._pad(sources[0], 1, 1)
                self._slice(padded, result, (1, 1), (shape[1] + 1, shape[2] + 1), (2, 3))
            case ReLU():
                self._node("Relu", sources, result)
            case Zero():
                self._node("Mul", [*sources, self._constant("nought", 0.0)], result)
            case Flatten():
                self._node("Flatten", sources, result, axis=1)

    def _node(self, kind: str, sources: Sequence[str], result: str, **attributes: Any) -> str:
        from onnx import helper

        self._nodes.append(helper.make_node(kind, sources, [result], name=f"make_{result}", **attributes))
        return result

    def _constant(self, name: str, value: object) -> str:
        """A constant of floats or whole numbers; returns its name."""
        import numpy as np
        from onnx import numpy_helper

        if all(name != known.name for known in self._constants):
            array = np.asarray(value)
            kind = np.float32 if array.dtype.kind == "f" else np.int64
            self._constants.append(numpy_helper.from_array(array.astype(kind), name))
        return name

    def _weights(self, index: int, name: str, wanted: Sequence[str]) -> list[str]:
        state = self._subject.module.layers[index].state_dict()
        return [self._constant(f"{name}.{weight}", state[weight].numpy()) for weight in wanted]

    def _sum(self, terms: Sequence[str], result: str) -> None:
        if len(terms) == 1:
            self._node("Identity", terms, result)
        total = terms[0]
        for place, term in enumerate(terms[1:], 2):
            name = result if place == len(terms) else f"{result}_of_{place}"
            total = self._node("Add", [total, term], name)

    def _padded(self, source: str, shape: Shape, wanted: Shape) -> str:
        if len(shape) == 1 or shape == wanted:
            return source
        return self._pad(source, wanted[1] - shape[1], wanted[2] - shape[2])

    def _pad(self, source: str, below: int, right: int) -> str:
        border = self._constant(f"border_{below}_{right}", [0, 0, 0, 0, 0, 0, below, right])
        return self._node("Pad", [source, border], f"{source}_padded_{len(self._nodes)}")

    def _slice(self, source: str, result: str, *places: Sequence[int]) -> None:
        constants = [
            self._constant(f"{result}_{what}", values)
            for what, values in zip(("starts", "ends", "axes"), places, strict=True)
        ]
        self._node("Slice", [source, *constants], result)


def _border(op: Pool, source: Shape, shape: Shape) -> tuple[int, ...]:
    """Above, left, below, right: as wide as the last window needs, so that no runtime has to round up itself."""
    after = [
        max(op.padding[axis], (shape[1 + axis] - 1) * op.stride[axis] + reach - source[1 + axis] - op.padding[axis])
        for axis, reach in enumerate(reach_of(op))
    ]
    return (*op.padding, *after)
