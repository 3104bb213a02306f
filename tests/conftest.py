"""Fixtures for every test: a clean process environment, and skips that can be forbidden."""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "stack/telemetry"))

from servers import servers  # noqa: F401 - a fixture for all of them


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
