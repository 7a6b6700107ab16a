"""Learn from the networks whose accuracies are known what others are worth."""

__all__ = ["DEFAULT", "JUDGED", "SAMPLED"]

DEFAULT = "blend"
"""The predictor that is used unless another is named."""

JUDGED = 1000
"""Networks, at most, whose predictions are compared with what a table knows of them."""

SAMPLED = 1000
"""Random networks that are predicted of a space that cannot be listed, unless others are named."""
