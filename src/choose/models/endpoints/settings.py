"""Settings of an endpoint in the study file; its API key, removed from what servers send."""

import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator

from choose.errors import ModelError
from choose.files import digest
from choose.outside_values import Settings
from choose.schema.candidate_scorecard import TokenPrices

# API keys in what a server sends are replaced by this before anything is kept or shown: the key
# itself, in any case, escaped for URLs, and with blanks between its characters. A server that wants
# to hide the key it was sent can: no list of spellings is complete.
HIDDEN = "[key]"

# What looks like an API key or an authorisation header.
KEYLIKE = re.compile(r"(?i)(bearer\s+)[^\s\"',;]+|\b(sk|pk|gsk|hf|xai|key)[-_][A-Za-z0-9*_\-.]{6,}")

# Shorter keys, such as EMPTY for a local server, are words that answers may hold: only the exact
# key is replaced.
_SHORTEST = 8

# Longest text that is searched for keys; far more than is shown or kept.
_LONGEST = 64_000

# Characters at the end of a longer text that are dropped, since they may begin a key.
_TAIL = 4_000


def redact(text: str, keys: Iterable[str]) -> str:
    """Return an error on one line of at most 300 characters, with API keys replaced."""
    text = text[: _LONGEST + 1].encode("utf-8", "replace").decode("utf-8")
    text = KEYLIKE.sub(lambda m: f"{m[1] or ''}{HIDDEN}", hide_keys_cut(text, keys, _LONGEST))
    return " ".join(text.split())[:300]


def hide_keys_cut(text: str, keys: Iterable[str], most: int) -> str:
    """Return at most `most` characters of a text of any length, cut after keys are replaced."""
    hidden = hide_keys(text[:_LONGEST], keys)
    end = len(hidden) - _TAIL if len(text) > _LONGEST else most
    return hidden[: max(0, min(most, end))]


def hide_keys(text: str, keys: Iterable[str]) -> str:
    """Return a text with API keys replaced: in any case, escaped for URLs, or with blanks."""
    for key in keys:
        if len(key) >= _SHORTEST:
            text = _pattern(key).sub(HIDDEN, text)
        elif len(key) > 1:
            text = text.replace(key, HIDDEN)
    return text


@lru_cache(16)
def _pattern(key: str) -> re.Pattern[str]:
    one = (f"(?:{re.escape(c)}|{''.join(f'%{b:02x}' for b in c.encode())})" for c in key)
    return re.compile(r"\s{0,3}".join(one), re.IGNORECASE)


# Raise whenever requests for the same prompt are written or read differently.
PROTOCOL = 2

_SECRET = re.compile(r"key|token|secret|password|passwd|signature|^sig$|auth|credential", re.I)

_RESERVED = ("model", "messages", "stream", "n", "response_format", "logprobs", "top_logprobs")

# Names that servers use for the longest answer in tokens.
LIMITS = ("max_tokens", "max_completion_tokens")

# Settings that can change an answer; the others are about keys, prices and speed.
_IDENTITY = {"base_url", "model", "extra_body", "structured", "max_output_tokens"}

# Letters and digits mixed without an underscore: a key pasted where a variable name belongs.
_PASTED_KEY = re.compile(r"(?=.*[0-9].*[0-9])(?=.*[A-Za-z])[A-Za-z0-9]{16,}")

# Names that match `_SECRET` but hold no secret, such as max_tokens.
_HARMLESS = re.compile(r"tokens|tokeni[sz]er|cache_key|key_?words", re.I)

Usd = Field(default=None, ge=0, le=1e9)


