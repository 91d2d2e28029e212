"""Resolve a study: the file, with flags laid over it, checked in one place."""

from __future__ import annotations

import inspect
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from choose.errors import StudyError, did_you_mean
from choose.models.endpoints.providers import endpoint_settings, is_usual, with_providers
from choose.schema.study_sections import FILES, Flag
from choose.study.config import CandidateSection, Specs, Study
from choose.tasks.scoring import is_function
from choose.untrusted import check_text, check_values, number, plain_reason, shown

# Applies to the commands of its folder where `-c` names no other.
HERE = Path("choose.toml")

# What a study file may set that no flag named: no code, no address, no key.
_UNNAMED = ("data", "task", "goal", "grid")

# Bytes of a study file; one that describes 1,000 labels has about 100,000.
LARGEST = 1_000_000

# A dotted key of 50 parts and more; parsing takes the square of their number.
_LONG_KEY = re.compile(r"(?:[\w\"'-]{1,100}[ \t]{0,9}\.[ \t]{0,9}){50}")

# The word of -s for every strategy that runs without it.
ALL = "all"

# Keys that name models, which may be folders.
MODELS = tuple(Specs.model_fields)

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str | None, what: str) -> float | None:
    """Read ``90``, ``90s``, ``10m`` or ``2h`` as seconds; `what` names it in the message."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smh]?)", text.strip().lower())
    if not match or not any(digit in "123456789" for digit in match[1]):
        raise StudyError(f"{what} {shown(text)} is no time. Write it like 90s, 10m or 2h.")
    return number(match[1], what, high=1e9) * _UNITS[match[2] or "s"]


# Settings of a study for a first look: two rounds, with every family in them.
QUICK: Mapping[str, Any] = {"budget_seconds": 120.0, "rounds": 2}

Overrides = Mapping[str, Mapping[str, Any]]


def load_study(
    path: Path | Mapping[str, Any] | None = None, overrides: Overrides | None = None
) -> Study:
    """Read a study file, or take its settings as a mapping, and apply `overrides`.

    `overrides` is section -> key -> value; None means that the flag was not given. `path` may
    be the folder of a stored study, which names no code and no address: those come from
    `overrides`. A relative path in a study file is relative to the file's
    folder if the target exists there, else to the working folder.
    """
    if isinstance(path, Path):
        from choose.store.destination import is_store

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
    origin = str(path) if isinstance(path, Path) else "the settings"
    return check(settings, origin, given_as_flags(overrides or {}))


def study_file_here() -> Path | None:
    """Return the study file of the working folder, if there is one.

    The folder may be someone else's, so what could run code, connect or send a key counts only in a
    file that the user named.
    """
    if not HERE.is_file():
        return None
    settings = _read(HERE)
    what = [f"[{key}]" for key in settings if key in Study.model_fields and key not in _UNNAMED]
    if (metric := _code_in(settings)) is not None:
        what.append(f"the metric {shown(metric)}")
    if what:
        raise StudyError(
            f"{HERE} in this folder sets {', '.join(what)}, which counts only in a file that you "
            f"name. If you trust it, add -c {HERE}; unnamed it may set [data], [task], [goal] with "
            "a metric of choose, and [grid]."
        )
    return HERE


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
    if metric is not None and overrides.get("goal", {}).get("metric") is None:
        raise StudyError(
            f"The study in {str(folder)!r} is scored by {shown(metric)}. A stored study runs no "
            f"code: if you trust this function, add --metric {shlex.quote(metric)}."
        )
    found = {key: value for key, value in settings.items() if key != "run"}
    if isinstance(endpoints := settings.get("endpoints"), Mapping):
        given = overrides.get("endpoints", {})
        found["endpoints"] = {
            name: section if is_usual(name, section) else {**section, "api_key_env": None}
            for name, section in endpoints.items()
            if isinstance(section, Mapping)
            and (
                is_usual(name, section)
                or given.get(name, {}).get("base_url", "") == section.get("base_url")
            )
        }
    return found


def study_fields(section: str) -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield a flag's parameter, the key it sets and the field, for each flag of a section."""
    known: dict[str, FieldInfo] = getattr(
        Study.model_fields[section].annotation, "model_fields", {}
    )
    for key, field in known.items():
        for mark in field.metadata:
            if isinstance(mark, Flag):
                yield mark.name or key, key, field


