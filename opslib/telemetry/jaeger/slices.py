"""Which pieces of time are asked for, and in which order: whatever ends the asking early leaves an even sample.

A search returns some of the traces of its time, never more than its limit. So time is cut into slices, and a slice whose
answer is as long as its limit is cut again. The slices of both windows are dealt out to rounds, each round every K-th
slice of each window, and rounds are asked one after the other and whole: after any of them both windows were sampled by
the same rule, which looks at time alone and not at how long a trace took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Protocol, TypeVar

from opslib.core.windows import Window

LEAST_NS = 1_000  # width of a slice; storages of Jaeger know no finer time
_FEW = 2_000  # traces that are fetched in one round
_PER_ROUND = 4  # slices of each window, so that a round is spread over all of it
_MOST_SLICES = 1 << 14


class Answered(Protocol):
    """An answer; `cuttable` where it holds as much as it may, and a shorter time would be answered with less."""

    @property
    def cuttable(self) -> bool: ...


A = TypeVar("A", bound=Answered)


def asked_whole(ask: Callable[[Window], A], piece: Window) -> Iterator[tuple[Window, A]]:
    """Yield answers that together cover a piece of time, by time; what is cuttable is cut as long as it can be."""
    waiting = [piece]
    while waiting:
        at = waiting.pop()
        answer = ask(at)
        if answer.cuttable and at.length_ns > LEAST_NS:
            waiting += reversed(cut(at, 2))
        else:
            yield at, answer


def cut(window: Window, parts: int) -> list[Window]:
    """Cut a window into at most so many parts of about equal length, at whole microseconds."""
    inner = {
        (window.start_ns + window.length_ns * i // parts) // LEAST_NS * LEAST_NS for i in range(1, parts)
    }
    bounds = sorted({b for b in inner if b in window} | {window.start_ns, window.end_ns})
    return [Window(a, b) for a, b in pairwise(bounds)]


def rounds(windows: Sequence[Window], traces: float, per_slice: int, most: int) -> list[list[Window]]:
    """Deal out slices of about `per_slice` traces; a round is a sixteenth of `most` traces where not all fit.

    `traces` is how many there are in all the windows, as far as one knows. Rounds come in the order in which they fill
    the gaps evenly.
    """
    slices = max(traces / per_slice / len(windows), 1.0)
    number = 1 if traces <= min(_FEW, most / 2) else 8 if traces <= most / 2 else 16
    while traces / number > most / 16 and number > 8:
        number *= 2
    number = min(number, _MOST_SLICES // _PER_ROUND)
    each = max(_PER_ROUND, -int(-slices // number))
    dealt: list[list[Window]] = [[] for _ in range(number)]
    for window in windows:
        for i, piece in enumerate(cut(window, min(number * each, _MOST_SLICES))):
            dealt[i % number].append(piece)
    return [dealt[i] for i in _spread(number) if dealt[i]]


def _spread(number: int) -> list[int]:
    """Return 0 .. number - 1, a power of two, with the bits of each reversed: 0, 2, 1, 3."""
    order = [0]
    while len(order) < number:
        order = [2 * i for i in order] + [2 * i + 1 for i in order]
    return order


@dataclass(frozen=True, slots=True)
class Pace:
    """Whether one more round may be asked: an average one must fit into what is left of traces and seconds."""

    most: int
    budget_s: float

    def allows(self, done: int, traces: int, elapsed_s: float) -> bool:
        if not done:
            return True
        share = 1 + 1 / done
        return traces * share <= self.most and elapsed_s * share <= self.budget_s


def selection(done: int, number: int) -> str:
    """Return how a window's traces were selected, in the words of `completeness.selection`."""
    if done == number:
        return "all"
    share = Fraction(done, number)
    if share.numerator == 1:
        return f"every {_ordinal(share.denominator)} slice of time"
    return f"{share.numerator} of every {share.denominator} slices of time"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number // 10 % 10 != 1 else 0, "th")
    return f"{number}{ending}"
