"""Fixtures for every test: a clean process environment, and skips that can be forbidden."""

import os
import signal
import sys
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

sys.path.insert(0, str(Path(__file__).parent / "stack/telemetry"))

from servers import servers  # noqa: F401 - a fixture for all of them

# They count or time what comes of a load: none runs beside another.
MEASURING = ("tests/conformance/test_shop.py", "tests/lab/test_demo.py", "tests/lab/test_lab_processes.py")


class Apart(LoadFileScheduling):
    """Under `--dist loadfile` the tests of a file run on one worker, and all that measure on the same."""

    def _split_scope(self, nodeid: str) -> str:
        return "measuring" if nodeid.startswith(MEASURING) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> Apart | None:
    return Apart(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_configure() -> None:
    """Take back signals that whoever started us ignores (nohup, a shell's `&`): tests and their processes are sent them."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--forbid-skips", action="store_true", help="A skipped test is a failed one.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and item.config.getoption("--forbid-skips") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where skips are forbidden: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the caller's reaches a test."""
    for name in list(os.environ):
        if name.startswith(("OPSLIB_", "OTEL_", "KUBECONFIG", "DOCKER_")):
            monkeypatch.delenv(name)
