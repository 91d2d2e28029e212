"""The decision of a study that this user's choose wrote, and no other one."""

from __future__ import annotations

import secrets
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from choose.errors import StoreError
from choose.files import read_text, write_atomic
from choose.models.environment_settings import cache_dir
from choose.schema.decision import Decision
from choose.store.store import Store

# Raise when a record derives more from the same evidence, so that older records are rewritten.
RECORD = 17


def state_of(store: Store) -> str:
    """Identify what a decision depends on, and who made it.

    A key of this user is part of it: a decision that came with a folder is judged again, so that
    none of its sentences and commands is shown.
    """
    from choose.judge.goal import RULE

    state = f"{_own_key()} {version('choose-llm')} {RULE} {RECORD} {store.state()}"
    if not store.dataset.task.labels:  # the rule by which answers are scored may have changed
        state += f" {store.dataset.task.scoring}"
    return state


def _own_key() -> str:
    """Return a secret of this user, kept in the cache; a new one where that cannot be written."""
    file = cache_dir() / "decisions.key"
    with suppress(OSError, ValueError):
        return read_text(file)
    key = secrets.token_hex()

    def write(path: Path) -> None:
        path.touch(mode=0o600)
        path.write_text(key, encoding="utf-8")

    with suppress(StoreError):
        write_atomic(file, write)
    return key


def own_decision(store: Store) -> Decision | None:
    """Return the decision of a study as it is now, if this user's choose wrote it."""
    text = store.decided(state_of(store))
    with suppress(ValueError):  # written by another build of choose: judged again
        return None if text is None else Decision.model_validate_json(text)
    return None
