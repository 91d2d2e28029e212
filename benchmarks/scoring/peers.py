"""An environment of its own for a peer, over the very torch and transformers that choose uses."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

PEER = "lm-eval==0.4.*"


def python(folder: Path) -> Path:
    """Return the interpreter of an environment that has the peer; make it where there is none."""
    home = folder / PEER.split("=")[0]
    interpreter = home / "bin" / "python"
    ready = home / "ready"
    if ready.is_file():
        return interpreter
    venv.create(home, with_pip=True)
    packages = next((home / "lib").glob("python*/site-packages"))
    # What is here already is what both sides compute with; pip adds only what the peer lacks.
    shared = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "shared.pth").write_text("\n".join(shared) + "\n", encoding="utf-8")
    command = [
        str(interpreter),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        PEER,
    ]
    subprocess.run(command, check=True, stdout=sys.stderr)
    ready.touch()
    return interpreter
