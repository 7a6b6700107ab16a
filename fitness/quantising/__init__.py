"""Parts of post-training quantisation: ranges of activations, TensorFlow Lite's integer arithmetic."""

__all__: list[str] = []
