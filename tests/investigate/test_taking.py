"""Evidence taken from servers gives the same verdict again, byte for byte, wherever it is carried."""

import json

import pytest

from opslib.core.errors import UsageError, WindowError
from opslib.core.evidence import SourceNote
from opslib.core.model import Onset
from opslib.core.settings import Settings
from opslib.diagnosis.onset import Course
from opslib.investigate import ask, export_evidence, find_cause
from opslib.investigate import cause as module
from opslib.telemetry import Sources
from opslib.telemetry.capture import open_capture
from opslib.telemetry.capture.occasion import Occasion
from opslib.testing import ManualClock


class Server:
    """A server that answers as a capture does, with a note of its own."""

    def __init__(self, capture, kind):
        self.capture, self.kind, self.asked = capture, kind, []

    def __getattr__(self, name):
        found = getattr(self.capture, name)
        return (
            self._noted(name, found) if name in {"spans", "logs", "metrics", "events", "topology"} else found
        )

    def _noted(self, name, ask):
        def asking(*args, **kwargs):
            self.asked.append(name)
            answer = ask(*args, **kwargs)
            note = SourceNote(
                answer.note.signal, self.kind, f"https://{self.kind}.example", f"{name} asked", answer.note.rows,
                warnings=(f"{self.kind} says so",),
            )  # fmt: skip
            return type(answer)(**{f: getattr(answer, f) for f in answer.__slots__} | {"note": note})

        return asking


@pytest.fixture
def servers(live, made, monkeypatch):
    """Settings of an environment on servers, the servers, and a clock."""
    rows = made.shop_rows(120)
    for row in rows:
        if row["start_time_unix_nano"] >= made.T0 + 90 * made.S:
            row["end_time_unix_nano"] += 400_000_000 if row["name"] in {"GET /", "POST /pay"} else 0
            row["attributes"] = json.dumps({"db.query.text": "SELECT 1234 FROM t", "user": "ann@example.org"})
    mail = {"time_unix_nano": made.T0 + 95 * made.S, "severity_text": "ERROR", "service_name": "payment",
            "body": "no answer for ann@example.org, card 4111 1111 1111 1111"}  # fmt: skip
    settings = live(rows, [mail] * 30)
    capture = open_capture(settings.lab_state / "capture")
    found = Sources(*(Server(capture, kind) for kind in ("jaeger", "elasticsearch", "prometheus")))
    monkeypatch.setattr(module, "connect", lambda environment, clock: found)
    monkeypatch.setattr(
        module, "find_course", lambda *a: Course(Onset(made.T0 + 90 * made.S, 1.5), made.T0 + 60 * made.S)
    )
    return settings, found, ManualClock(now_ns=made.T0 + 121 * made.S)


def verdict_bytes(found):
    return json.dumps(found.verdict.to_dict(), sort_keys=True)


def test_the_same_question_to_an_export_gives_the_same_bytes(servers, tmp_path):
    settings, _, clock = servers
    live = find_cause("payment", settings=settings, clock=clock)
    out = export_evidence(tmp_path / "out", ask("payment", settings=settings, clock=clock))
    again = find_cause("payment", capture=out)

    assert verdict_bytes(live) == verdict_bytes(again)
    assert "since the onset at" in again.verdict.summary
    assert again.verdict.onset == live.verdict.onset is not None
    assert "jaeger says so" in live.verdict.completeness.warnings
    assert "the environment names no source of changes" in again.verdict.completeness.warnings
    sources_named = {f.source for c in live.verdict.candidates for f in c.evidence}
    assert "https://jaeger.example" in sources_named


def test_asked_windows_too(servers, tmp_path, made):
    settings, _, clock = servers
    asked = {
        "window": "2026-01-31T03:01:30Z/2026-01-31T03:02:00Z",
        "baseline": "2026-01-31T03:00:00Z/2026-01-31T03:01:00Z",
    }
    live = find_cause("payment", settings=settings, clock=clock, **asked)
    out = export_evidence(tmp_path / "out", ask("payment", settings=settings, clock=clock, **asked))
    assert verdict_bytes(live) == verdict_bytes(find_cause("payment", capture=out))
    assert verdict_bytes(live) == verdict_bytes(find_cause("payment", capture=out, **asked))


def test_each_source_is_asked_once_for_each_window_and_then_left_alone(servers):
    settings, sources, clock = servers
    found = find_cause("payment", settings=settings, clock=clock)
    asked = list(sources.logs.asked)
    trace_id = found.diagnosis.calls["trace_id"].iloc[0]
    assert len(found.trace(trace_id)) == 4
    assert sources.logs.asked == asked == ["logs", "logs"]
    assert found.evidence.known_services == {"mapped"}


def test_what_customers_sent_is_masked_on_both_paths(servers, tmp_path):
    settings, _, clock = servers
    live = find_cause("payment", settings=settings, clock=clock)
    out = export_evidence(tmp_path / "out", ask("payment", settings=settings, clock=clock))
    capture = open_capture(out)
    for frame in (live.evidence.logs, capture.logs(capture.extent()).frame):
        assert set(frame["body"]) == {"no answer for [redacted], card [redacted]"}
    (rows,) = capture.span_rows(capture.meta.windows)
    assert not rows["attributes"].str.contains("ann@example.org|1234", na=False).any()


def test_an_environment_may_leave_addresses_and_mask_more(servers, tmp_path):
    settings, _, clock = servers
    config = settings.lab_state / "opslib.toml"
    rules = "redaction = {emails = false, patterns = ['no answer']}\n"
    config.write_text(config.read_text().replace("[environments.lab]\n", f"[environments.lab]\n{rules}"))
    live = find_cause("payment", settings=settings, clock=clock)
    out = export_evidence(tmp_path / "out", ask("payment", settings=settings, clock=clock))
    again = find_cause("payment", capture=out)
    for found in (live, again):
        assert set(found.evidence.logs["body"]) == {"[redacted] for ann@example.org, card [redacted]"}
    assert verdict_bytes(live) == verdict_bytes(again)


def test_an_export_without_data_leaves_no_folder(servers, tmp_path, made):
    settings, _, clock = servers
    asked = ask("payment", settings=settings, clock=clock, window="2020-01-01T00:00:00Z/2020-01-01T00:10:00Z")
    with pytest.raises(WindowError, match="no data between"):
        export_evidence(tmp_path / "out", asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {"onset": {"time": "x"}, "warnings": 3, "services": [1], "told": None, "redaction": {"cards": 1}},
    ],
)
def test_a_foreign_occasion_says_nothing(value):
    assert Occasion.from_dict(value) in {None, Occasion()}


def test_a_capture_that_states_no_occasion_is_read_as_before(capture_folder):
    assert find_cause("payment", capture=capture_folder).window_choice == "the capture's own windows"
    assert open_capture(capture_folder).meta.occasion is None


def test_rules_that_are_none_are_told(tmp_path):
    (tmp_path / "opslib.toml").write_text("[environments.lab]\nredaction = {patterns = ['(']}\n")
    with pytest.raises(UsageError, match="regular expression"):
        ask(settings=Settings(cwd=tmp_path))
