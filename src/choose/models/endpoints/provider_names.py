"""Models by their usual names: ``openai:gpt-4o-mini``, ``ollama:qwen2.5:7b``, ``hf:org/name``.

``PROVIDER:MODEL`` means an endpoint of that name whose address and key variable are in
`providers.csv`; a section ``[endpoints."PROVIDER:MODEL"]`` of the study adds prices or changes
them.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from choose.engines.weights.spec import HUB, PREFIX
from choose.errors import StudyError, did_you_mean
from choose.formatting import plural
from choose.models.endpoints.settings import key_in
from choose.outside_values import finite, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A chat completions API that follows OpenAI's.

    Attributes:
        name: for readers.
        base_url: what ``/chat/completions`` is appended to.
        keys: variables that usually hold its key; the first one that is set is used.
        needs_key: whether requests without a key are refused.
        example: a model that it serves.
        looks: how names of its models look, where no other provider's do.
    """

    name: str
    base_url: str
    keys: tuple[str, ...]
    needs_key: bool
    example: str
    looks: str | None

    @property
    def key(self) -> str | None:
        """Return the variable whose key is sent, set or not; None where none is."""
        found = next((variable for variable in self.keys if key_in(variable)), None)
        return found or (self.keys[0] if self.needs_key else None)


_TABLE = (files("choose.models.endpoints") / "providers.csv").read_text("utf-8").splitlines()

PROVIDERS = {
    row["key"]: Provider(
        name=row["name"],
        base_url=row["base_url"],
        keys=tuple(row["keys"].split()),
        needs_key=row["needs_key"] == "yes",
        example=row["example"],
        looks=row["looks"] or None,
    )
    for row in csv.DictReader(_TABLE)
}

# A word before a colon; a drive of Windows has one letter.
_SHORTHAND = re.compile(r"(?P<provider>[A-Za-z][A-Za-z0-9_-]+):(?P<model>.*)", re.DOTALL)

# What comes before a colon in specs of other kinds.
_OTHER_KINDS = ("endpoint", "pypi", "sample", "http", "https", "file")


def provider_of(spec: str) -> str | None:
    match = _SHORTHAND.fullmatch(spec)
    return match["provider"] if match and match["provider"] in PROVIDERS else None


def with_providers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain settings of a study with shorthands as endpoints, and hub ids without ``hf:``.

    Values of another kind than a study takes stay as they are, for the study to refuse.
    """
    found: dict[str, dict[str, Any]] = {}
    endpoints = settings.get("endpoints", {})
    endpoints = endpoints if isinstance(endpoints, Mapping) else {}
    replaced = {
        key: _resolved(value, key, found) if key in ("models", "candidates") else value
        for key, value in settings.items()
    }
    for name in endpoints:
        if isinstance(name, str) and provider_of(name) is not None:
            _spec(name, f"endpoints.{name}", found=found)
    sections = {
        name: {**section, **own}
        for name, section in found.items()
        if isinstance(own := endpoints.get(name, {}), Mapping)
    }
    return {**replaced, "endpoints": {**endpoints, **sections}} if found else replaced


# Where a study names a model, one or several; the words tell whether it is prompted or loaded.
_PLACE = re.compile(
    r"(?P<place>(models|candidates\.\d+(\.params)?)\.(model|(?P<loaded>tune|base|encoder)))(\.\d+)?"
)


def _resolved(value: Any, where: str, found: dict[str, dict[str, Any]]) -> Any:
    """Return a part of a study with the specs that its shorthands mean."""
    if where.count(".") > 4:
        return value
    if isinstance(value, Mapping):
        return {key: _resolved(inner, f"{where}.{key}", found) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_resolved(inner, f"{where}.{n}", found) for n, inner in enumerate(value)]
    if not isinstance(value, str) or (match := _PLACE.fullmatch(where)) is None:
        return value
    return _spec(value, match["place"], found=found, loaded=match["loaded"] is not None)


def _spec(spec: str, where: str, *, found: dict[str, dict[str, Any]], loaded: bool = False) -> str:
    """Return the spec that a shorthand means; note its endpoint in `found`."""
    if spec.startswith(HUB):
        if "/" not in spec:
            raise StudyError(f"{where} is {shown(spec)}, which is no hub id. Write hf:ORG/NAME.")
        return spec.removeprefix(HUB)
    name = provider_of(spec)
    if name is None:
        if (advice := what_to_type(spec)) and not Path(spec).exists():
            raise StudyError(f"{where} is {shown(spec)}, and no such model is here. {advice}")
        return spec
    if loaded:
        raise StudyError(
            f"{where} is {shown(spec)}, which is behind an API: it can be prompted, not loaded. "
            "Name a folder or a hub id, such as hf:Qwen/Qwen2.5-0.5B-Instruct."
        )
    model, provider = spec.partition(":")[2].strip(), PROVIDERS[name]
    if not model:
        raise StudyError(
            f"{where} is {shown(spec)}, without a model. Write {name}:{provider.example}, or the "
            "name of another model."
        )
    found[spec] = {"base_url": provider.base_url, "model": model}
    if provider.key is not None:
        found[spec]["api_key_env"] = provider.key
    return f"{PREFIX}{spec}"


def is_usual(name: object, section: Mapping[str, Any]) -> bool:
    """Return whether ``[endpoints."PROVIDER:MODEL"]`` has that provider's own address and key."""
    known = PROVIDERS.get(provider_of(name) or "") if isinstance(name, str) else None
    return (
        known is not None
        and section.get("base_url", known.base_url) == known.base_url
        and section.get("api_key_env") in (None, *known.keys)
    )


