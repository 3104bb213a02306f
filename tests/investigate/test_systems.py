"""Each system of an environment is asked by itself, and one that is gone says what is lost without it."""

import pandas as pd
import pytest

from opslib.core.checks import Check
from opslib.core.errors import SourceError
from opslib.core.evidence import SourceNote
from opslib.core.outcome import Outcome
from opslib.core.settings import Settings
from opslib.investigate import check_systems
from opslib.telemetry import backends
from opslib.telemetry.protocols import Frame
from opslib.testing import ManualClock


class System:
    """A package of telemetry: what it connects to, and how that is."""

    def __init__(self, *, error=None):
        self.error = error

    def connect(self, settings, environment, where, clock):
        return self

    def check(self, settings, environment, where, clock):
        if self.error:
            raise SourceError(self.error, hint="is it running?")
        return (Check(settings.kind, Outcome.PASS, f"{settings.kind} 1.2.3 answers"),)

    def services(self, window):
        return ("payment",)

    def log_rates(self, window, step_s):
        return Frame(pd.DataFrame({"service_name": ["payment"]}), SourceNote("log", "x", "", "", 1))


@pytest.fixture
def asked(tmp_path, monkeypatch):
    (tmp_path / "opslib.toml").write_text(
        "[environments.prod]\ntraces = {kind = 'jaeger'}\nlogs = {kind = 'elasticsearch'}\n"
        "[environments.prod.services.payment]\n"
    )

    def ask(**systems):
        monkeypatch.setattr(backends, "_package", lambda signal, settings, where: systems[settings.kind])
        return check_systems("prod", settings=Settings(cwd=tmp_path), clock=ManualClock())

    return ask


def test_every_system_tells_and_the_names_are_compared(asked):
    found = asked(jaeger=System(), elasticsearch=System())
    assert [(c.name, c.outcome) for c in found] == [
        ("metrics", Outcome.NO_DATA), ("changes", Outcome.NO_DATA), ("jaeger", Outcome.PASS),
        ("elasticsearch", Outcome.PASS), ("service map", Outcome.PASS),
    ]  # fmt: skip


def test_one_that_is_gone_leaves_the_others_to_tell_and_says_what_is_lost(asked):
    found = {c.name: c for c in asked(jaeger=System(), elasticsearch=System(error="cannot connect"))}
    assert found["jaeger"].outcome is Outcome.PASS
    assert found["logs"].outcome is Outcome.ERROR
    assert "is it running?; without logs nothing says why calls fail" in found["logs"].hint
    assert found["service map"].outcome is Outcome.NO_DATA


def test_an_environment_that_is_not_there_is_one_line(tmp_path):
    (check,) = check_systems("prod", settings=Settings(cwd=tmp_path))
    assert check.outcome is Outcome.ERROR
