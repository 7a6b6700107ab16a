"""A network for PyTorch: its weights, and a module to load them into that needs nothing of this project."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from engine.results.export import Made
from engine.results.export.naming import reads_series
from engine.results.export.probe import about_series, in_words, probe
from engine.results.export.source import module_of
from engine.results.export.subject import Subject
from engine.results.export.weights import named_weights
from spaces.errors import RunError
from spaces.layers import Recurrent

if TYPE_CHECKING:
    from torch import nn

__all__ = ["make", "written"]

_WIDTH = 88  # of the lines of the file's docstring
_SECOND_BIAS = "torch adds two biases in every LSTM and RNN, one of which is zero here"


def make(subject: Subject) -> Made:
    """Weights as a dictionary of tensors, and the module as Python, which is run once and compared.

    Raises:
        UsageError: The series is not one of the network's.
        RunError: It does not compute the same.
    """
    import torch

    text, module = written(subject)
    given = probe(subject)
    with torch.no_grad():
        difference = float((module(given.inputs) - subject.module(given.inputs)).abs().max())
    if difference != 0:
        raise RunError(
            f"the module written for {subject.title} differs by {difference:g} from the network; this is an error "
            "of ours, please report it"
        )
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    said = f"the module computes the same numbers as the network on {given.said}"
    return Made(
        {".pt": file.getvalue(), ".py": text.encode()},
        {"inputs": given.said, "largest_difference": difference, **about_series(subject)},
        "\n  ".join([said, *in_words(subject)]),
    )


def written(subject: Subject) -> tuple[str, nn.Module]:
    """The module as text, and made from it with the weights of the network, ready to be used."""
    name = "".join(part.capitalize() for part in subject.name.split("_"))
    source = module_of(subject.network, name, _notes(subject))
    scope: dict[str, Any] = {"__name__": subject.name, "__file__": f"{subject.name}.py"}
    exec(compile(source.text, scope["__file__"], "exec"), scope)  # written a moment ago, from layers alone
    module: nn.Module = scope[name]()
    for layer, node in source.layers.items():
        weights = named_weights(subject.network.ops[node], subject.module.layers[node])
        getattr(module, layer).load_state_dict(weights)
    return source.text, module.eval()


def _notes(subject: Subject) -> list[str]:
    weights = "trained" if subject.trained else f"not trained: drawn at random from seed {subject.seed}"
    return [
        f"{subject.title}.",
        "Needs torch alone, and the weights in the .pt file beside it. Use it as",
        "",
        "    module = load()",
        *_use(subject),
        "",
        f"The weights are {weights}.",
    ]


def _use(subject: Subject) -> list[str]:
    """What to do with the module, and with what it gives."""
    from textwrap import wrap

    if not reads_series(subject.network):
        one = subject.network.shapes[-1] == (1,)
        return [f"    classes = {'module(images)[:, 0] > 0' if one else 'module(images).argmax(1)'}"]
    lines = ["    forecasts = module(windows)", ""]
    kinds = {op.kind for op in subject.network.ops if isinstance(op, Recurrent)}
    notes = [_SECOND_BIAS] if kinds - {"gru"} else []
    for line in [*in_words(subject), *notes]:
        whole = f"{line[0].upper()}{line[1:]}."
        lines += wrap(whole, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return lines
