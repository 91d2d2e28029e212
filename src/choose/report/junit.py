"""A decision as a JUnit file, which most build servers show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from choose.judge.expectations import Expectation
from choose.judge.record import Decision, Gate
from choose.report.safe import clean

# What XML 1.0 cannot hold, escaped or not, beyond what `clean` takes away.
_ILLEGAL = re.compile("[\ufffe\uffff]")


def render_junit(decision: Decision, checks: Sequence[Expectation] = ()) -> str:
    """Return one test case for each expectation and each check of the verdict.

    Only an expectation can fail. A check that does not pass is skipped, with its evidence: it says
    something of the data and the candidates, and may be what was to be expected.
    """
    root = Xml.Element("testsuites", name="choose")
    _suite(root, "expectations", [_expectation(check) for check in checks])
    _suite(root, "checks", [_gate(gate) for gate in decision.gates])
    for key in ("tests", "failures", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: Xml.Element, name: str, cases: Sequence[Xml.Element]) -> None:
    suite = Xml.SubElement(root, "testsuite", name=f"choose {name}", tests=str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("errors", "0")
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    suite.extend(cases)


def _expectation(check: Expectation) -> Xml.Element:
    case = _case("expectations", check.name)
    if not check.met:
        Xml.SubElement(case, "failure", message=_legal(check.sentence), type="expectation")
    return case


def _gate(gate: Gate) -> Xml.Element:
    case = _case("checks", gate.name)
    if gate.status == "pass":
        Xml.SubElement(case, "system-out").text = _legal(gate.evidence)
    else:
        Xml.SubElement(case, "skipped", message=_legal(f"{gate.status}: {gate.evidence}"))
    return case


def _case(group: str, name: str) -> Xml.Element:
    return Xml.Element("testcase", classname=f"choose.{group}", name=_legal(name), time="0")


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", clean(text))