def given_as_flags(overrides: Overrides) -> dict[str, str]:
    """Return how each key that was given is written on a command line, up to its value."""
    flags = {
        f"{section}.{key}": f"--{name.replace('_', '-')} "
        for section in overrides
        if section in Study.model_fields
        for name, key, _ in study_fields(section)
    }
    return {
        f"{section}.{key}": flags.get(f"{section}.{key}", f"--set {key}=")
        for section, values in overrides.items()
        for key, value in values.items()
        if value is not None and section != "endpoints" and (section, key) not in _ELSEWHERE
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
    from choose.store.destination import is_store

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

    found = dict(settings)
    for name, keys in (("data", FILES), ("models", (*MODELS, "prompt"))):
        if name in settings:
            found[name] = located(settings[name], keys)
    if (metric := _code_in(settings)) is not None:
        file, _, function = metric.rpartition(":")
        found["goal"] = {**settings["goal"], "metric": f"{_place(file, folder)}:{function}"}
    if isinstance(candidates := settings.get("candidates"), list):
        found["candidates"] = [located(candidate, MODELS) for candidate in candidates]
    return found


def _place(name: Any, folder: Path) -> Any:
    if not isinstance(name, str) or not name.strip() or re.match(r"\w{2,}:", name):
        return name
    try:
        return str(folder / name) if (folder / name).exists() else name
    except (OSError, ValueError):  # no file can have this name; it is refused later
        return name


def check(
    settings: Mapping[str, Any], origin: str, flags: Mapping[str, str] | None = None
) -> Study:
    """Validate plain settings as a study; the error names the first bad key, or its flag."""
    check_values(settings, "")
    try:
        return Study.model_validate(with_providers(settings))
    except ValidationError as invalid:
        raise StudyError(_sentence(invalid, origin, flags or {})) from invalid


def _read(path: Path) -> dict[str, Any]:
    name = str(path)
    check_text(name, "The name of the study file")
    try:
        # Devices and pipes may never end.
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "not a regular file"
            raise StudyError(f"The study file {name!r} is {what}. Name a TOML file with -c.")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise StudyError(
                f"The study file {name!r} has more than {LARGEST:,} bytes. It holds settings; "
                "name the rows under [data] path."
            )
        return _toml(content.decode("utf-8-sig"))
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


def _sentence(invalid: ValidationError, origin: str, flags: Mapping[str, str]) -> str:
    error = invalid.errors()[0]
    where = [str(part) for part in error["loc"]]
    key = ".".join(where)
    if error["type"] == "extra_forbidden":
        known = _keys(where[:-1])
        hint = did_you_mean(where[-1], known)
        return f"Unknown key {key!r} in {origin}.{hint} Allowed here: {', '.join(known)}."
    if "endpoints" in where:  # what is in the wrong place there can be a key
        return f"{key} in {origin} cannot be used: {plain_reason(error)}."
    if not where:  # two sections that do not go together
        return f"In {origin}: {plain_reason(error)}."
    reason = plain_reason(error)
    if error["type"] in ("model_type", "mapping_type", "dict_type"):
        reason = f"it must be a section, [{key}], with keys of its own"
    value, given = shown(error["input"]), error["input"]
    flag = flags.get(key) or flags.get(key.rpartition(".")[0])
    if flag is not None and isinstance(given, list | tuple):  # of a flag that is repeated
        typed = (re.sub(r"^endpoint:(?=\w+:)", "", str(one)) for one in given)
        value = ", ".join(map(shown, typed))
    subject = f"{key} = {value} in {origin}" if flag is None else f"{flag}{value}"
    return f"{subject} cannot be used: {reason}{'' if reason.endswith('?') else '.'}"


def _keys(where: list[str]) -> list[str]:
    model: type[BaseModel] = Study
    for part in where:
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            break
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument
    return None


# Arguments of `choose.compare` that no study file has.
_CALL = ("data", "labels", "test", "strategies", "study", "out", "name", "yes", "progress")

# One endpoint, as flags.
_ENDPOINT = ("base_url", "api_key_env", "usd_per_million")

# Given as the call's own argument, or in a study file alone: `fields` are those of the data.
_ELSEWHERE = {("data", "path"), ("task", "fields")}


def settings_of(texts: Iterable[str]) -> dict[str, Any]:
    """Return what ``--set KEY=VALUE`` sets, by keyword of a call; the last one of a key counts.

    A key may have its section before it, as in ``grid.seeds=5``.
    """
    known, found = {n: k for n, k in keywords().items() if n != "quick"}, dict[str, Any]()
    for text in texts:
        written, equals, value = text.partition("=")
        section, _, name = written.strip().replace("-", "_").rpartition(".")
        if not equals:
            raise StudyError(
                f"--set {shown(text)} has no value. Write KEY=VALUE, such as --set seeds=5."
            )
        if name not in known or section not in ("", known[name][0]):
            raise StudyError(
                f"--set {shown(written)} is no key of a study file.{did_you_mean(name, known)} "
                f"Allowed: {', '.join(sorted(known))}."
            )
        found[name] = _typed(value.strip(), name, str(known[name][1].annotation))
    return found


def _typed(text: str, name: str, annotation: str) -> Any:
    """Read a value by the type of its key: text, a number, a list with commas, or a TOML table."""
    if "Mapping[" in annotation:
        try:
            return _toml(f"x = {text}")["x"]
        except (RecursionError, ValueError) as error:
            raise StudyError(
                f"--set {name}={shown(text)[1:-1]} cannot be read. Write a table, such as "
                f"--set '{name}={{billing = \"...\"}}'."
            ) from error
    if "tuple[" in annotation:
        parts = [part.strip() for part in text.strip("[]").split(",")]
        return [_number(part, annotation) for part in parts if part]
    return _number(text, annotation)


def _number(text: str, annotation: str) -> Any:
    """Return a number where the type takes no text; what is none stays text, to be refused."""
    if "str" in annotation or "Literal" in annotation:
        return text
    try:
        figure = float(text)
    except ValueError:
        return text
    return int(figure) if figure.is_integer() else figure


def keywords() -> dict[str, tuple[str, inspect.Parameter]]:
    """Return each keyword with its section and the parameter it makes."""
    known = {"budget": ("grid", _parameter("budget", float | str | None))}
    known["quick"] = ("grid", _parameter("quick", bool | None))
    several: Any = str | tuple[str, ...] | None
    known |= {name: ("endpoints", _parameter(name, several)) for name in _ENDPOINT}
    for section, field in Study.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        types = get_type_hints(model)
        for name in model.model_fields:
            if (section, name) not in _ELSEWHERE and name != "budget_seconds":
                known[name] = (section, _parameter(name, types[name]))
    return known


def overrides_of(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort keywords into the sections of a study; None is a keyword that was not given."""
    known, sections = keywords(), dict[str, dict[str, Any]]()
    for name, value in given.items():
        if name not in known:
            raise StudyError(
                f"Unknown keyword {name!r}.{did_you_mean(name, [*known, *_CALL])} "
                f"Known: {', '.join(dict.fromkeys([*_CALL, *known]))}."
            )
        key, value = _budget(value) if name == "budget" else (name, _listed(known[name][1], value))
        if name not in (*_ENDPOINT, "quick"):
            sections.setdefault(known[name][0], {})[key] = value
    if given.get("quick"):
        grid = {k: v for k, v in sections.get("grid", {}).items() if v is not None}
        sections["grid"] = {**QUICK, **grid}
    if any(given.get(name) is not None for name in _ENDPOINT):
        model, sections["endpoints"] = endpoint_settings(
            given.get("model"), *(given.get(name) for name in _ENDPOINT)
        )
        sections.setdefault("models", {})["model"] = model
    return sections


def _listed(parameter: inspect.Parameter, value: Any) -> Any:
    """Return a path as its name, and a single value as a list where the keyword takes a list."""
    value = str(value) if isinstance(value, PurePath) else value
    takes_list = "tuple[" in str(parameter.annotation)
    single = isinstance(value, str | int | float) and not isinstance(value, bool)
    return (value,) if takes_list and single else value


def _budget(value: Any) -> tuple[str, float | None]:
    text = str(value) if isinstance(value, int | float) else value
    return "budget_seconds", seconds(text, "--budget")


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )
