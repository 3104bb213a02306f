"""The questions about a capture's logs beside the records themselves: by pod, severity and text; rates; patterns."""

import pytest

from opslib.core.errors import UsageError
from opslib.core.windows import Window, Windows
from opslib.telemetry.capture import open_capture


@pytest.fixture
def capture(tmp_path, made):
    def line(second, body, severity="INFO", service="payment", pod="payment-1"):
        return {"time_unix_nano": made.T0 + second * made.S, "severity_text": severity, "body": body,
                "service_name": service, "k8s_pod_name": pod}  # fmt: skip

    rows = [line(s, f"request {s} handled in {s * 7} ms") for s in range(60)]
    rows += [line(s, f"call {s} timed out: gave up", "error", "risk", "risk-2") for s in range(35, 60, 5)]
    rows += [line(50, None, None, None, None)]
    made.write_parquet(tmp_path / "logs.parquet", "logs", rows)
    made.write_manifest(tmp_path)
    return open_capture(tmp_path)


def window(made, start, end):
    return Window(made.T0 + start * made.S, made.T0 + end * made.S)


def test_logs_by_pod_severity_and_text(capture, made):
    def count(**asked):
        return len(capture.logs(window(made, 0, 60), **asked).frame)

    assert count(pods=["risk-2"]) == 5
    assert count(severities=["Error"]) == 5
    assert count(severities=[""]) == 1
    assert count(text="TIMED OUT") == 5
    assert count(text="timed out, gave") == 5
    assert count(text="time") == 0
    assert count(text="handled in", pods=["risk-2"]) == 0
    assert count(text=":") == 5


def test_rates_start_at_the_window_and_say_nothing_of_empty_steps(capture, made):
    found = capture.log_rates(window(made, 30, 60), 20, services=["risk", "payment"]).frame
    assert found.to_numpy().tolist() == [
        [made.T0 + 30 * made.S, "payment", "INFO", 20],
        [made.T0 + 30 * made.S, "risk", "ERROR", 3],
        [made.T0 + 50 * made.S, "payment", "INFO", 10],
        [made.T0 + 50 * made.S, "risk", "ERROR", 2],
    ]
    assert capture.log_rates(window(made, 90, 99), 1).frame.empty
    whole = capture.log_rates(window(made, 0, 60), 60)
    assert whole.frame["count"].sum() == 66
    assert (whole.note.signal, whole.note.rows) == ("log", 3)


@pytest.mark.parametrize("step_s", [0, -1, float("nan"), 0.0001])
def test_steps_are_few_and_no_less_than_a_millisecond(capture, made, step_s):
    with pytest.raises(UsageError, match="steps of"):
        capture.log_rates(window(made, 0, 60), step_s)


def test_patterns_of_both_windows(capture, made):
    found = capture.log_patterns(Windows(window(made, 30, 60), window(made, 0, 40))).frame
    assert found.to_numpy().tolist() == [
        ["payment", "INFO", "request <n> handled in <n> ms", 30, 30, "request 0 handled in 0 ms", True],
        ["risk", "ERROR", "call <n> timed out: gave up", 5, 0, "call 35 timed out: gave up", True],
        ["", "", "", 1, 0, "", True],
    ]
    alone = capture.log_patterns(Windows(window(made, 30, 60)), services=["risk"]).frame
    assert alone["count_incident"].tolist() == [5]
