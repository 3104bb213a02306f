"""Each system of an environment, one after the other: does it answer, which version, and what is lost where not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from opslib.core.checks import Check
from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import OpslibError
from opslib.core.outcome import Outcome
from opslib.core.settings import Settings
from opslib.core.windows import Window
from opslib.investigate.cause import Question, ask
from opslib.investigate.servicemap import check_names, names_in
from opslib.investigate.windows import LOOK_BACK_NS
from opslib.telemetry.backends import check_servers

# what an investigation cannot say without a signal
_LOST = {
    "traces": "without traces no time can be charged to a service, an edge or a dependency",
    "logs": "without logs nothing says why calls fail",
    "metrics": "without metrics no saturation and no true percentiles",
    "changes": "without changes no release, restart or scaling can be blamed",
}


def check_systems(
    environment: str, *, settings: Settings | None = None, clock: Clock | None = None
) -> tuple[Check, ...]:
    """Check every server that an environment names, and that each service has data in it; raises nothing."""
    clock = clock or SystemClock()
    try:
        question = ask(None, environment, settings=settings, clock=clock)
    except OpslibError as error:
        return (Check("systems", Outcome.ERROR, str(error), error.hint),)
    return tuple(_checks(question, clock))


def _checks(question: Question, clock: Clock) -> Iterator[Check]:
    environment = question.environment
    for signal, lost in _LOST.items():
        if getattr(environment, signal) is None:
            yield Check(signal, Outcome.NO_DATA, "no source is named", lost)
    broken = False
    for signal, check in check_servers(environment, clock):
        if check.outcome in {Outcome.ERROR, Outcome.FAIL}:
            broken = True
            yield replace(check, hint=f"{check.hint}; {_LOST[signal]}" if check.hint else _LOST[signal])
        else:
            yield check
    if broken:
        yield Check("service map", Outcome.NO_DATA, "not asked: a system does not answer", "mend it first")
        return
    now_ns = clock.now_ns()
    try:
        yield from check_names(environment, names_in(question.sources, Window(now_ns - LOOK_BACK_NS, now_ns)))
    except OpslibError as error:
        yield Check("service map", Outcome.ERROR, str(error), error.hint)
