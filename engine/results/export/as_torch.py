"""A network for PyTorch: its weights, and a module to load them into that needs nothing of this project."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from engine.results.export import Made
from engine.results.export.source import Module, module_of
from engine.results.export.subject import Subject
from spaces.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["make", "probe", "state_of"]


def make(subject: Subject) -> Made:
    """Weights as a dictionary of tensors, and the module as Python, which is run once and compared.

    Raises:
        RunError: It does not compute the same.
    """
    import torch

    text = module_of(subject.network, class_name(subject), _notes(subject))
    state = state_of(subject, text)
    scope: dict[str, object] = {"__name__": subject.name, "__file__": f"{subject.name}.py"}
    exec(compile(text.text, f"{subject.name}.py", "exec"), scope)  # what was written a moment ago, from layers
    made = scope[class_name(subject)]()  # type: ignore[operator]
    made.load_state_dict(state)
    images = probe(subject)
    with torch.no_grad():
        difference = float((made.eval()(images) - subject.module(images)).abs().max())
    if difference != 0:
        raise RunError(
            f"the module written for {subject.title} differs by {difference:g} from the network; this is an error "
            "of ours, please report it"
        )
    file = io.BytesIO()
    torch.save(state, file)
    return Made(
        {".pt": file.getvalue(), ".py": text.text.encode()},
        {"largest_difference": difference},
        "the module computes the same numbers as the network",
    )


def class_name(subject: Subject) -> str:
    """Of the module: network_415 is Network415."""
    return "".join(part.capitalize() for part in subject.name.split("_"))


def state_of(subject: Subject, text: Module) -> dict[str, Tensor]:
    """The weights under the names that the written module gives its layers."""
    layers = subject.module.layers
    return {
        f"{name}.{weight}": value.contiguous()
        for name, node in text.layers.items()
        for weight, value in layers[node].state_dict().items()
    }


def probe(subject: Subject) -> Tensor:
    """(4, C, H, W) images of noise to run a network on."""
    import torch

    return torch.randn(4, *subject.network.shapes[0], generator=torch.Generator().manual_seed(0))


def _notes(subject: Subject) -> list[str]:
    one = subject.network.shapes[-1] == (1,)
    weights = "trained" if subject.trained else f"not trained: drawn at random from seed {subject.seed}"
    return [
        f"{subject.title}.",
        "Needs torch alone, and the weights in the .pt file beside it. Use it as",
        "",
        "    module = load()",
        f"    classes = {'module(images)[:, 0] > 0' if one else 'module(images).argmax(1)'}",
        "",
        f"The weights are {weights}.",
    ]
