"""A network for PyTorch: its weights, and a module to load them into that needs nothing of this project."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from engine.results.export import Made
from engine.results.export.source import module_of
from engine.results.export.subject import Subject
from spaces.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["make", "probe", "written"]


def make(subject: Subject) -> Made:
    """Weights as a dictionary of tensors, and the module as Python, which is run once and compared.

    Raises:
        RunError: It does not compute the same.
    """
    import torch

    text, module = written(subject)
    images = probe(subject)
    with torch.no_grad():
        difference = float((module(images) - subject.module(images)).abs().max())
    if difference != 0:
        raise RunError(
            f"the module written for {subject.title} differs by {difference:g} from the network; this is an error "
            "of ours, please report it"
        )
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    return Made(
        {".pt": file.getvalue(), ".py": text.encode()},
        {"largest_difference": difference},
        "the module computes the same numbers as the network",
    )


def written(subject: Subject) -> tuple[str, nn.Module]:
    """The module as text, and made from it with the weights of the network, ready to judge images."""
    name = "".join(part.capitalize() for part in subject.name.split("_"))
    source = module_of(subject.network, name, _notes(subject))
    scope: dict[str, Any] = {"__name__": subject.name, "__file__": f"{subject.name}.py"}
    exec(compile(source.text, scope["__file__"], "exec"), scope)  # written a moment ago, from layers alone
    module: nn.Module = scope[name]()
    layers = subject.module.layers
    for layer, node in source.layers.items():
        getattr(module, layer).load_state_dict(layers[node].state_dict())
    return source.text, module.eval()


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