class Endpoint(Settings):
    """One model behind one URL, with its prices and limits.

    Attributes:
        base_url: what ``/chat/completions`` is appended to; it usually ends in ``/v1``.
        model: its name on the server.
        api_key_env: the environment variable that holds the API key.
        api_key_header: the header that carries the bare key, such as ``api-key``; by default it
            is sent as ``Authorization: Bearer``.
        usd_per_million_in: dollars for a million input tokens.
        usd_per_million_cached: the same for input tokens that the server has cached.
        usd_per_million_out: dollars for a million output tokens.
        concurrency: requests in flight at once.
        timeout: seconds for one request.
        max_output_tokens: longest answer in tokens, hidden reasoning included; by default the
            first request finds out how much is needed.
        structured: whether to request a JSON schema of the labels if the server supports it.
        reuse_days: days for which a paid answer is reused instead of a new request.
        extra_body: further fields of each request, such as ``reasoning_effort``.
    """

    base_url: str
    model: str = Field(min_length=1)
    api_key_env: str | None = None
    api_key_header: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9-]*$")
    usd_per_million_in: float | None = Usd
    usd_per_million_cached: float | None = Usd
    usd_per_million_out: float | None = Usd
    concurrency: int = Field(default=8, ge=1, le=256)
    timeout: float = Field(default=60.0, gt=0, le=86_400)
    max_output_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    structured: Literal["auto", "off"] = "auto"
    reuse_days: float = Field(default=30.0, ge=0, le=36_500)
    extra_body: Mapping[str, Any] = {}

    @field_validator("base_url")
    @classmethod
    def _valid_url(cls, url: str) -> str:
        if not url.isprintable() or " " in url.strip():
            raise ValueError("write it without blanks and line breaks")
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write it as https://HOST/v1 or http://HOST:PORT/v1")
        if parts.username or parts.password:
            raise ValueError("it holds a password; put the key into api_key_env instead")
        secret = [name for name, _ in parse_qsl(parts.query) if _SECRET.search(name)]
        if secret:
            raise ValueError(f"{secret[0]!r} in it looks like a key; use api_key_env instead")
        path = parts.path.rstrip("/").removesuffix("/chat/completions")
        return parts._replace(path=path, fragment="").geturl()

    @field_validator("api_key_env")
    @classmethod
    def _variable_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
            raise ValueError("it must be the name of an environment variable, not the key itself")
        if name is not None and _PASTED_KEY.fullmatch(name):
            raise ValueError("it looks like a key itself; name a variable that holds it")
        return name

    @field_validator("extra_body")
    @classmethod
    def _no_reserved_names(cls, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in extra:
            if name in _RESERVED:
                raise ValueError(f"{name!r} is set by choose")
        for name in LIMITS:
            limit = extra.get(name, 1)
            if type(limit) is not int or limit < 1:
                raise ValueError(f"{name!r} must be a whole number, 1 or more; it is {limit!r}")
        secret = next(_secrets(extra), None)
        if secret is not None:
            raise ValueError(f"{secret!r} looks like a key; use api_key_env instead")
        return extra

    @property
    def digest(self) -> str:
        return digest([PROTOCOL, self.model_dump(include=_IDENTITY)])

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).netloc

    @property
    def is_local(self) -> bool:
        name = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name == "localhost" or name.endswith(".localhost")

    @property
    def prices(self) -> TokenPrices | None:
        """Return prices of tokens; None, which is not zero, unless input and output have one."""
        if self.usd_per_million_in is None or self.usd_per_million_out is None:
            return None
        return TokenPrices(
            usd_per_million_in=self.usd_per_million_in,
            usd_per_million_cached=self.usd_per_million_cached,
            usd_per_million_out=self.usd_per_million_out,
        )


def _secrets(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secrets(inner, str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner, name)
    elif isinstance(value, str):
        named = _SECRET.search(name) and not _HARMLESS.search(name)
        if named or KEYLIKE.search(value):
            yield name


def api_key(name: str, endpoint: Endpoint) -> str | None:
    """Return an endpoint's API key from the environment; None if it needs none.

    A file such as ``.env`` is never read: the folder may be someone else's, and its key would
    decide which account sees the rows and pays.
    """
    variable = endpoint.api_key_env
    if variable is None:
        return None
    key = header_in(variable)
    if not key:
        raise ModelError(
            f"The endpoint {name!r} takes its key from {variable}, which is not set. Set it: "
            f"export {variable}=… (for a file of keys that is yours: set -a; . ./.env)."
        )
    return key


def header_in(variable: str) -> str:
    """Return what a variable holds in the environment, if a header can carry it."""
    value = key_in(variable)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ModelError(
            f"The value of {variable} cannot be sent: it holds spaces, line ends or characters "
            "that are not ASCII. Copy it again."
        )
    return value


def key_in(variable: str) -> str:
    """Return what a variable holds in the environment; empty where it is not set."""
    return os.environ.get(variable, "").strip()
