"""Which folder a study belongs in, how it differs from the study there, and the newest one."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from choose.errors import StoreError
from choose.files import digest, read_text
from choose.formatting import plural
from choose.outside_values import shown, shown_key
from choose.schema.inventory import StoredStudy
from choose.store.store import STUDY, Store, is_store
from choose.study.config import Study
from choose.types import Dataset

# The folder of all studies that have no --out.
HOME = Path(".choose")

# Settings that make no other study: limits of one command, and where it runs. Rows are compared by
# their fingerprint, whatever their file and columns.
_LIMITS: Any = {
    "data": True,
    "run": True,
    "grid": {"budget", "max_usd"},
    "endpoints": {
        "__all__": {"api_key_env", "api_key_header", "concurrency", "timeout", "reuse_days"}
    },
}

# Differences that a message lists.
_LISTED = 3


def stored_in(settings: object) -> Path | None:
    """Return the stored study that a study file belongs to, or whose folder was named instead."""
    if not isinstance(settings, str | Path):
        return None
    folder = Path(settings)
    if not folder.is_dir():
        if folder.name != STUDY:
            return None
        folder = folder.parent
    return folder if (folder / STUDY).is_file() and is_store(folder) else None


def folder_of(study: Study, dataset: Dataset, home: Path | None) -> Path:
    """Return the folder of a study without --out: one for each data set and settings.

    `home` is the stored study that its settings come from: it goes on there unless settings or
    rows changed. A changed budget goes on in the same folder.
    """
    if home is not None and not differences(home, study, dataset):
        return home
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in dataset.name).strip("-")[:60]
    return HOME / f"{safe or 'study'}-{dataset.fingerprint[:8]}-{digest(settings_of(study))[:6]}"


def settings_of(study: Study) -> dict[str, Any]:
    """Return the settings that identify a study, by dotted key; defaults are left out."""
    plain = study.model_dump(mode="json", exclude_defaults=True, exclude=_LIMITS)
    named = {c.get("name") or c["strategy"]: c for c in plain.pop("candidates", ())}
    plain |= {"candidates": ", ".join(sorted(named)) or None, "candidate": named}
    return dict(flat(plain))


def flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", value


def differences(folder: Path, study: Study, dataset: Dataset) -> list[str]:
    """Say how the study in a folder differs from this one; empty for the same or none.

    What is missing or damaged there does not differ: a run writes it anew.
    """
    if not is_store(folder):
        return []
    store = Store(folder)
    rows = store.fingerprint
    documents = " or documents" if dataset.task.facts().get("documents") else ""
    other = f"other rows{documents}, or another division"
    differing = [] if rows in (None, dataset.fingerprint) else [other]
    try:
        there = settings_of(Study.model_validate(store.study))
    except StoreError:
        return differing
    except ValidationError:
        return [*differing, "settings of another version of choose"]
    here = settings_of(study)
    names = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    if "candidates" in names:
        names = [name for name in names if not name.startswith("candidate.")]
    for name in names:
        sides = [shown(side[name]) if name in side else "the default" for side in (there, here)]
        differing.append(f"{shown_key(name)}: {sides[0]} there, {sides[1]} here")
    return differing


def check_same_study(folder: Path, study: Study, dataset: Dataset) -> None:
    """Refuse a folder that holds another study.

    Raises:
        StoreError: saying what differs, before anything is run or written.
    """
    if differing := differences(folder, study, dataset):
        more = len(differing) - _LISTED
        listed = [*differing[:_LISTED], *([plural(more, "more difference")] if more > 0 else [])]
        raise StoreError(
            f"{str(folder)!r} holds another study ({'; '.join(listed)}), which is never "
            "overwritten. Name another folder with --out NAME, or leave --out out."
        )


def take_over(store: Store, home: Path | None = None) -> None:
    """Copy what studies of the same rows know: finished trials and looks.

    These are the studies in `.choose` for one that lies there too, and `home`, whose settings it
    has. A trial has the same key wherever its result would be the same, so that a study with a
    further candidate or another margin repeats none. Looks are at the rows, whatever the folder.
    """
    trials = [trial for trial in store.grid()[1] if store.get(trial) is None]
    for other in giving_stores(store.path, home):
        if (
            other.path.absolute() != store.path.absolute()
            and other.fingerprint == store.fingerprint
        ):
            store.add_looks(other.looks())
            for run in filter(None, map(other.get, trials)):
                if run.error is None:
                    store.add(run)


def giving_stores(folder: Path, home: Path | None = None) -> list[Store]:
    """Return the studies from which one in a folder takes over what they know."""
    inside = folder.absolute().parent == HOME.absolute()
    near = [Path(study.path) for study in stored_studies()] if inside else []
    return [Store(path) for path in (*filter(None, [home]), *near)]


def stored_studies(home: Path = HOME) -> list[StoredStudy]:
    """Return the studies directly below a folder, the newest first.

    A folder in which a study was begun and whose settings were never written is none.
    """
    studies = []
    for folder in home.iterdir() if home.is_dir() else ():
        files = [folder / name for name in (STUDY, "grid.json", "decision.json")]
        if is_store(folder) and (times := [f.stat().st_mtime for f in files if f.is_file()]):
            written = datetime.fromtimestamp(max(times), UTC)
            studies.append(StoredStudy(path=str(folder), written=written, **_decided(folder)))
    return sorted(studies, key=lambda study: study.written, reverse=True)


def _decided(folder: Path) -> dict[str, Any]:
    try:
        decision = json.loads(read_text(folder / "decision.json"))
        verdict = decision["verdict"]
        named = verdict["recommended"] or verdict["use_meanwhile"]
        cards = {card["candidate"]: card for card in decision["scorecards"]}
        odds = verdict["chance"] if verdict["usable"] else {}
        return {
            "data": decision["dataset"]["name"],
            "metric": decision["goal"]["metric"],
            "kind": verdict["kind"],
            "candidate": named,
            "score": cards[named]["accuracy"]["value"],
            "chance": odds.get(cards[named]["family"]),
            "unmeasured": tuple(verdict["unmeasured"]),
        }
    except (OSError, ValueError, RecursionError, LookupError, AttributeError, TypeError):
        return {}


def numbered_study(number: int = 1) -> Path:
    """Return the study in `.choose` that was written last, or the one before it (2), and so on."""
    studies = stored_studies()
    if not studies:
        raise StoreError(
            f"There is no study in {str(HOME)!r}. Run choose compare DATA, or name the folder of "
            "a study: choose report STORE."
        )
    if not 1 <= number <= len(studies):
        raise StoreError(
            f"There is no study {number} in {str(HOME)!r}, which holds {len(studies)}. "
            "choose report lists them."
        )
    return Path(studies[number - 1].path)
