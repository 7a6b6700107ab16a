"""Post-training int8 quantisation of a float network, in TensorFlow Lite's scheme.

Jacob et al., arXiv:1712.05877: batch norm folded (section 3.2, with the statistics of evaluation), weights
symmetric, those of convolutions per output channel, those of dense layers per tensor, activations asymmetric per
tensor with ranges seen on calibration images. Ranges are the least and greatest value: cutting off the outermost
1e-4 of the values, or what minimises the squared error, brought no accuracy to trained munas networks, cutting off
1e-3 made outputs noisier.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from fitness.deploy import fused
from fitness.lower import LoweredNetwork
from fitness.quantised import HIGHEST, QuantisedKernel, QuantisedNetwork, Scheme
from fitness.quantising.ranges import nodes_of, observed_schemes
from fitness.quantising.run import int8_accuracy, run_quantised
from spaces.errors import UsageError
from spaces.layers import Dense, Recurrent, Sigmoid, Tanh

__all__ = ["int8_accuracy", "quantise", "run_quantised"]

_LARGEST_BIAS = 2**30  # of an accumulator of 32 bits; the other half is for the products


def quantise(module: LoweredNetwork, calibration: Tensor) -> QuantisedNetwork:
    """The int8 network of a float one.

    Args:
        module: The network with its weights; left as it is.
        calibration: (N, C, H, W) or (N, F) normalised images like those it will see; 500 are enough.

    Raises:
        UsageError: No images, images of another shape, values that are not finite, or an operation that has no int8
            form here.
    """
    network = module.network
    unknown = [op.token for op in network.ops if isinstance(op, (Recurrent, Tanh, Sigmoid))]
    if unknown:
        raise UsageError(f"{unknown[0]} cannot be quantised here; expected layers of a network that reads images")
    shape = network.shapes[0]
    if not len(calibration) or tuple(calibration.shape[1:]) != shape:
        raise UsageError(
            f"calibration images of shape {tuple(calibration.shape)}; expected (N, *{shape}), N of at least 1"
        )
    training = module.training
    module.eval()
    try:
        schemes = observed_schemes(module, calibration)
    finally:
        module.train(training)
    made: list[QuantisedKernel] = []
    for index, (kernel, nodes) in enumerate(zip(fused(network), nodes_of(network), strict=True)):
        output = schemes[index, 0]
        float_weights = _folded([module.layers[node] for node in nodes])
        if float_weights is not None:
            source, per_channel = made[kernel.inputs[0]].output, not isinstance(kernel.op, Dense)
            made.append(QuantisedKernel(kernel, output, *_quantised(*float_weights, source, per_channel)))
        else:
            partial = tuple(scheme for (place, sum_), scheme in schemes.items() if place == index and sum_)
            made.append(QuantisedKernel(kernel, output, partial=partial))
    return QuantisedNetwork(tuple(made))


def _folded(layers: list[nn.Module]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Weights (channels, ...) and biases (channels,) of a kernel, its batch norm in them; None if it has none."""
    weights = biases = None
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weights = _array(layer.weight)
            biases = np.zeros(len(weights)) if layer.bias is None else _array(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            factor = _array(layer.weight) / np.sqrt(_array(layer.running_var) + layer.eps)
            if weights is None or biases is None:
                weights, biases = np.ones((len(factor), 1, 1, 1)), np.zeros(len(factor))
            weights = weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))
            biases = (biases - _array(layer.running_mean)) * factor + _array(layer.bias)
    return None if weights is None or biases is None else (weights, biases)


def _array(values: Tensor) -> NDArray[np.float64]:
    return values.detach().cpu().double().numpy()


def _quantised(
    weights: NDArray[np.float64], biases: NDArray[np.float64], source: Scheme, per_channel: bool
) -> tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.int32]]:
    """Stored weights, their scale per channel or only one, and stored biases, for inputs of a scheme."""
    if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
        raise UsageError("weights that are not finite; int8 needs finite ones: train with a smaller learning rate")
    flat = weights.reshape(len(weights), -1)
    largest = np.abs(flat).max(axis=1) / HIGHEST
    scales = np.maximum(largest, np.abs(biases) / (source.scale * _LARGEST_BIAS))
    if not per_channel:
        scales = scales.max(keepdims=True)
    scales = np.where(scales > 0, scales, 1.0).astype(np.float32).astype(np.float64)
    stored = np.clip(np.rint(flat / scales[:, None]), -HIGHEST, HIGHEST).astype(np.int8)
    return stored.reshape(weights.shape), scales, np.rint(biases / (source.scale * scales)).astype(np.int32)
