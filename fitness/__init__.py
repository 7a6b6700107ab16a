"""What a network is worth: figures, training-free scores, penalties and how they are combined."""

from spaces.registry import Registry

__all__ = ["FITNESS"]

FITNESS = Registry(
    "fitness",
    {
        "trace": "fitness.trace:trace",
        **{
            name: f"fitness.figure_fitness:{name}"
            for name in (
                "aleph",
                "bottleneck",
                "depth",
                "flash_bytes",
                "log_capacity",
                "macs",
                "model_bytes",
                "munas_macs",
                "munas_peak_memory",
                "munas_size",
                "n_relu",
                "params",
                "peak_live_bytes",
                "peak_ram_bytes",
            )
        },
    },
    "nas_engine.fitness",
)
