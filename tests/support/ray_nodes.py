"""Ray nodes as a user starts them: a head and workers, each with processes of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Ray starts a process for each worker; its title names what runs in it.
WORKER = "ClusterWorker"

RAY = (sys.executable, "-m", "ray.scripts.scripts")

STARTED = b"Ray runtime started"

# Bytes of a node's object store: Ray takes a third of the machine's memory if nothing is said.
STORE = 80_000_000


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Nodes:
    """A cluster on this machine; `stop` ends what was started here, and nothing else."""

    def __init__(self, folder: Path, paths: tuple[Path, ...] = (), **environment: str) -> None:
        self.folder, self.port = folder, free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "RAY_USAGE_STATS_ENABLED": "0",
            # A dead node is noticed within two seconds, not ten.
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_failure_threshold": "3",
            "PYTHONPATH": os.pathsep.join([*map(str, paths), *sys.path]),
        }
        self.of_nodes = environment  # only theirs

    def head(self, cores: int = 1) -> subprocess.Popen[bytes]:
        port = ("--head", f"--port={self.port}", "--include-dashboard=false")
        return self._start(*port, f"--num-cpus={cores}", f"--temp-dir={self.folder / 'ray'}")

    def worker(self, cores: int = 1, **environment: str) -> subprocess.Popen[bytes]:
        return self._start(f"--address={self.address}", f"--num-cpus={cores}", **environment)

    def _start(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"node-{len(self.nodes)}.log"
        common = ("--node-ip-address=127.0.0.1", f"--object-store-memory={STORE}", "--block")
        lean = ("--include-log-monitor=false",)
        for _ in range(3):  # a busy machine may not start one within Ray's 30 seconds
            with log.open("wb") as out:
                node = subprocess.Popen(
                    [*RAY, "start", *options, *common, *lean],
                    env={**self.environment, **self.of_nodes, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            self.nodes.append(node)
            wait_for(lambda: STARTED in log.read_bytes() or node.poll() is not None)  # noqa: B023
            if node.poll() is None:
                return node
        raise AssertionError(log.read_text())

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """End a node and all its workers at once, as a power cut does."""
        for process in [node.pid, *descendants(node.pid)]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        node.wait()

    def stop(self) -> None:
        for node in reversed(self.nodes):
            if node.poll() is None:
                self.kill(node)


@contextmanager
def cluster(folder: Path, *paths: Path, workers: int = 1, **environment: str) -> Iterator[Nodes]:
    """Start a head and worker nodes of one core each; the environment is theirs alone."""
    nodes = Nodes(folder, paths, **environment)
    try:
        nodes.head()
        for _ in range(workers):
            nodes.worker()
        yield nodes
    finally:
        nodes.stop()


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def parents() -> dict[int, int]:
    """Return the parent of each process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            stat = (folder / "stat").read_text(errors="replace")
            found[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def descendants(process: int) -> list[int]:
    """Return the processes below one."""
    children = parents()
    found, new = list[int](), [process]
    while new:
        new = [child for child, parent in children.items() if parent in new]
        found += new
    return found


def workers(below: int | None = None) -> list[int]:
    """Return the processes in which requests run, of one node or of all."""
    among = parents() if below is None else descendants(below)
    found = []
    for process in among:
        with suppress(OSError):
            title = Path(f"/proc/{process}/cmdline").read_bytes()
            if title.startswith(b"ray::") and WORKER.encode() in title:
                found.append(process)
    return found
