"""Real servers with real models, started on loopback and stopped again."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NAME = "smollm2"


@dataclass(frozen=True, slots=True)
class Served:
    """A server that is up: its base URL, the model's name there, and its log."""

    url: str
    model: str
    log: Path

    def requests(self) -> int:
        """Return how many answers it gave by its own log."""
        told = self.log.read_text(errors="replace")
        return told.count('"POST /v1/chat/completions HTTP/1.1" 200')


@contextmanager
def transformers_serve(model: Path, folder: Path) -> Iterator[Served]:
    """Serve a local model folder with `transformers serve`, offline; its log is in `folder`."""
    # The server calls the model by the path it was given: a short one, relative to its folder.
    (folder / NAME).symlink_to(model, target_is_directory=True)
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", NAME]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with up(command, folder, f"http://127.0.0.1:{port}/health"):
        yield Served(f"http://127.0.0.1:{port}/v1", NAME, folder / "server.log")


@contextmanager
def up(command: Sequence[str], folder: Path, health: str) -> Iterator[None]:
    """Run a server until the block ends; fail with its log where it does not come up."""
    log = folder / "server.log"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + 300  # a busy machine; alone it takes five
        while not healthy(health):
            if process.poll() is not None or time.monotonic() > deadline:
                told = log.read_text(errors="replace")[-2000:]
                raise AssertionError(f"the server did not come up:\n{told}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def healthy(url: str) -> bool:
    """Return whether a server answers."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
