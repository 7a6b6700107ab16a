"""The commands of `engine`, one module each: `add` its options, `call` it, get the text to print.

A module is imported when its command is called, so that the others cost nothing.
"""

__all__ = ["COMMANDS"]

COMMANDS = {
    "run": "search a space with a training-free score",
    "resume": "continue a run or a comparison that was stopped",
    "front": "show the networks of a run that no other beats",
    "report": "write a run as one page for the browser",
    "dashboard": "show a run in optuna-dashboard",
    "train": "train picked candidates of a run and measure how good they are",
    "score": "score one architecture",
    "predict": "learn from known accuracies what other networks are worth",
    "table": "import a benchmark's download as a table that later commands find",
    "correlate": "measure how well scores rank the architectures of a benchmark",
    "compare": "strategies and fitness side by side, judged by a benchmark",
    "export": "write networks as files: PyTorch, ONNX, TensorFlow Lite, JSON",
    "list": "list what is there to choose from",
}
"""Name, which is its module's too, and what it does."""
