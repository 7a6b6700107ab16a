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
        "nds-amoeba": "spaces.nds:NdsAmoeba",
        "nds-darts": "spaces.nds:NdsDarts",
        "nds-enas": "spaces.nds:NdsEnas",
        "nds-nasnet": "spaces.nds:NdsNasNet",
        "nds-pnas": "spaces.nds:NdsPnas",
        "rnn": "spaces.rnn:RnnSpace",
    },
    "nas_engine.spaces",
)
