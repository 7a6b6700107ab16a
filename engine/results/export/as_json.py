"""A network as JSON: what makes it, its layers, figures and scores; everything but weights."""

from __future__ import annotations

import json

from engine.results.export import Made
from engine.results.export.subject import Subject
from engine.results.scores import score_architecture
from engine.results.tabular import json_number
from spaces.errors import RunError
from spaces.network import Network

__all__ = ["make"]


def make(subject: Subject) -> Made:
    """The file of one network; its layers are what `Network.from_json` reads."""
    layers = subject.network.to_json()
    if Network.from_json(layers).key != subject.network.key:
        raise RunError(f"{subject.title} does not come back from JSON; this is an error of ours, please report it")
    config = subject.config
    figures = score_architecture(json.dumps(subject.genotype.to_dict()), config, (), None)
    whole = {
        "title": subject.title,
        "space": config.space,
        "input_shape": config.input_shape,
        "classes": config.classes,
        "key": subject.network.key,
        "genotype": subject.genotype.to_dict(),
        "figures": {
            row.name: {"value": json_number(row.value), "unit": row.note}
            for row in figures.rows
            if row.value is not None
        },
        "scores": {name: json_number(value) for name, value in subject.scores.items()},
        "layers": layers,
        "shapes": [list(shape) for shape in subject.network.shapes],
    }
    count = len(layers)
    return Made({".json": (json.dumps(whole, indent=1) + "\n").encode()}, {"layers": count}, f"{count} layers")
