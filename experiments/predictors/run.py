"""Predictors of accuracy: EmProx's own comparison, how well all of them order benchmarks, and searches with them.

    python experiments/predictors/run.py --tss nats_tss.csv --sss nats_sss.csv

Runs `published.py`, `quality.py` and `search.py` one after another; options are passed on, and each has more of its
own. What was measured is kept under `--out`; interrupted, they go on there.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import arguments

PARTS = ("published", "quality", "search")


def main() -> int:
    arguments(__doc__).parse_args()
    here = Path(__file__).resolve().parent
    failed = 0
    for part in PARTS:
        print(f"\n## {part}\n", flush=True)
        failed += (
            subprocess.run([sys.executable, str(here / f"{part}.py"), *sys.argv[1:]], check=False).returncode != 0
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
