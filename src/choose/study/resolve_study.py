"""Resolve a study: the file, with flags laid over it, checked in one place."""

import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from choose.errors import StudyError, did_you_mean
from choose.files import read_regular
from choose.models.endpoints.provider_names import endpoint_settings, is_usual, with_providers
from choose.models.endpoints.settings import Endpoint
from choose.outside_values import check_text, check_values, plain_reason, shown
from choose.schema.study_sections import FILES, Flag
from choose.study.config import CandidateSection, Specs, Study
from choose.tasks.scoring import is_function

# Bytes of a study file; one that describes 1,000 labels has about 100,000.
LARGEST = 1_000_000

# A dotted key of 50 parts and more; parsing takes the square of their number.
_LONG_KEY = re.compile(r"(?:[\w\"'-]{1,100}[ \t]{0,9}\.[ \t]{0,9}){50}")

# The word of -s for every strategy that runs without it.
ALL = "all"

# Keys that name models, which may be folders.
MODELS = tuple(Specs.model_fields)

# Settings of a study for a first look: two rounds, with every family in them.
QUICK: Mapping[str, Any] = {"budget": 120.0, "rounds": 2}

Overrides = Mapping[str, Mapping[str, Any]]


def load_study(
    path: Path | Mapping[str, Any] | None = None, overrides: Overrides | None = None
) -> Study:
    """Read a study file, or take its settings as a mapping, and apply `overrides`.

    `overrides` is section -> key -> value; None is left out. `path` may be the folder of a stored
    study, which names no code and no address: those come from `overrides`. A relative path in a
    study file is relative to the file's folder if the target exists there, else to the working one.
    """
    if isinstance(path, Path):
        from choose.store.store import is_store

        stored = (path / "study.toml").is_file() or is_store(path.parent)
        path = path / "study.toml" if (path / "study.toml").is_file() else path
        settings = _located(_read(path), path.parent)
        if stored:
            settings = _stored(settings, path.parent, overrides or {})
    else:
        settings = dict(path or {})
    for section, values in (overrides or {}).items():
        given = {key: value for key, value in values.items() if value is not None}
        base = settings.get(section, {})
        if given and isinstance(base, Mapping):  # anything else is refused below
            if section == "endpoints":
                given = {name: _with_address(base.get(name), own) for name, own in given.items()}
            settings[section] = {**base, **given}
    return check(settings, str(path) if isinstance(path, Path) else "the settings", overrides or {})


def _code_in(settings: Mapping[str, Any]) -> str | None:
    """Return the metric that is a function, if the goal names one."""
    goal = settings.get("goal")
    metric = goal.get("metric") if isinstance(goal, Mapping) else None
    return metric if isinstance(metric, str) and is_function(metric) else None


def _stored(settings: dict[str, Any], folder: Path, overrides: Overrides) -> dict[str, Any]:
    """Return the settings of a stored study without where it ran and the servers it asked.

    Servers of the table of providers stay, as do the settings of one whose address a flag names.
    """
    metric = _code_in(settings)
    if metric is not None and "metric" not in overrides.get("goal", {}):
        raise StudyError(
            f"The study in {str(folder)!r} is scored by {shown(metric)}. A stored study runs no "
            f"code: if you trust this function, add --metric {shlex.quote(metric)}."
        )
    kept = {key: value for key, value in settings.items() if key != "run"}
    if isinstance(endpoints := settings.get("endpoints"), Mapping):
        given = overrides.get("endpoints", {})
        kept["endpoints"] = {
            name: section if is_usual(name, section) else {**section, "api_key_env": None}
            for name, section in endpoints.items()
            if isinstance(section, Mapping)
            and (
                is_usual(name, section)
                or given.get(name, {}).get("base_url", "") == section.get("base_url")
            )
        }
    return kept


def fields_of(section: str) -> dict[str, FieldInfo]:
    """Return the keys of a section; none of one that is a list or a table of sections."""
    return getattr(Study.model_fields[section].annotation, "model_fields", {})


def flags_of(section: str) -> dict[str, FieldInfo]:
    """Return the fields of a section that have a flag of the same name."""
    return {
        key: field
        for key, field in fields_of(section).items()
        if any(isinstance(mark, Flag) for mark in field.metadata)
    }