def provider_entries() -> list[dict[str, Any]]:
    """Return the table for display; `key` is the variable whose key would be sent, or None."""
    return [
        {
            "name": name,
            "title": provider.name,
            "base_url": provider.base_url,
            "example": f"{name}:{provider.example}",
            "key": provider.key,
            "key_is_set": provider.key is not None and bool(key_in(provider.key)),
        }
        for name, provider in PROVIDERS.items()
    ]


def what_to_type(spec: str) -> str | None:
    """Return the advice for a spec that names no model here but reads like one of a provider."""
    for name, provider in PROVIDERS.items():
        if provider.looks and re.fullmatch(provider.looks, spec, re.IGNORECASE):
            return f"To prompt it at {provider.name}, write {name}:{spec}."
    match = _SHORTHAND.fullmatch(spec)
    if not match or match["provider"] in _OTHER_KINDS:
        return None
    providers = [*PROVIDERS, "hf"]
    hint = did_you_mean(match["provider"], providers)
    return f"No provider is called {match['provider']!r}.{hint} Known: {', '.join(providers)}."


def endpoint_settings(
    models: object, base_urls: object, api_key_envs: object, prices: object
) -> tuple[str | list[str] | None, dict[str, dict[str, Any]]]:
    """Turn the flags of endpoints into model specs and the sections ``[endpoints.NAME]``.

    Each is a text, several or none. There is one address and one key for all models, or one for
    each; prices, dollars for a million tokens, ``IN,OUT`` or ``IN,CACHED,OUT``, are one for each.
    """
    named = _several(models)
    columns = (
        _for_each("--base-url", base_urls, named, shared=True),
        _for_each("--set api_key_env", api_key_envs, named, shared=True),
        _for_each("--usd-per-million", prices, named),
    )
    specs: list[str] = []
    sections: dict[str, dict[str, Any]] = {}
    each: list[str | None] = [*named] or [None]
    for model, *of_one in zip(each, *columns, strict=True):
        spec, section = _of_one(model, *of_one)
        specs += [spec] if spec is not None else []
        sections |= section
    return (specs if len(specs) > 1 else next(iter(specs), None)), sections


def _several(given: object) -> list[str]:
    return [given] if isinstance(given, str) else list(given) if isinstance(given, Sequence) else []


def _for_each(
    flag: str, given: object, models: Sequence[str], shared: bool = False
) -> list[str | None]:
    """Return one value a model, None where none was given."""
    values, count = _several(given), max(len(models), 1)
    if len(values) == 1 and (shared or count == 1):
        values *= count
    if len(values) not in (0, count):
        raise StudyError(
            f"{flag} is given {plural(len(values), 'time')} for {plural(count, 'model')}. Give it "
            f"once for each --model, in their order{', or once for all' * shared}."
        )
    return [*values] or [None] * count


def _of_one(
    model: str | None, base_url: str | None, api_key_env: str | None, prices: str | None
) -> tuple[str | None, dict[str, dict[str, Any]]]:
    named = model is not None and provider_of(model) is not None
    if base_url is None and not named:
        for flag, value in (("api_key_env", api_key_env), ("--usd-per-million", prices)):
            if value is not None:
                raise StudyError(
                    f"{flag} needs --model PROVIDER:MODEL, such as openai:gpt-4o-mini, or "
                    "--base-url, the address of the endpoint."
                )
        return model, {}
    if not model or model.startswith(PREFIX):
        raise StudyError("--base-url needs --model with the model's name as the server calls it.")
    section = {"base_url": base_url, "api_key_env": api_key_env, **token_prices(prices)}
    given = {key: value for key, value in section.items() if value is not None}
    if named:
        return model, {model: given} if given else {}
    return f"{PREFIX}{model}", {model: {**given, "model": model}}


def token_prices(text: str | None) -> dict[str, float]:
    """Read ``IN,OUT`` or ``IN,CACHED,OUT``, dollars for a million tokens."""
    if text is None:
        return {}
    figures = [finite(part.strip(), 0.0) for part in text.split(",")]
    known = [figure for figure in figures if figure is not None]
    if len(figures) not in (2, 3) or len(known) < len(figures):
        raise StudyError(
            f"--usd-per-million {shown(text)} is not a price. Write dollars for a million tokens, "
            "IN,OUT or IN,CACHED,OUT, such as 0.15,0.6."
        )
    names = ("in", "cached", "out") if len(known) == 3 else ("in", "out")
    return {f"usd_per_million_{name}": figure for name, figure in zip(names, known, strict=True)}
