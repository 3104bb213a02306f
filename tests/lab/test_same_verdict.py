"""The verdict from real servers equals the verdict from the lab's capture of the same minutes, scenario after scenario."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from back_to_back import LOAD, await_recovery

from opslib import lab
from opslib.core.clock import SystemClock
from opslib.core.model import Verdict
from opslib.core.settings import Settings, load_environment
from opslib.core.windows import NS_PER_S, Window, Windows
from opslib.investigate import ask, export_evidence, find_cause
from opslib.lab.waiting import wait_for
from opslib.telemetry import connect

SERVERS = ("elasticsearch", "rsyslog", "prometheus-2", "jaeger")
QUICK = ("edge-delay", "risk-cpu", "ledger-lock", "payment-exception", "bad-release", "healthy")
ANSWER_S = 60.0


@pytest.fixture(scope="module")
def state(servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lab that sends to Jaeger, Prometheus and Elasticsearch beside its capture."""
    folder = tmp_path_factory.mktemp("servers")
    said = {name: dict(servers[name]) for name in SERVERS}
    (folder / "servers.json").write_text(json.dumps(said))
    lab.up(folder / "lab", load=LOAD, servers=folder / "servers.json", ttl_s=7200)
    yield folder / "lab"
    lab.down(folder / "lab")


@dataclass(frozen=True)
class Both:
    """Both verdicts of one scenario, on the same windows; the seconds that the servers' took."""

    scenario: str
    capture: Verdict
    servers: Verdict
    right: bool
    seconds: float

    def alike(self) -> bool:
        return charged(self.capture) == charged(self.servers)

    def line(self) -> str:
        told = "alike" if self.alike() else f"NOT ALIKE: {charged(self.capture)}"
        right = "right" if self.right else "wrong"
        return f"{self.scenario:<26}{charged(self.servers)!s:<44}{told:<12}{right:<7}{self.seconds:5.1f} s"


def charged(verdict: Verdict) -> tuple[str, str]:
    """The kind of a verdict, and whom its first candidate charges."""
    accused = verdict.verdict not in {"no_anomaly", "undetermined"}
    return verdict.verdict, verdict.candidates[0].service if accused else ""


def take_turn(state: Path, scenario: str) -> Both:
    lab.clear(state)
    await_recovery(state)
    lab.inject(state, scenario)
    settings = Settings(cwd=state, lab_state=state)
    found = find_cause("payment", settings=settings)
    windows = found.verdict.windows
    await_servers(settings, windows)
    begin_s = time.monotonic()
    again = find_cause("payment", environment="lab-servers", settings=settings, **asked(windows))
    took_s = time.monotonic() - begin_s
    grade = lab.grade(state, again.verdict.to_dict())
    return Both(scenario, found.verdict, again.verdict, grade.right, took_s)


def asked(windows: Windows) -> dict[str, str]:
    """The windows as words; RFC 3339 with nanoseconds, so that they are the same to the last one."""
    named = {"window": windows.incident, "baseline": windows.baseline}
    return {name: f"{stamp(w.start_ns)}/{stamp(w.end_ns)}" for name, w in named.items() if w}


def stamp(ns: int) -> str:
    seconds, rest = divmod(ns, NS_PER_S)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def await_servers(settings: Settings, windows: Windows) -> None:
    """Wait until a record and a sample from after the windows have come: what lies in them has then come too."""
    sources = connect(load_environment("lab-servers", settings))
    after = Window(windows.incident.end_ns, windows.incident.end_ns + 600 * NS_PER_S)

    def come() -> bool:
        return bool(
            len(sources.logs.logs(after, limit=1).frame) and len(sources.metrics.metrics(after).frame)
        )

    assert wait_for(come, 60, SystemClock(), every_s=0.5), "the servers do not get what the lab sends"


def all_alike(state: Path, scenarios: tuple[str, ...]) -> None:
    turns = []
    print()
    for scenario in scenarios:
        turns.append(take_turn(state, scenario))
        print(turns[-1].line(), flush=True)
    assert all(turn.alike() for turn in turns)
    assert max(turn.seconds for turn in turns) < ANSWER_S


@pytest.mark.real
@pytest.mark.timeout(900)
def test_six_scenarios_get_the_same_verdict_from_servers(state: Path) -> None:
    all_alike(state, QUICK)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_every_scenario_gets_the_same_verdict_from_servers(state: Path) -> None:
    all_alike(state, tuple(sorted(lab.scenario_names())))


@pytest.mark.real
@pytest.mark.timeout(300)
def test_what_is_carried_away_from_servers_answers_the_same_bytes(state: Path, tmp_path: Path) -> None:
    settings = Settings(cwd=state, lab_state=state)
    windows = find_cause("payment", settings=settings).verdict.windows
    await_servers(settings, windows)
    live = find_cause("payment", environment="lab-servers", settings=settings, **asked(windows))
    question = ask("payment", "lab-servers", settings=settings, **asked(windows))
    again = find_cause("payment", capture=export_evidence(tmp_path / "out", question))
    assert json.dumps(live.verdict.to_dict()) == json.dumps(again.verdict.to_dict())
    assert {note.kind for note in again.evidence.notes} == {
        "jaeger",
        "elasticsearch",
        "prometheus",
        "capture",
    }
