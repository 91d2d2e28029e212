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


class Nodes:
    """The nodes of a cluster on this machine."""

    def __init__(self, folder: Path, paths: tuple[Path, ...] = (), **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.folder, self.port = folder, int(free.getsockname()[1])
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

    def head(self) -> subprocess.Popen[bytes]:
        port = ("--head", f"--port={self.port}", "--include-dashboard=false")
        return self._start(*port, f"--temp-dir={self.folder / 'ray'}")

    def worker(self) -> subprocess.Popen[bytes]:
        return self._start(f"--address={self.address}")

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"node-{len(self.nodes)}.log"
        common = ("--node-ip-address=127.0.0.1", "--num-cpus=1", "--block")
        lean = (f"--object-store-memory={STORE}", "--include-log-monitor=false")
        for _ in range(3):  # a busy machine may not start one within Ray's 30 seconds
            with log.open("wb") as out:
                node = subprocess.Popen(
                    [*RAY, "start", *options, *common, *lean],
                    env={**self.environment, **self.of_nodes},
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


@contextmanager
def cluster(folder: Path, *paths: Path, **environment: str) -> Iterator[Nodes]:
    """Start a head and a worker node of one core each; the environment is theirs alone."""
    nodes = Nodes(folder, paths, **environment)
    try:
        nodes.head()
        nodes.worker()
        yield nodes
    finally:
        for node in reversed(nodes.nodes):
            if node.poll() is None:
                nodes.kill(node)


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def parents() -> dict[int, int]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            stat = (folder / "stat").read_text(errors="replace")
            found[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def descendants(process: int) -> list[int]:
    children = parents()
    found, new = list[int](), [process]
    while new:
        new = [child for child, parent in children.items() if parent in new]
        found += new
    return found


def workers(below: int | None = None) -> list[int]:
    among = parents() if below is None else descendants(below)
    found = []
    for process in among:
        with suppress(OSError):
            title = Path(f"/proc/{process}/cmdline").read_bytes()
            if title.startswith(b"ray::") and WORKER.encode() in title:
                found.append(process)
    return found
