"""A network as JSON: what makes it, its layers, figures and scores; everything but weights."""

from __future__ import annotations

import json

from engine.results.export import Made
from engine.results.export.naming import reads_series
from engine.results.export.probe import about_series, in_words
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
        **_problem(subject),
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
    return Made(
        {".json": (json.dumps(whole, indent=1) + "\n").encode()},
        {"layers": count, **about_series(subject)},
        "\n  ".join([f"{count} layers", *in_words(subject)]),
    )


def _problem(subject: Subject) -> dict[str, object]:
    """What the network is for."""
    if not reads_series(subject.network):
        return {"input_shape": subject.config.input_shape, "classes": subject.config.classes}
    look_back, features = subject.network.shapes[0]
    ends = {"look_back": look_back, "features": features, "outputs": subject.network.shapes[-1][0]}
    return ends | about_series(subject)
