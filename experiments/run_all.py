"""Every experiment one after another, what they print on standard output, a summary at the end.

    python experiments/run_all.py --data npz:cifar10_small.npz --tss nats_tss.csv --sss nats_sss.csv
    python experiments/run_all.py --quick --tss nats_tss.csv --sss nats_sss.csv

Options are those of every experiment (`common.arguments`) and are passed on; each has more of its own. One that
fails does not stop the others; the exit code is 1 then.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from common import SPACES, TSS, arguments, markdown, table_of, tell

# What each needs: the topology space's table, either, or none.
EXPERIMENTS = {
    "size_space": tuple(SPACES)[1:],
    "strategies": tuple(SPACES),
    "te_nas": (TSS,),
    "naswot": tuple(SPACES),
    "epe_nas": tuple(SPACES),
    "fernandes2022": tuple(SPACES),
    "scores": tuple(SPACES),
    "mcu": (),
    "rnn": (),
    "predictors": (TSS,),
}


def main() -> int:
    options = arguments(__doc__).parse_args()
    given = sys.argv[1:]
    if options.quick:
        given += ["--workers", "1"]  # starting processes would take longer than what they are started for
    here = Path(__file__).resolve().parent
    lines, failed = [["experiment", "seconds", ""]], 0
    for name, spaces in EXPERIMENTS.items():
        if spaces and all(table_of(options, space) is None for space in spaces):
            lines.append([name, "", f"skipped: no table of {' or '.join(spaces)}"])
            continue
        print(f"\n# {name}\n", flush=True)
        started = time.perf_counter()
        code = subprocess.run([sys.executable, str(here / name / "run.py"), *given], check=False).returncode
        seconds = time.perf_counter() - started
        tell(f"{name}: {seconds:.0f} s, exit {code}")
        lines.append([name, f"{seconds:.0f}", "" if code == 0 else f"failed: exit {code}"])
        failed += code != 0
    print(f"\n# Summary\n\n{markdown(lines)}")
    done = sum(1 for line in lines[1:] if not line[2])
    skipped = len(EXPERIMENTS) - done - failed
    print(f"\n{done} done, {failed} failed, {skipped} skipped; what they keep is in {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
