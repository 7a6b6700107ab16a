"""Architectures as lists of layers and as vectors of whole numbers and names, and how to search such vectors."""

__all__: list[str] = []
