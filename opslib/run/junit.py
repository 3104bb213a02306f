"""`junit.xml`: one test case per code cell and one for the verdict, so any CI shows a run as it shows tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from opslib.core.outcome import Outcome
from opslib.run.events import CellRecord
from opslib.run.record import Ended

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# XML 1.0 has no way at all to write these, not even escaped.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LIMIT = 10_000
_BAD = {"error", "interrupted", "timed_out", "kernel_died"}


def plain(text: str) -> str:
    """Return text without terminal colours and without what XML cannot hold, bounded."""
    return _NO_XML.sub("\ufffd", _ANSI.sub("", text))[:_LIMIT]


def junit_xml(record: Mapping[str, Any], end: Ended, cells: Iterable[CellRecord]) -> str:
    """Return the JUnit file of a run; `record` is run.json."""
    import junitparser  # noqa: PLC0415 - only a finished run writes one

    suite = junitparser.TestSuite(plain(str(record["notebook"])))
    suite.timestamp = str(record["started"])
    suite.add_property("id", plain(str(record["id"])))
    for cell in cells:
        suite.add_testcase(_cell_case(cell, plain(str(record["notebook"])), junitparser))
    suite.add_testcase(_verdict_case(end, plain(str(record["notebook"])), junitparser))
    suite.update_statistics()
    report = junitparser.JUnitXml(record["id"])
    report.add_testsuite(suite)
    return str(report.tostring(), "utf-8")


def _cell_case(cell: CellRecord, notebook: str, junitparser: Any) -> Any:
    number = "given" if cell.number is None else cell.number
    case = junitparser.TestCase(f"[{number}] {plain(cell.title)}", notebook, cell.duration_s)
    if cell.status in _BAD:
        element = junitparser.Error(plain(cell.evalue or cell.status), plain(cell.ename or cell.status))
        element.text = plain(f"{cell.ename}: {cell.evalue}" if cell.ename else cell.status)
        case.result = [element]
    elif cell.status in {"skipped", "not_run"}:
        case.result = [junitparser.Skipped(cell.status.replace("_", " "))]
    return case


def _verdict_case(end: Ended, notebook: str, junitparser: Any) -> Any:
    case = junitparser.TestCase("verdict", notebook)
    message = plain(end.sentence)
    if end.outcome is Outcome.FAIL:
        case.result = [junitparser.Failure(message, "fail")]
    elif end.outcome not in {Outcome.PASS, Outcome.PLANNED}:
        case.result = [junitparser.Error(message, str(end.outcome))]
    return case
