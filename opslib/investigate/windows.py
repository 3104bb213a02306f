"""Which two windows an investigation compares, and in which words it says so.

The order of choice: what was asked; a capture's own windows, also where it states no baseline; with live data the time
since the onset of the present state, without an onset the last five minutes, where calls have been as they are for a
short time only its later half. The baseline is what was asked, else the same length before the incident, as far as data
reach, and of live data no further back than the change before: it must not lie under another fault. Where nothing
changed and calls break their service's SLO, nobody knows a good time to compare with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from opslib.core.errors import WindowError
from opslib.core.model import Onset
from opslib.core.windows import NS_PER_S, Window, Windows, parse_window, rfc3339
from opslib.core.words import duration

LOOK_BACK_NS = 900 * NS_PER_S
LAST_NS = 300 * NS_PER_S
YOUNG_NS = 600 * NS_PER_S
SETTLE_NS = 2 * NS_PER_S  # exporters and collector batch: younger traces are not whole yet
STALE_NS = 60 * NS_PER_S
_SHORT = 0.9  # a baseline that holds data for less of its length is cut to where they begin, and that is said


@dataclass(frozen=True, slots=True)
class Choice:
    """The windows; how they were chosen, for people; what of it was not asked and belongs into the summary."""

    windows: Windows
    how: str
    told: str = ""  # empty where both windows were given
    onset: Onset | None = None
    change_ns: int | None = None  # of the change before, which a baseline does not reach beyond
    alone: bool = False  # no time is known to be good enough for a baseline
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recent:
    """What the calls of the last minutes say.

    onset: of the present state. steady_ns: since when they had been alike up to the onset, or are alike up to now, None
    if ever. breach: in which way they break the SLO of their service, empty where they do not.
    """

    onset: Onset | None = None
    steady_ns: int | None = None
    breach: str = ""


@dataclass(frozen=True, slots=True)
class Extent:
    """What a source holds, and until when its traces are whole; `stale_ns` is how old its newest data are."""

    data: Window
    complete_ns: int
    stale_ns: int = 0

    @classmethod
    def live(cls, data: Window, now_ns: int) -> Extent:
        """Read the extent of a source that is being written: what lies in the future is somebody's wrong clock."""
        newest = min(data.end_ns, now_ns)
        return cls(data, max(newest - SETTLE_NS, data.start_ns + 1), now_ns - newest)

    @classmethod
    def still(cls, data: Window) -> Extent:
        """Read the extent of a capture that nobody writes any more."""
        return cls(data, data.end_ns)


def choose(
    extent: Extent,
    *,
    asked: str,
    baseline: str,
    own: Windows | None,
    look: Callable[[Window], Recent],
) -> Choice:
    """Choose the windows. `own` are a capture's; `look` says what the calls of one window tell.

    Raises WindowError for words that are no window.
    """
    incident = parse_window(asked, extent.complete_ns)
    given = parse_window(baseline, extent.complete_ns)
    fallback = own.baseline if own else None
    if incident is not None:
        choice = Choice(Windows(incident, given), "incident as asked")
    elif own is not None:
        if given is None:
            return Choice(own, "the capture's own windows")
        choice = Choice(Windows(own.incident, given), "the capture's own incident")
    else:
        choice = _of_live(extent, given, look)
    if given is not None:
        choice = replace(choice, how=f"{choice.how}, baseline as asked")
    elif choice.windows.baseline is None and not choice.alone:
        choice = _with_baseline(choice, extent, fallback)
    return replace(choice, warnings=_staleness(extent))


def _of_live(extent: Extent, given: Window | None, look: Callable[[Window], Recent]) -> Choice:
    end_ns, first_ns = extent.complete_ns, extent.data.start_ns
    recent = look(Window(max(first_ns, end_ns - LOOK_BACK_NS), end_ns))
    onset, begin_ns = recent.onset, max(first_ns, min(recent.steady_ns or first_ns, end_ns - 1))
    if onset is not None and first_ns < onset.time_ns < end_ns:
        told = f"since the onset at {rfc3339(onset.time_ns // NS_PER_S * NS_PER_S)}"
        return Choice(
            Windows(Window(onset.time_ns, end_ns), given), told, told, onset, change_ns=recent.steady_ns
        )
    incident = Window(max(begin_ns, end_ns - LAST_NS), end_ns)
    if recent.breach and given is None and recent.steady_ns is None:
        told = f"no onset found, but calls break their SLO: {recent.breach}; the last {duration(incident.length_ns)}"
        return Choice(Windows(incident), f"{told}, no time known to be good", told, alone=True)
    age_ns = end_ns - begin_ns
    if age_ns < YOUNG_NS and given is None and age_ns >= 2:
        middle = begin_ns + age_ns // 2
        what = "data" if begin_ns == first_ns else "calls as they are"
        told = f"no onset found and {what} for only {duration(age_ns)}: their later half against the earlier half"
        return Choice(Windows(Window(middle, end_ns), Window(begin_ns, middle)), told, told)
    told = f"no onset found: the last {duration(incident.length_ns)}"
    return Choice(Windows(incident, given), told, told, change_ns=recent.steady_ns)


def _with_baseline(choice: Choice, extent: Extent, fallback: Window | None) -> Choice:
    """Add the same length before the incident, as far as it is one state; without any, the capture's own baseline."""
    incident = choice.windows.incident
    before = incident.before()
    first_ns = max(extent.data.start_ns, choice.change_ns or 0)
    held_ns = incident.start_ns - max(first_ns, before.start_ns)
    if held_ns <= 0:
        if fallback is not None:
            words = "against the capture's own baseline"
            return _say(replace(choice, windows=Windows(incident, fallback)), words)
        return _say(choice, "no baseline: the data begin no earlier than the incident")
    if held_ns < _SHORT * before.length_ns:
        short = Window(incident.start_ns - held_ns, incident.start_ns)
        where = "where the data begin" if first_ns == extent.data.start_ns else "after an earlier change"
        return _say(
            replace(choice, windows=Windows(incident, short)),
            f"against only {duration(held_ns)} before it, {where}",
        )
    return _say(
        replace(choice, windows=Windows(incident, before)),
        f"against the {duration(before.length_ns)} before it",
    )


def _say(choice: Choice, words: str) -> Choice:
    told = f"{choice.told}, {words}" if choice.told else words
    return replace(choice, how=f"{choice.how}, {words}", told=told)


def _staleness(extent: Extent) -> tuple[str, ...]:
    if extent.stale_ns <= STALE_NS:
        return ()
    newest = f"the newest data are {duration(extent.stale_ns)} old, from {rfc3339(extent.data.end_ns)}"
    return (f"{newest}: the source seems to have stopped",)


def no_data(window: Window | None = None, extent: Window | None = None) -> WindowError:
    """Return the error for a window without data, or for a source without any; it says what there is instead."""
    if window is None or extent is None:
        return WindowError("there are no data yet", hint="wait some seconds, then ask again")
    return WindowError(
        f"there are no data between {rfc3339(window.start_ns)} and {rfc3339(window.end_ns)}",
        hint=f"the source holds {extent}",
    )
