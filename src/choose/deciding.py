"""Judge what a store holds, again and again, without any model."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from choose.judge.record import Decision
from choose.store import Store

if TYPE_CHECKING:
    from choose.judge.versus import Versus

# Raise when a record says more of the same evidence, so that older ones are written again.
RECORD = 4


def report(store: str | Path) -> Decision:
    """Judge a stored study again, without any model; from the record where nothing changed."""
    return decide(Store.open(Path(store)))


def report_both(before: str | Path, after: str | Path) -> Versus:
    """Compare two stored studies in pairs, on the rows that both asked; needs no model.

    Raises:
        StoreError: if either is no study, or too few rows are common.
    """
    from choose.matching import Studied, versus

    stores = [Store.open(Path(path)) for path in (before, after)]
    return versus(*(Studied(store, decide(store)) for store in stores))


def texts(store: str | Path) -> dict[str, str]:
    """Return the texts of a study's rows by id; empty where none were kept."""
    rows = Store.open(Path(store)).dataset.examples
    return {id: example.text for id, example in rows.items() if example.text}


def decide(store: Store) -> Decision:
    """Judge what the store holds and write the decision into it."""
    from choose.judge.rule import RULE

    state = f"{version('choose-llm')} {RULE} {RECORD} {store.state()}"
    if (text := store.decided(state)) is not None:
        return Decision.model_validate_json(text)
    from choose.evidence import evidence_of, rule_of
    from choose.judge.verdict import judge
    from choose.provenance import method_of

    looks = store.look(RULE)
    evidence = evidence_of(store)
    judged = judge(evidence, rule_of(store.study), looks=looks, left_out=tuple(store.left_out()))
    decision = judged.model_copy(update={"method": method_of(store, evidence.runs)})
    store.decide(state, decision.model_dump(mode="json", by_alias=True))
    return decision
