"""Evaluations on a Dask cluster: the records of one process whatever happens to workers, one line when it fails."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy
import pytest

from engine import cluster as clusters
from engine import search
from engine.config import RunConfig
from engine.executors import evaluations
from engine.setup import Setup
from spaces.errors import MissingExtra, RunError, UsageError

ROOT = Path(__file__).parents[2]

# A run whose own fitness only this script knows.
SCRIPT = """
import os
import sys
import time

from engine import search

class Mine:
    name, direction, unit, needs = "mine", "max", "", "network"

    def __call__(self, network):
        {body}
        return float(len(network))

if __name__ == "__main__":
    search("nats-sss", "random", Mine(), budget=12, open=4, out="run", **{options})
"""


class Cluster:
    """A scheduler and workers, each a process of its own on this machine."""

    def __init__(self, folder: Path, *nanny: str, **settings: str) -> None:
        self.folder, self.nanny = folder, nanny or ("--no-nanny",)
        self.processes: list[subprocess.Popen[bytes]] = []
        # Nobody is asked twice whether a candidate kills, and a dead worker is back at once.
        self.settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0", **settings}
        self.file = folder / "scheduler.json"
        self.scheduler = self.start("scheduler", "--port=0", "--host=127.0.0.1", f"--scheduler-file={self.file}")

    def start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{what}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard", *options],
                env={**os.environ, **self.settings, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        options = ("--nthreads=1", "--memory-limit=0", "--host=127.0.0.1", f"--scheduler-file={self.file}")
        return self.start("worker", *self.nanny, *options)

    @property
    def address(self) -> str:
        wait_until(lambda: self.file.exists() and self.file.read_text().endswith("}"))
        address: str = json.loads(self.file.read_text())["address"]
        return address

    def close(self) -> None:
        for process in reversed(self.processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what must come; a minute is for ever."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers that live as long as this file's tests."""
    with closing(Cluster(tmp_path_factory.mktemp("cluster"))) as started:
        for _ in range(2):
            started.worker()
        yield started


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Starts schedulers for tests that break them."""
    started: list[Cluster] = []

    def start(*nanny: str, **settings: str) -> Cluster:
        folder = tmp_path / f"cluster-{len(started)}"
        folder.mkdir()
        started.append(Cluster(folder, *nanny, **settings))
        return started[-1]

    yield start
    for each in started:
        each.close()


CHEAP = ("run", "--budget=40", "--quiet", "--seed=3", "--population=10", "--tournament=3")
MODULES = (
    "run",
    "--space=nats-tss(channels=3,cells=1)",
    "--fitness=naswot",
    "--input-shape=8x8x3",
    "--batch=8",
    "--budget=10",
    "--strategy=random",
    "--quiet",
)


@pytest.mark.parametrize(
    "command", [CHEAP, pytest.param(MODULES, marks=pytest.mark.slow)], ids=["trace+gdf", "naswot"]
)
def test_a_cluster_makes_the_records_of_one_process(
    command: tuple[str, ...], cluster: Cluster, engine: Any, tmp_path: Path, lines_of: Any
) -> None:
    assert engine(*command, "--out=here").code == 0
    answer = engine(*command, "--out=there", f"--cluster={cluster.address}")
    assert (answer.code, answer.err) == (0, "")
    assert lines_of(tmp_path / "there") == lines_of(tmp_path / "here")


def test_a_run_moves_between_a_cluster_and_one_process(
    cluster: Cluster, engine: Any, tmp_path: Path, lines_of: Any
) -> None:
    assert engine(*CHEAP, "--out=whole").code == 0
    there = f"--cluster={cluster.address}"
    for first, second in (((), (there,)), ((there,), ())):
        run = tmp_path / f"moved-{len(first)}"
        assert engine(*CHEAP, f"--out={run}", "--budget=17", *first).code == 0
        assert engine("resume", run, "--budget=40", "--quiet", *second).code == 0
        assert lines_of(run) == lines_of(tmp_path / "whole")


def test_short_calls_share_tasks_and_long_ones_do_not(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = Setup(RunConfig(space="nats-sss", fitness="params")).evaluator
    executor = clusters.ClusterExecutor(cluster.address, clusters.cloudpickle.dumps(evaluator))
    sizes: list[int] = []
    send = executor._tasks.submit
    monkeypatch.setattr(executor._tasks, "submit", lambda *task: sizes.append(len(task[-1])) or send(*task))
    try:
        assert executor.submit(abs, -1).result() == 1
        short = [executor.submit(abs, -number) for number in range(500)]
        assert [call.result() for call in short] == list(range(500))
        assert len(sizes) < 20
        for _ in range(3):  # by now it knows that they got longer
            executor.submit(time.sleep, 0.05).result()
        del sizes[:]
        for call in [executor.submit(time.sleep, 0.05) for _ in range(4)]:
            call.result()
        assert sizes == [1, 1, 1, 1]
    finally:
        executor.shutdown(wait=False)


@pytest.mark.parametrize(
    "address",
    [
        "localhost:8786",
        "http://localhost:8786",
        "tcp://localhost",
        "tcp://:8786",
        "tcp://a b:1",
        "tcp://h:0",
        "tcp://h:65536",
    ],
)
def test_an_address_that_is_none_is_refused(address: str, engine: Any) -> None:
    complaint = engine("run", f"--cluster={address}").complaint
    assert complaint.startswith(f"cluster is {address!r}; expected a Dask scheduler's address, tcp://HOST:PORT")


def test_a_run_has_workers_or_a_cluster(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "both.toml").write_text("workers = 2\n")
    there = "--cluster=tcp://127.0.0.1:8786"
    assert "expected one of them" in engine("run", "--config=both.toml", there).complaint
    assert "not allowed with argument" in engine("run", "--workers=2", there).complaint


def test_a_scheduler_that_is_not_there_is_one_line_and_leaves_no_folder(engine: Any, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        complaint = engine("run", f"--cluster=tcp://127.0.0.1:{port}", "--out=run").complaint
    assert complaint == (
        f"cannot reach scheduler tcp://127.0.0.1:{port}: Connection refused; start one with `dask scheduler --port "
        f"{port}`, or give the address that it prints"
    )
    assert not (tmp_path / "run").exists()


def test_what_answers_nothing_is_no_scheduler(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        complaint = engine("run", f"--cluster={address}").complaint
    assert complaint.startswith(f"{address} does not answer as a Dask scheduler: nothing within 0.3 seconds")


def test_a_missing_extra_is_named(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "engine.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    complaint = engine("run", "--cluster=tcp://127.0.0.1:8786").complaint
    assert complaint.endswith('get it with `pip install "nas-engine[cluster]"`')
    with pytest.raises(MissingExtra):
        search(budget=1, cluster="tcp://127.0.0.1:8786")


class Held:
    name, direction, unit, needs = "held", "max", "", "network"

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, network: Any) -> float:
        return float(len(network))


def test_a_fitness_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"a cluster needs a space and scores that can be pickled: cannot pickle '_th"
    ):
        search("nats-sss", "random", Held(), budget=3, cluster="tcp://127.0.0.1:1")


def test_a_module_that_workers_lack_is_named(cluster: Cluster, plugin: Any) -> None:
    with pytest.raises(RunError, match=r"worker tcp://.* cannot evaluate: ModuleNotFoundError: No .*'toy_plugin'"):
        search("nats-sss", "random", plugin.Width(), budget=3, cluster=cluster.address)


@pytest.mark.slow
def test_images_that_workers_do_not_find_are_named(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "images.npz"
    numpy.savez(file, images=numpy.zeros((8, 8, 8, 3), numpy.uint8))
    config = RunConfig(space="nats-sss", input_shape="8x8x3", fitness="naswot", batch=8, data=f"npz:{file}")
    evaluator = Setup(config).evaluator
    file.unlink()  # a worker on another machine
    with pytest.raises(
        RunError, match=r"worker tcp://.* cannot evaluate: .*images\.npz.*; expected the same files"
    ):
        evaluations(evaluator, 1, cluster.address)


@pytest.mark.slow
def test_workers_of_other_versions_are_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = clusters._versions()
    monkeypatch.setattr(clusters, "_versions", lambda: ours | {"torch": "1.0"})
    with pytest.raises(RunError, match=r"worker tcp://.* has torch 2.*, this process 1\.0; install the same"):
        search("nats-sss", "random", "params", budget=3, cluster=cluster.address)


@pytest.mark.slow
def test_a_scheduler_without_workers_is_one_line(
    fresh: Callable[..., Cluster], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "WORKER_SECONDS", 0.5)
    address = fresh().address
    assert engine("run", f"--cluster={address}").complaint == (
        f"scheduler {address} has no workers; start some with `dask worker {address} --nthreads 1`"
    )


@pytest.mark.slow
@pytest.mark.parametrize("nanny", [(), ("--nanny",)], ids=["gone", "restarted"])
def test_a_worker_that_is_killed_changes_no_record(
    nanny: tuple[str, ...], fresh: Callable[..., Cluster], tmp_path: Path, lines_of: Any, program: Any, spawn: Any
) -> None:
    script, settings = tmp_path / "mine.py", {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "3"}
    there = fresh(*nanny, **settings)
    workers = [there.worker() for _ in range(2)]
    script.write_text(SCRIPT.format(body="time.sleep(0.4)", options={"cluster": there.address}))
    process = spawn(program=script)
    wait_until(lambda: (tmp_path / "run" / "records.jsonl").exists() and len(lines_of(tmp_path / "run")) >= 3)
    os.killpg(workers[0].pid, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "", "")
    (tmp_path / "run").rename(tmp_path / "there")
    script.write_text(SCRIPT.format(body="pass", options={}))
    assert program(program=script).code == 0
    assert lines_of(tmp_path / "there") == lines_of(tmp_path / "run")


@pytest.mark.slow
def test_a_candidate_that_kills_workers_fails_as_in_a_pool(
    fresh: Callable[..., Cluster], tmp_path: Path, lines_of: Any, program: Any
) -> None:
    there, script = fresh("--nanny"), tmp_path / "mine.py"
    for _ in range(2):
        there.worker()
    body = "if network.shapes[1][0] == 32: os._exit(7)"
    for name, options in (("there", {"cluster": there.address}), ("pool", {"workers": 2})):
        script.write_text(SCRIPT.format(body=body, options=options))
        answer = program(program=script)
        assert answer.code == 0, answer.err
        assert answer.err == ""
        (tmp_path / "run").rename(tmp_path / name)
    assert b"the worker process died twice" in b"".join(lines_of(tmp_path / "there"))
    assert lines_of(tmp_path / "there") == lines_of(tmp_path / "pool")


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", ["interrupt", "scheduler"])
def test_a_run_that_is_stopped_says_so_and_can_be_resumed(
    ended_by: str, fresh: Callable[..., Cluster], tmp_path: Path, engine: Any, lines_of: Any, spawn: Any
) -> None:
    there = fresh()
    there.worker()
    command = [part for part in CHEAP if part != "--budget=40"]
    process = spawn(*command, "--budget=100000", "--out=run", f"--cluster={there.address}")
    wait_until(lambda: (tmp_path / "run" / "records.jsonl").exists() and len(lines_of(tmp_path / "run")) >= 20)
    if ended_by == "interrupt":
        process.send_signal(signal.SIGINT)
        expected = (130, "engine: interrupted; continue with `engine resume run`\n")
    else:
        there.scheduler.kill()
        lost = f"lost scheduler {there.address}: it ended or was restarted; start it again"
        expected = (1, f"engine: error: {lost} and continue with `engine resume`\n")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err, out) == (*expected, "")
    held = len(lines_of(tmp_path / "run"))
    assert engine("resume", "run", f"--budget={held + 30}", "--quiet").code == 0
    assert engine(*command, f"--budget={held + 30}", "--out=whole").code == 0
    assert lines_of(tmp_path / "run") == lines_of(tmp_path / "whole")


@pytest.mark.slow
def test_workers_that_come_late_take_part(
    fresh: Callable[..., Cluster], tmp_path: Path, spawn: Any, lines_of: Any
) -> None:
    there, script = fresh(), tmp_path / "mine.py"
    there.worker()
    body = "open(f'at-{os.getpid()}', 'w'); time.sleep(0.5)"
    script.write_text(SCRIPT.format(body=body, options={"cluster": there.address, "target": "none"}))
    process = spawn(program=script)
    wait_until(lambda: (tmp_path / "run" / "records.jsonl").exists())
    there.worker()
    assert process.communicate(timeout=120) == ("", "")
    assert len(list(there.folder.glob("at-*"))) == 2
