"""What a run comes to: the outcomes, the exit codes, and the one table that maps verdicts to both."""

from __future__ import annotations

from enum import IntEnum, StrEnum

# A cell's output of this type is the run's result: {"outcome": Outcome, "verdict": verdict JSON or null}.
RESULT_MIME = "application/vnd.opslib.result+json"


class ExitCode(IntEnum):
    """Exit codes of every `opslib` command; other tools depend on them."""

    PASS = 0  # also a plan that waits for approval, and no_anomaly
    FAIL = 1  # a cause was found, a check or a verdict failed
    USAGE = 2  # bad parameters or usage
    REFUSED = 3  # guard, rights, foreign owner, lock
    BROKEN = 4  # notebook or tool broken, time-out, dead kernel
    ROLLED_BACK = 5
    ROLLBACK_FAILED = 6
    UNDETERMINED = 7  # undetermined, no_data, hold or hand-over at its deadline
    HANGUP = 129  # 128 + SIGHUP
    INTERRUPTED = 130  # 128 + SIGINT
    TERMINATED = 143  # 128 + SIGTERM


class Outcome(StrEnum):
    """What a run came to; absence of data is an outcome of its own and never a pass."""

    PASS = "pass"  # noqa: S105 - an outcome, no password
    FAIL = "fail"
    NO_DATA = "no_data"
    ERROR = "error"
    PLANNED = "planned"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"


EXIT_CODE: dict[Outcome, ExitCode] = {
    Outcome.PASS: ExitCode.PASS,
    Outcome.PLANNED: ExitCode.PASS,
    Outcome.FAIL: ExitCode.FAIL,
    Outcome.REFUSED: ExitCode.REFUSED,
    Outcome.ERROR: ExitCode.BROKEN,
    Outcome.ROLLED_BACK: ExitCode.ROLLED_BACK,
    Outcome.ROLLBACK_FAILED: ExitCode.ROLLBACK_FAILED,
    Outcome.NO_DATA: ExitCode.UNDETERMINED,
}


def outcome_of_verdict(kind: str) -> Outcome:
    """Map an investigation's verdict to an outcome: a cause found is `fail`, nothing found `pass`."""
    return {"no_anomaly": Outcome.PASS, "undetermined": Outcome.NO_DATA}.get(kind, Outcome.FAIL)
