"""What a network is worth: figures, training-free scores, penalties and how they are combined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spaces.registry import Registry

if TYPE_CHECKING:
    from fitness.scoring import score

__all__ = ["FITNESS", "score"]

FITNESS = Registry(
    "fitness",
    {
        "trace": "fitness.trace:trace",
        **{
            name: f"fitness.figure_fitness:{name}"
            for name in (
                "aleph",
                "arena_bytes",
                "arena_overhead_bytes",
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
                "state_bytes",
                "step_macs",
                "tflite_file_bytes",
            )
        },
        "az_expressivity": "fitness.scores.az_nas:AzExpressivity",
        "az_progressivity": "fitness.scores.az_nas:AzProgressivity",
        "az_trainability": "fitness.scores.az_nas:AzTrainability",
        "epe_nas": "fitness.scores.epe_nas:EpeNas",
        "fisher": "fitness.scores.fisher:Fisher",
        "grad_norm": "fitness.scores.grad_norm:GradNorm",
        "grasp": "fitness.scores.grasp:Grasp",
        "jacob_cov": "fitness.scores.jacob_cov:JacobCov",
        "latency_ms": "fitness.latency:latency_ms",
        "linear_regions": "fitness.scores.linear_regions:LinearRegions",
        "meco": "fitness.scores.meco:MeCo",
        "mrs": "fitness.mrs:mrs",
        "mrs_mean": "fitness.mrs:mrs_mean",
        "mrs_std": "fitness.mrs:mrs_std",
        "naswot": "fitness.scores.naswot:NasWot",
        "near": "fitness.scores.near:Near",
        "ntk": "fitness.scores.ntk:Ntk",
        "plain": "fitness.scores.plain:Plain",
        "snip": "fitness.scores.snip:Snip",
        "swap": "fitness.scores.swap:Swap",
        "synflow": "fitness.scores.synflow:Synflow",
        "te_nas_ntk": "fitness.scores.te_nas:TeNasNtk",
        "te_nas_regions": "fitness.scores.te_nas:TeNasRegions",
        "vkdnw": "fitness.scores.vkdnw:Vkdnw",
        "zen": "fitness.scores.zen:Zen",
        "zico": "fitness.scores.zico:ZiCo",
    },
    "nas_engine.fitness",
)


def __getattr__(name: str) -> object:
    # Imported on first use: figures and traces need no torch.
    if name == "score":
        from fitness.scoring import score

        return score
    raise AttributeError(f"module 'fitness' has no attribute {name!r}")
