"""What a network is: spaces of architectures and the typed layer graph they build."""

from spaces.registry import Registry

__all__ = ["SPACES"]

SPACES = Registry(
    "space",
    {
        "munas": "spaces.munas:MunasSpace",
        "munas-mlp": "spaces.mlp:MlpSpace",
        "nas-bench-101": "spaces.nasbench101:NasBench101",
        "nats-sss": "spaces.nats:NatsSss",
        "nats-tss": "spaces.nats:NatsTss",
    },
    "nas_engine.spaces",
)
