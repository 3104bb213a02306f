"""The long runs: every scenario three times in one lab, and half an hour of a shop in which nothing is broken."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from back_to_back import HEAD, LOAD, Turn, rounds
from healthy_windows import cuts

from opslib import lab
from opslib.core.clock import SystemClock
from opslib.core.windows import NS_PER_S
from opslib.lab.waiting import wait_for
from opslib.telemetry.capture import open_capture

SEEDS = (1, 2, 3)
HALF_AN_HOUR_S = 1800
WINDOWS, FALSE_ALARMS = 200, 2


@pytest.fixture
def one_lab(tmp_path: Path) -> Iterator[Path]:
    """A lab for one test, which may last."""
    lab.up(tmp_path / "lab", load=LOAD, ttl_s=2 * HALF_AN_HOUR_S)
    yield tmp_path / "lab"
    lab.down(tmp_path / "lab")


@pytest.mark.full
@pytest.mark.timeout(2 * HALF_AN_HOUR_S)
def test_every_scenario_is_right_in_every_round_back_to_back(one_lab: Path) -> None:
    begin_s, turns = time.monotonic(), list[Turn]()
    print(f"\n{HEAD}")
    for turn in rounds(one_lab, SEEDS, lab.scenario_names()):
        turns.append(turn)
        print(turn.line(), flush=True)

    wrong = [turn for turn in turns if not turn.right]
    print(
        f"{len(turns) - len(wrong)} of {len(turns)} right; {sum(not turn.well for turn in turns)} began on a shop that "
        f"was not well; {time.monotonic() - begin_s:.0f} s"
    )
    assert not wrong, "\n".join(f"{turn.statement} [{turn.windows}]" for turn in wrong)


@pytest.mark.full
@pytest.mark.timeout(2 * HALF_AN_HOUR_S)
def test_windows_of_a_healthy_shop_blame_nobody(one_lab: Path) -> None:
    capture = open_capture(one_lab / "capture", live=True)

    def holds_enough() -> bool:
        held = capture.extent()
        return held is not None and held.length_ns >= HALF_AN_HOUR_S * NS_PER_S

    assert wait_for(holds_enough, 1.1 * HALF_AN_HOUR_S, SystemClock(), every_s=10)
    lab.down(one_lab)
    found = list(cuts(capture.path, WINDOWS))

    counts = Counter(cut.outcome for cut in found)
    print(
        f"\n{len(found)} pairs of windows: {', '.join(f'{n} {outcome}' for outcome, n in counts.most_common())}"
    )
    alarms = [cut for cut in found if cut.outcome == "false alarm"]
    assert len(alarms) <= FALSE_ALARMS, alarms
