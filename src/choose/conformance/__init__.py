"""Checks that every strategy must pass, built-in or third-party.

In your tests::

    import pytest
    from choose.conformance import CHECKS

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(lambda seed: MyStrategy(seed=seed))

`CHECKS` are for strategies that answer with labels. `TEXT_CHECKS` are for those that answer with
records, texts, answers to questions or rankings of documents, as their `kinds` say; they pass where
a strategy answers none of these. A language model passes them in float32: in bfloat16 an answer can
differ between batches.

Each check raises AssertionError if the strategy breaks a rule. Use small models: a check fits a
few times on about thirty short rows.
"""

from choose.conformance.label_checks import CHECKS as CHECKS
from choose.conformance.label_checks import HOSTILE as HOSTILE
from choose.conformance.label_checks import PICKLES as PICKLES
from choose.conformance.label_checks import TASK as TASK
from choose.conformance.label_checks import WORDS_OF as _WORDS  # noqa: F401
from choose.conformance.label_checks import Factory as Factory
from choose.conformance.label_checks import pool as pool
from choose.conformance.label_checks import questions as questions
from choose.conformance.text_checks import QUESTIONS as QUESTIONS
from choose.conformance.text_checks import RANKED as RANKED
from choose.conformance.text_checks import RECORDS as RECORDS
from choose.conformance.text_checks import SHELF as SHELF
from choose.conformance.text_checks import TEXT_CHECKS as TEXT_CHECKS
from choose.conformance.text_checks import text_rows as text_rows
