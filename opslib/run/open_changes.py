"""A run and the change that its notebook began: whatever ends the run, the change is told, and its end is waited for.

The change has a driver of its own. A run that is stopped asks it for the way back at once; where the runner's time is
over first, the driver finishes alone, and `opslib runs show` tells how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from opslib.core.changes import (
    ASKED_BACK,
    ASKED_ON,
    ending,
    forget_intents,
    has_intent,
    is_driven,
    is_open,
    journal_lines,
    send_intent,
)
from opslib.core.clock import Clock
from opslib.core.errors import RefusedError
from opslib.core.journal import RunFolder
from opslib.core.outcome import EXIT_CODE, ExitCode, Outcome
from opslib.run.record import Ended

_LOOK_S = 0.2
_SIGNALS = {ExitCode.HANGUP, ExitCode.INTERRUPTED, ExitCode.TERMINATED}


def ask_for_the_way_back(folder: RunFolder) -> None:
    """Send the abort intent of a run's change, once, where one goes on."""
    if is_open(folder.path) and not has_intent(folder.path, "abort"):
        send_intent(folder.path, "abort")


def settled(folder: RunFolder, end: Ended, clock: Clock, grace_s: float) -> Ended:
    """Return how a run ended whose change is open still, or was asked for the way back: with that, or with a driver that goes on."""
    asked = has_intent(folder.path, "abort")  # it may be back already, before the kernel has ended
    if not asked and (not is_open(folder.path) or ending(folder.path) is not None):
        return end
    ask_for_the_way_back(folder)
    end_s = clock.monotonic_s() + grace_s
    while ending(folder.path) is None and is_driven(folder.path) and clock.monotonic_s() < end_s:
        clock.sleep(_LOOK_S)
    line = ending(folder.path)
    if line is None:
        text = f"{end.sentence} Its change is open: {_state(folder)}."
        return replace(end, sentence=text, hint=f"opslib runs show --follow {folder.id}")
    outcome = Outcome(line["outcome"])
    text = f"{end.sentence} Its change: {line['summary']}"
    if outcome is Outcome.PASS:  # it was quicker than the wish to stop it
        return replace(end, sentence=text)
    code = end.exit_code if end.exit_code in _SIGNALS else EXIT_CODE[outcome]
    return replace(end, outcome=outcome, exit_code=code, sentence=text)


def _state(folder: RunFolder) -> str:
    return "its driver goes on" if is_driven(folder.path) else "its driver is gone"


def follow(folder: RunFolder, show: Callable[[str], None]) -> Outcome | None:
    """Show the journal of a run's change until it ends; None where the run began none. Stopping it stops nothing."""
    return _watched(folder, show) if journal_lines(folder.path) else None


def roll_back_run(folder: RunFolder, show: Callable[[str], None]) -> Outcome:
    """Undo the change of a run: one that goes on is asked to, one that was cut off or has ended gets a driver again.

    Raises RefusedError where the run changed nothing.
    """
    from opslib.manifests.driven import drive  # noqa: PLC0415 - only where a change is

    if not any(line["phase"] == "began" for line in journal_lines(folder.path)):
        raise RefusedError(
            f"there is nothing to roll back: {folder.id} changed nothing",
            hint="opslib runs list shows the others",
        )
    if is_driven(folder.path):
        send_intent(folder.path, "abort")
    else:
        drive(folder.path, ASKED_BACK)
    return _watched(folder, show)


def resume_run(folder: RunFolder, show: Callable[[str], None]) -> Outcome:
    """Go on with the change of a run that was cut off, from where its journal stands; one that goes on is watched.

    Raises RefusedError where the run has no open change.
    """
    from opslib.manifests.driven import drive  # noqa: PLC0415 - only where a change is

    if not is_open(folder.path):
        raise RefusedError(
            f"there is nothing to resume: {folder.id} has no open change",
            hint=f"run it again: opslib run {folder.read_run().get('notebook', 'NOTEBOOK')}",
        )
    if not is_driven(folder.path):
        forget_intents(folder.path)  # a runner that saw its driver die has asked for the way back
        drive(folder.path, ASKED_ON)
    return _watched(folder, show)


def _watched(folder: RunFolder, show: Callable[[str], None]) -> Outcome:
    from opslib.manifests.driven import watch_change  # noqa: PLC0415 - only where a change is

    change = watch_change(folder.path, show)
    show(change.summary)
    return change.outcome
