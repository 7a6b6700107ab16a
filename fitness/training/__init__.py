"""Train a network and measure its accuracy: the expensive fitness, for the few that a search has picked."""

__all__: list[str] = []
