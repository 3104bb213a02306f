"""`opslib doctor`: each check stands alone and says what to do."""

from __future__ import annotations

import sys

import pytest

from opslib.core.checks import Check
from opslib.core.errors import SourceError
from opslib.core.outcome import Outcome
from opslib.core.settings import Settings
from opslib.run import checkup
from opslib.run.checkup import check_client, check_packages, check_python, doctor

TOML = '[environments.prod]\ntraces = {kind = "capture", path = "x"}\n[environments.bare]\nnamespace = "x"\n'


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "opslib.toml").write_text(TOML)
    return Settings.from_environ({}, tmp_path)


@pytest.fixture
def quick(monkeypatch):
    """No kernel is started."""
    monkeypatch.setattr(checkup, "check_kernel", lambda: Check("kernel", Outcome.PASS, "x"))


def outcomes(checks) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in checks}


@pytest.mark.usefixtures("quick")
def test_sources_are_asked_when_the_environment_is_known(settings):
    asked = []

    def preflight(environment, given):
        asked.append((environment, given))
        return [Check("traces", Outcome.NO_DATA, "no spans")]

    found = outcomes(doctor("prod", settings, preflight=preflight))
    assert asked == [("prod", settings)]
    assert found["environment prod"] is Outcome.PASS
    assert found["traces"] is Outcome.NO_DATA
    assert found["kernel"] is Outcome.PASS
    assert {"python", "packages", "kubernetes client", "docker client"} <= set(found)


@pytest.mark.usefixtures("quick")
def test_a_cluster_that_an_environment_names_is_asked_too(tmp_path, settings):
    (tmp_path / "opslib.toml").write_text(
        '[environments.prod]\nkubeconfig = "nowhere"\ntraces = {kind = "capture", path = "c"}\n'
    )
    checks = doctor("prod", settings, preflight=lambda *_: [])
    (told,) = [check for check in checks if check.name == "cluster"]
    assert told.outcome is Outcome.FAIL
    assert "cannot use the kubeconfig" in told.statement


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("name", "words"), [("lab", "no lab is running"), ("bare", "names no source")])
def test_an_environment_that_cannot_answer_is_told_and_not_asked(settings, name, words):
    checks = doctor(name, settings, preflight=lambda *_: pytest.fail("asked"))
    (told,) = [check for check in checks if check.name == f"environment {name}"]
    assert told.outcome is Outcome.FAIL
    assert words in told.statement
    assert told.hint


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("error", "outcome"),
    [(SourceError("down", hint="start it"), Outcome.FAIL), (KeyError("bug"), Outcome.ERROR)],
)
def test_sources_that_break_leave_the_other_checks(settings, error, outcome):
    def preflight(*_):
        raise error

    found = outcomes(doctor("prod", settings, preflight=preflight))
    assert found["sources"] is outcome
    assert "docker client" in found


@pytest.mark.parametrize("error", [SourceError("no"), OSError("no")])
def test_a_check_that_breaks_is_an_error_of_its_own(settings, monkeypatch, error):
    def broken():
        raise error

    monkeypatch.setattr(checkup, "check_kernel", broken)
    assert outcomes(doctor("lab", settings))["kernel"] is Outcome.ERROR


def test_an_old_python_is_told(monkeypatch):
    assert check_python().outcome is Outcome.PASS
    monkeypatch.setattr(checkup, "MIN_PYTHON", (9, 0))
    assert check_python().outcome is Outcome.FAIL


def test_absent_packages_are_told_with_the_extra_that_brings_them(monkeypatch):
    assert check_packages()[0].outcome is Outcome.PASS
    monkeypatch.setattr(checkup, "NEEDED", {"no_such_package": "notebooks"})
    (check,) = check_packages()
    assert check.outcome is Outcome.FAIL
    assert "notebooks" in check.hint
    monkeypatch.setattr(checkup, "NEEDED", {"no_such_package": ""})
    assert check_packages()[0].hint == "install opslib again"


def test_an_absent_client_is_no_fault(monkeypatch):
    monkeypatch.setattr(checkup, "CLIENTS", {"no_such_client": ("cluster", "no-such-command")})
    check = check_client("no_such_client")
    assert (check.outcome, check.hint) == (Outcome.PASS, "pip install -e '.[cluster]'")


def test_a_client_that_is_there_is_told_with_its_version(monkeypatch):
    monkeypatch.setattr(checkup, "CLIENTS", {"pandas": ("cluster", sys.executable)})
    assert check_client("pandas").statement.startswith("pandas ")


@pytest.mark.kernel
def test_a_kernel_is_started_and_ended():
    check = checkup.check_kernel()
    assert check.outcome is Outcome.PASS
    assert "loads opslib" in check.statement