def _with_address(section: Any, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section of an endpoint with what flags add; with another address, flags alone.

    Prices alone leave the rows with the server of the section, and its key goes to no other one.
    """
    known = section if isinstance(section, Mapping) else {}
    same = flags.get("base_url", known.get("base_url")) == known.get("base_url")
    return {**(known if same else {}), **flags}


def sample_settings(data: str) -> dict[str, dict[str, Any]]:
    """Return the columns and the task of ``sample:NAME``, by section; nothing for other data."""
    kind, _, name = data.partition(":")
    file = files("choose.data") / "samples" / name / "sample.toml"
    if kind != "sample" or not name.isidentifier() or not file.is_file():
        return {}
    settings: dict[str, dict[str, Any]] = tomllib.loads(file.read_text("utf-8"))
    section = settings.get("data", {})
    documents = section.get("documents")
    if documents is not None and not documents.startswith("sample:"):
        section["documents"] = f"{data}/{documents}"
    return settings


def only(study: Study, names: Sequence[str]) -> Study:
    """Keep the study's candidates of these names, adding a strategy where there is none yet.

    ``all`` means the study's candidates and every strategy that runs without -s.
    """
    from choose.study.candidates import default_strategies, prompts_of

    known = {c.name or c.strategy: c for c in (*study.candidates, *prompts_of(study))}
    if ALL in names:
        own = [name for name, c in known.items() if c != CandidateSection(strategy=name)]
        more = [name for name in names if name not in (ALL, *default_strategies())]
        names = (*own, *default_strategies(), *more) if own or more else ()
    chosen = tuple(
        known.get(name) or CandidateSection(strategy=name) for name in dict.fromkeys(names)
    )
    return study.model_copy(update={"candidates": chosen})


def _located(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Let relative names of data, models and a metric's file start at the folder of a study file.

    A stored study names its models as they were named where it was run: above `.choose`.
    """
    from choose.store.store import is_store

    if is_store(folder):
        if folder.absolute().parent.name != ".choose":
            return settings
        folder = folder.parent.parent

    def located(section: Any, keys: Sequence[str]) -> Any:
        if not isinstance(section, Mapping):
            return section
        return {k: placed(value) if k in keys else value for k, value in section.items()}

    def placed(value: Any) -> Any:
        several = isinstance(value, list | tuple)
        return [_place(one, folder) for one in value] if several else _place(value, folder)

    settings = dict(settings)
    for name, keys in (("data", FILES), ("models", (*MODELS, "prompt"))):
        if name in settings:
            settings[name] = located(settings[name], keys)
    if (metric := _code_in(settings)) is not None:
        file, _, function = metric.rpartition(":")
        settings["goal"] = {**settings["goal"], "metric": f"{_place(file, folder)}:{function}"}
    if isinstance(candidates := settings.get("candidates"), list):
        settings["candidates"] = [located(candidate, MODELS) for candidate in candidates]
    return settings


def _place(name: Any, folder: Path) -> Any:
    if not isinstance(name, str) or not name.strip() or re.match(r"\w{2,}:", name):
        return name
    try:
        return str(folder / name) if (folder / name).exists() else name
    except (OSError, ValueError):  # no file can have this name; it is refused later
        return name


def check(settings: Mapping[str, Any], origin: str, overrides: Overrides | None = None) -> Study:
    """Validate plain settings as a study; the error names the first bad key, or its flag."""
    check_values(settings, "")
    try:
        study = Study.model_validate(with_providers(settings))
    except ValidationError as invalid:
        raise StudyError(_sentence(invalid, origin, overrides or {})) from invalid
    check_values(study.model_dump(), "")  # numbers may have been given as texts
    return study


def _read(path: Path) -> dict[str, Any]:
    name = str(path)
    check_text(name, "The name of the study file")
    if path.is_dir():
        raise StudyError(f"The study file {name!r} is a folder. Name a TOML file with -c.")
    try:
        return _toml(read_regular(path, LARGEST).decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise StudyError(f"No study file {name!r}. Name one with -c, or leave -c out.") from error
    except RecursionError as error:
        raise StudyError(
            f"Cannot read the study file {name!r}: it is nested too deeply. Write it flat."
        ) from error
    except (OSError, ValueError) as error:
        raise StudyError(f"Cannot read the study file {name!r}: {_reason(error)}.") from error


def _toml(text: str) -> dict[str, Any]:
    if _LONG_KEY.search(text):
        raise RecursionError
    return tomllib.loads(text)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text. Save it again as UTF-8"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if isinstance(error, tomllib.TOMLDecodeError) else "a number is too long"


def _sentence(invalid: ValidationError, origin: str, overrides: Overrides) -> str:
    error = invalid.errors()[0]
    where = [str(part) for part in error["loc"]]
    key, reason = ".".join(where), plain_reason(error)
    if error["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {"candidates": CandidateSection, "endpoints": Endpoint}
        model = parts.get(where[0]) if where[1:] else Study
        known = list(model.model_fields if model else fields_of(where[0]))
        hint = did_you_mean(where[-1], known)
        return f"Unknown key {key!r} in {origin}.{hint} Allowed here: {', '.join(known)}."
    if "endpoints" in where:  # what is in the wrong place there can be a key
        return f"{key} in {origin} cannot be used: {reason}."
    if not where:  # two sections that do not go together
        return f"In {origin}: {reason}."
    if error["type"] in ("model_type", "mapping_type", "dict_type"):
        reason = f"it must be a section, [{key}], with keys of its own"
    subject = f"{key} = {shown(error['input'])} in {origin}"
    place = where[0], where[1] if len(where) > 1 else ""
    if place not in _ELSEWHERE and place[1] in overrides.get(place[0], {}):
        subject = _as_flag(*place, error["input"])
    return f"{subject} cannot be used: {reason}{'' if reason.endswith('?') else '.'}"


def _as_flag(section: str, key: str, value: Any) -> str:
    each = value if isinstance(value, list | tuple) else [value]
    given = ", ".join(shown(re.sub(r"^endpoint:(?=\w+:)", "", str(one)))[1:-1] for one in each)
    flag = key.replace("_", "-")
    return f"--{flag} {given}" if key in flags_of(section) else f"--set {key}={given}"


# Arguments of `choose.compare` that no study file has.
_CALL = ("data", "labels", "test", "strategies", "study", "out", "name", "yes", "progress")

# Keywords that set other keys: what a flag shows for the value, and help.
SHORTCUTS = {
    "quick": (
        "",
        "A first look in two minutes. Every family learns from at most 500 rows and answers "
        "about 50; other settings override it.",
    ),
    "base_url": ("URL", "Address of a server for `model`, such as https://HOST/v1."),
    "api_key_env": ("NAME", "Environment variable with the API key; default: the provider's."),
    "usd_per_million": (
        "PRICES",
        "Dollars for a million tokens: IN,OUT or IN,CACHED,OUT; once a model.",
    ),
}

# Those that make an endpoint.
_ENDPOINT = tuple(SHORTCUTS)[1:]

# Given as the call's own argument, or in a study file alone: `fields` are those of the data.
_ELSEWHERE = {("data", "path"), ("task", "fields")}


def settings_of(texts: Iterable[str]) -> dict[str, Any]:
    """Return what ``--set KEY=VALUE`` sets, by keyword of a call; the last one of a key counts.

    A key may have its section before it, as in ``grid.seeds=5``.
    """
    known, settings = {n: k for n, k in keywords().items() if n != "quick"}, dict[str, Any]()
    for text in texts:
        written, equals, value = text.partition("=")
        section, _, name = written.strip().replace("-", "_").rpartition(".")
        if not equals:
            raise StudyError(
                f"--set {shown(text)} has no value. Write KEY=VALUE, such as --set seeds=5."
            )
        if name not in known or section not in ("", known[name]):
            raise StudyError(
                f"--set {shown(written)} is no key of a study file.{did_you_mean(name, known)} "
                f"Allowed: {', '.join(sorted(known))}."
            )
        table = "Mapping[" in str(getattr(fields_of(known[name]).get(name), "annotation", ""))
        settings[name] = _table(value, name) if table else value.strip()
    return settings


def _table(text: str, name: str) -> Any:
    try:
        return _toml(f"x = {text}")["x"]
    except (RecursionError, ValueError) as error:
        raise StudyError(
            f"--set {name}={shown(text)[1:-1]} cannot be read. Write a table, such as "
            f"--set '{name}={{billing = \"...\"}}'."
        ) from error


def keywords() -> dict[str, str]:
    """Return each keyword with its section of a study file."""
    known = {"quick": "grid", **dict.fromkeys(_ENDPOINT, "endpoints")}
    for section in Study.model_fields:
        names = (name for name in fields_of(section) if (section, name) not in _ELSEWHERE)
        known |= dict.fromkeys(names, section)
    return known


def overrides_of(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort keywords into the sections of a study; None is a keyword that was not given."""
    known, sections = keywords(), dict[str, dict[str, Any]]()
    stated = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        if name not in known:
            raise StudyError(
                f"Unknown keyword {name!r}.{did_you_mean(name, [*known, *_CALL])} "
                f"Known: {', '.join(dict.fromkeys([*_CALL, *known]))}."
            )
        if name in stated and name not in SHORTCUTS:
            text = str(value) if isinstance(value, PurePath) else value
            sections.setdefault(known[name], {})[name] = text
    if given.get("quick"):
        sections["grid"] = {**QUICK, **sections.get("grid", {})}
    if stated.keys() & {*_ENDPOINT}:
        model, sections["endpoints"] = endpoint_settings(
            given.get("model"), *(given.get(name) for name in _ENDPOINT)
        )
        if model is not None:
            sections.setdefault("models", {})["model"] = model
    return sections
