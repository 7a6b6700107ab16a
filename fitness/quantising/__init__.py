"""Parts of post-training quantisation: ranges of activations, TensorFlow Lite's integer arithmetic."""
