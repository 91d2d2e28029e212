"""The pages of audits by kind of target, as they were approved (see `report/test_approved.py`)."""

from pathlib import Path

import pytest

from check.test_audit import audited
from check.test_non_label_targets import asked, booking, question, shop, summary
from choose.api import plan
from choose.api.notebook import printed
from choose.conformance import pool
from choose.report.blocks import check_blocks
from choose.report.terminal.pages import Page
from choose.schema.check import Check
from report.test_approved import approve
from support.studies import write_csv, write_lines


def labels() -> Check:
    rows = [(e.text, e.target) for e in pool(seed=3, rows=90)]
    rows += [("both say so", "fruit"), ("Both say so", "tool"), ("ask ann@example.com", "tool")]
    rows += [("a key: AKIA" + "B" * 16, "tool"), ("only one", "rare")]
    test = [(e.text, e.target) for e in pool(seed=9, rows=30)] + [(rows[0][0].upper(), rows[0][1])]
    write_csv(Path("asked.csv"), test)
    data = {"data": {"test": "asked.csv"}}
    return plan.check(plan.resolve(write_csv(Path("words.csv"), rows), None, data)).record


def rare() -> Check:
    rows = [(f"note {i} on {i % 7}", "fraud" if i % 33 == 0 else "fine") for i in range(400)]
    return plan.check(plan.resolve(write_csv(Path("rare.csv"), rows))).record


def records() -> Check:
    rows = [booking(i) for i in range(120)]
    rows[10]["target"]["people"], rows[20]["target"]["tree"] = "six", "willow"
    rows[30]["target"]["name"] = "Ann"
    rows.append({**rows[40], "target": {"people": 9}})
    return plan.check(plan.resolve(write_lines("records.jsonl", rows))).record


def texts() -> Check:
    rows = [summary(i) for i in range(60)]
    return plan.check(plan.resolve(write_lines("texts.jsonl", rows))).record


def answers() -> Check:
    rows = [question(i) for i in range(120)]
    rows[4]["answers"], rows[5]["answers"] = [], ["plenty", "lots of them"]
    data = {"data": {"fields": ["passage"]}}
    return plan.check(plan.resolve(write_lines("answers.jsonl", rows), None, data)).record


def documents() -> Check:
    rows = [asked(n) for n in range(60)]
    rows[3]["answers"] = ["nine hundred"]
    pages = [shop(n) for n in range(70)]
    pages.append({**pages[2], "id": "copy"})
    data = {"data": {"documents": write_lines("documents.jsonl", pages)}}
    return plan.check(plan.resolve(write_lines("asked.jsonl", rows), None, data)).record


@pytest.mark.parametrize("of", [labels, rare, records, texts, answers, documents])
def test_pages_are_those_that_were_approved(of):
    record = of().model_copy(update={"seconds": 1.0})
    approve(f"check-{of.__name__}", printed(Page(check_blocks(record))))


@pytest.mark.parametrize("name", ["stars", "german", "japanese", "twelve"])
def test_pages_of_small_files_are_those_that_were_approved(name):
    record = audited(name, Path()).model_copy(update={"seconds": 1.0})
    approve(f"check-{name}", printed(Page(check_blocks(record))))
