"""Each system of an environment is asked by itself, and one that is gone says what is lost without it."""

import pandas as pd
import pytest

from opslib.core.checks import Check
from opslib.core.errors import SourceError
from opslib.core.evidence import SourceNote
from opslib.core.outcome import Outcome
from opslib.core.settings import Settings
from opslib.investigate import cause, check_systems
from opslib.telemetry import Sources
from opslib.telemetry.protocols import Frame
from opslib.testing import ManualClock


class System:
    def __init__(self, name, *, error=None):
        self.name, self.error = name, error

    def check(self):
        if self.error:
            raise SourceError(self.error, hint="is it running?")
        return (Check(self.name, Outcome.PASS, f"{self.name} 1.2.3 answers"),)

    def services(self, window):
        return ("payment",)

    def log_rates(self, window, step_s):
        return Frame(pd.DataFrame({"service_name": ["payment"]}), SourceNote("log", "x", "", "", 1))


@pytest.fixture
def asked(tmp_path, monkeypatch):
    (tmp_path / "opslib.toml").write_text("[environments.prod.services.payment]\n")

    def ask(*systems):
        monkeypatch.setattr(cause, "connect", lambda environment, clock: Sources(*systems))
        return check_systems("prod", settings=Settings(cwd=tmp_path), clock=ManualClock())

    return ask


def test_every_system_tells_and_the_names_are_compared(asked):
    found = asked(System("jaeger"), System("elasticsearch"))
    assert [(c.name, c.outcome) for c in found] == [
        ("jaeger", Outcome.PASS), ("elasticsearch", Outcome.PASS), ("metrics", Outcome.NO_DATA),
        ("changes", Outcome.NO_DATA), ("service map", Outcome.PASS),
    ]  # fmt: skip


def test_one_that_is_gone_leaves_the_others_to_tell_and_says_what_is_lost(asked):
    found = {c.name: c for c in asked(System("jaeger"), System("logs", error="cannot connect"))}
    assert found["jaeger"].outcome is Outcome.PASS
    assert found["logs"].outcome is Outcome.ERROR
    assert "is it running?; without logs nothing says why calls fail" in found["logs"].hint
    assert found["service map"].outcome is Outcome.NO_DATA


def test_an_environment_that_is_not_there_is_one_line(tmp_path):
    (check,) = check_systems("prod", settings=Settings(cwd=tmp_path))
    assert check.outcome is Outcome.ERROR
