"""A network as ONNX, any number of inputs at once, compared with PyTorch in a runtime before it is written.

The file is written from the layers, node by node, not traced: torch's exporter of 2.9 and later needs a further
package and half a minute, the one before it is about to be removed and pads by a dozen operators.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.results.export import Made
from engine.results.export.naming import layer_names, needed, words_of
from engine.results.export.probe import about_series, in_words, probe
from engine.results.export.subject import Subject
from engine.results.export.weights import named_weights
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
    Recurrent,
    ReLU,
    Shape,
    Shift,
    Sigmoid,
    Slice,
    Tanh,
    Zero,
    reach_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["make"]

_OPSET, _IR_VERSION = 17, 8  # of 2022: whatever reads ONNX today knows them
_TOLERANCE = 1e-4  # of the largest output: runtimes fold batch norms and sum in another order
# Places of torch's gates (i f g o of an LSTM, r z n of a GRU) in the order of ONNX: i o f c and z r h.
_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}


def make(subject: Subject) -> Made:
    """The file of one network: input `images` (batch, C, H, W), output `scores` (batch, classes), float32.

    Of one that forecasts, input `windows` (batch, L, F), output `forecasts` (batch, outputs), and as property
    `series` of the file what its columns are and how they are scaled, in JSON.

    Raises:
        MissingExtra: onnx is not installed.
        UsageError: The series is not one of the network's.
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
    given = probe(subject)
    outputs, runtime = _run(content, words_of(subject.network).inputs, given.inputs.numpy())
    with torch.no_grad():
        expected = subject.module(given.inputs).numpy()
    difference, largest = float(abs(outputs - expected).max()), float(abs(expected).max())
    if not difference <= _TOLERANCE * (1 + largest):
        raise RunError(
            f"{runtime} computes outputs from the ONNX file of {subject.title} that differ by {difference:g} from "
            f"PyTorch's, of up to {largest:g}; try another version of it"
        )
    said = f"{runtime}, largest difference {difference:.2g} of outputs up to {largest:.2g} on {given.said}"
    checks = {"runtime": runtime, "largest_difference": difference, "largest_output": largest, "inputs": given.said}
    return Made({".onnx": content}, checks | about_series(subject), "\n  ".join([said, *in_words(subject)]))


def _run(content: bytes, name: str, inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], str]:
    """Outputs of a file, and what computed them: onnxruntime, or onnx's own evaluator where it is missing."""
    outputs: NDArray[np.float32]
    try:
        import onnxruntime
    except ImportError:
        import onnx
        from onnx.reference import ReferenceEvaluator

        evaluated: Any = ReferenceEvaluator(onnx.load_from_string(content)).run(None, {name: inputs})
        outputs = evaluated[0]
        return outputs, f"evaluator of onnx {onnx.__version__}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {name: inputs})[0]
    return outputs, f"onnxruntime {onnxruntime.__version__}"


class _Writer:
    """Nodes and constants of one file."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._words = words_of(subject.network)
        self._by_step: dict[str, str] = {}  # by the name of a sequence, that of the same with steps before windows

    def model(self) -> Any:
        """The file's content as onnx holds it."""
        from onnx import TensorProto, helper

        subject, network = self._subject, self._subject.network
        names, wanted = layer_names(network), needed(network)
        values = {0: self._words.inputs}
        for index, node in enumerate(network.nodes):
            if wanted[index] and not isinstance(node.op, Input):
                last = index == len(network) - 1
                name = names.get(index, "")
                result = self._words.outputs if last else f"{name or type(node.op).__name__.lower()}_{index}"
                sources = [values[source] for source in node.inputs]
                self._write(node.op, index, name, sources, node.shape, result)
                values[index] = result
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
            for name, shape in zip(self._words[:2], (network.shapes[0], network.shapes[-1]), strict=True)
        ]
        graph = helper.make_graph(
            self._nodes, subject.name, ends[:1], ends[1:], self._constants, f"{subject.title}; {subject.weights}"
        )
        model = helper.make_model(
            graph,
            producer_name="nas-engine",
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid("", _OPSET)],
        )
        helper.set_model_props(model, {name: json.dumps(told) for name, told in about_series(subject).items()})
        return model

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
            case Recurrent():
                self._recurrent(op, index, name, sources[0], result)
            case Tanh() | Sigmoid():
                self._node(type(op).__name__, sources, result)
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

    def _node(self, kind: str, sources: Sequence[str], result: str, place: int = 0, **attributes: Any) -> str:
        """A node whose output at that place is wanted, none before it; returns its name."""
        from onnx import helper

        self._nodes.append(
            helper.make_node(kind, sources, [*[""] * place, result], name=f"make_{result}", **attributes)
        )
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

    def _recurrent(self, op: Recurrent, index: int, name: str, source: str, result: str) -> None:
        """A layer of recurrent cells; ONNX has steps before windows, and an axis for directions."""
        import numpy as np

        if source not in self._by_step:
            self._by_step[source] = self._node("Transpose", [source], f"{source}_by_step", perm=(1, 0, 2))
        gates = {
            what: np.split(value.numpy(), len(_GATES[op.kind]))
            for what, value in named_weights(op, self._subject.module.layers[index]).items()
        }
        ours = {what: np.concatenate([parts[place] for place in _GATES[op.kind]]) for what, parts in gates.items()}
        made = {
            "weight_ih": ours["weight_ih_l0"],
            "weight_hh": ours["weight_hh_l0"],
            "bias": np.concatenate([ours["bias_ih_l0"], ours["bias_hh_l0"]]),
        }
        weights = [self._constant(f"{name}.{what}", value[None]) for what, value in made.items()]
        reset = {"linear_before_reset": 1} if op.kind == "gru" else {}
        cells = self._node(
            op.kind.upper(), [self._by_step[source], *weights], f"{result}_of_cells", 0 if op.sequences else 1,
            hidden_size=op.units, **reset,
        )  # fmt: skip
        if op.sequences:  # (steps, 1, windows, units)
            axis = self._constant("ways_of_every", [1])
            self._by_step[result] = self._node("Squeeze", [cells, axis], f"{result}_by_step")
            readers = [self._subject.network.ops[user] for user in self._subject.network.consumers[index]]
            if not readers or not all(isinstance(reader, Recurrent) for reader in readers):
                self._node("Transpose", [self._by_step[result]], result, perm=(1, 0, 2))
        else:  # (1, windows, units)
            self._node("Squeeze", [cells, self._constant("ways_of_last", [0])], result)

    def _sum(self, terms: Sequence[str], result: str) -> None:
        if len(terms) == 1:
            self._node("Identity", terms, result)
        total = terms[0]
        for place, term in enumerate(terms[1:], 2):
            name = result if place == len(terms) else f"{result}_of_{place}"
            total = self._node("Add", [total, term], name)

    def _padded(self, source: str, shape: Shape, wanted: Shape) -> str:
        if len(shape) < 3 or shape == wanted:
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
