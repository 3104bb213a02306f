"""Which windows are compared, and what is said of it. Seconds on a line; `t(90)` is 90 s after the start."""

import pytest

from opslib.core.errors import WindowError
from opslib.core.model import Onset
from opslib.core.windows import NS_PER_S, Window, Windows
from opslib.investigate.windows import Extent, Recent, choose, no_data

T0 = 1_769_828_400 * NS_PER_S


def t(seconds):
    return T0 + round(seconds * NS_PER_S)


def span(start, end):
    return Window(t(start), t(end))


def pick(held, *, now=None, asked="", baseline="", own=None, onset=None, steady=None, breach=""):
    looked = []

    def look(window):
        looked.append(window)
        return Recent(
            Onset(t(onset), 1.0) if onset is not None else None,
            t(steady) if steady is not None else None,
            breach,
        )

    extent = (
        Extent.still(span(*held)) if own else Extent.live(span(*held), t(held[1] if now is None else now))
    )
    choice = choose(extent, asked=asked, baseline=baseline, own=own, look=look)
    return choice, looked


def test_live_the_incident_runs_from_the_onset_to_the_newest_complete_time():
    choice, looked = pick((0, 3600), onset=3400)
    assert choice.windows == Windows(span(3400, 3598), span(3202, 3400))
    assert looked == [span(2698, 3598)]
    assert choice.how == "since the onset at 2026-01-31T03:56:40Z, against the 3 min 18 s before it"
    assert (choice.told, choice.onset) == (choice.how, Onset(t(3400), 1.0))


def test_live_with_less_before_the_onset_than_since_the_baseline_is_what_exists():
    choice, _ = pick((0, 500), onset=100)
    assert choice.windows == Windows(span(100, 498), span(0, 100))
    assert choice.how.endswith("against only 1 min 40 s before it, where the data begin")


def test_live_without_onset_the_last_five_minutes():
    choice, _ = pick((0, 3602))
    assert choice.windows == Windows(span(3300, 3600), span(3000, 3300))
    assert choice.told == "no onset found: the last 5 min, against the 5 min before it"


def test_live_without_onset_a_young_source_is_halved():
    choice, _ = pick((0, 62))
    assert choice.windows == Windows(span(30, 60), span(0, 30))
    assert choice.told == "no onset found and data for only 1 min: their later half against the earlier half"


def test_a_source_of_just_ten_minutes_is_not_young():
    choice, _ = pick((0, 602))
    assert choice.windows == Windows(span(300, 600), span(0, 300))


@pytest.mark.parametrize("onset", [-5, 0, 3598, 4000])
def test_an_onset_outside_what_is_held_is_none(onset):
    choice, _ = pick((0, 3600), onset=onset)
    assert choice.windows.incident == span(3298, 3598)
    assert choice.onset is None


def test_a_baseline_does_not_reach_back_beyond_the_change_before():
    choice, _ = pick((0, 3600), onset=3400, steady=3340)
    assert choice.windows == Windows(span(3400, 3598), span(3340, 3400))
    assert choice.told.endswith("against only 1 min before it, after an earlier change")
    far, _ = pick((0, 3600), onset=3400, steady=3150)
    assert far.windows.baseline == span(3202, 3400), "the same length needs no more"


def test_after_a_fault_that_ended_only_the_time_since_then_is_compared():
    choice, _ = pick((0, 3602), steady=3500)
    assert choice.windows == Windows(span(3550, 3600), span(3500, 3550))
    assert choice.told == (
        "no onset found and calls as they are for only 1 min 40 s: their later half against the earlier half"
    )
    old, _ = pick((0, 3602), steady=2990)
    assert old.windows == Windows(span(3300, 3600), span(3000, 3300))


def test_without_onset_calls_that_break_their_slo_have_no_baseline():
    choice, _ = pick((0, 62), breach="40 % take longer than 80 ms")
    assert choice.windows == Windows(span(0, 60))
    assert choice.told.startswith("no onset found, but calls break their SLO: 40 % take longer than 80 ms")
    old, _ = pick((0, 3602), breach="all fail")
    assert old.windows == Windows(span(3300, 3600))
    told, _ = pick((0, 62), breach="all fail", baseline=str(span(0, 20)))
    assert told.windows == Windows(span(0, 60), span(0, 20)), "who names a good time is believed"
    begun, _ = pick((0, 500), breach="all fail", onset=100)
    assert begun.windows == Windows(span(100, 498), span(0, 100))


def test_data_from_the_future_do_not_move_the_end():
    choice, _ = pick((0, 999_999), now=3602)
    assert choice.windows.incident == span(3300, 3600)
    assert choice.warnings == ()


def test_a_source_that_stopped_is_told_and_read_to_its_end():
    choice, _ = pick((0, 3602), now=3602 + 61)
    assert choice.windows.incident == span(3300, 3600)
    (warning,) = choice.warnings
    assert warning.startswith("the newest data are 1 min 1 s old, from 2026-01-31T04:00:02Z")
    assert pick((0, 3602), now=3602 + 60)[0].warnings == ()


def test_asked_words_count_back_from_the_newest_complete_time():
    choice, looked = pick((0, 3602), asked="last 10m")
    assert choice.windows == Windows(span(3000, 3600), span(2400, 3000))
    assert looked == []
    assert choice.told == "against the 10 min before it"


def test_asked_windows_are_taken_as_they_are():
    asked, baseline = str(span(100, 200)), str(span(300, 400))
    choice, _ = pick((0, 3602), asked=asked, baseline=baseline)
    assert choice.windows == Windows(span(100, 200), span(300, 400))
    assert choice.told == ""
    assert choice.how == "incident as asked, baseline as asked"


def test_a_baseline_asked_for_an_incident_that_was_not():
    choice, _ = pick((0, 3602), baseline=str(span(0, 60)), onset=3400)
    assert choice.windows == Windows(span(3400, 3600), span(0, 60))
    choice, _ = pick((0, 102), baseline=str(span(0, 60)))
    assert choice.windows == Windows(span(0, 100), span(0, 60))


def test_a_baseline_that_would_begin_long_before_the_data_is_cut_and_told():
    choice, _ = pick((0, 3602), asked=str(span(100, 300)))
    assert choice.windows.baseline == span(0, 100)
    assert "only 1 min 40 s before it" in choice.told
    whole, _ = pick((5, 3602), asked=str(span(100, 200)))
    assert whole.windows.baseline == span(0, 100), "a first trace a little after the start is no gap"


def test_an_incident_from_the_beginning_has_no_baseline():
    choice, _ = pick((0, 3602), asked=str(span(0, 300)))
    assert choice.windows.baseline is None
    assert choice.told == "no baseline: the data begin no earlier than the incident"


def test_a_capture_has_its_own_windows():
    own = Windows(span(50, 100), span(200, 250))
    choice, looked = pick((0, 3600), own=own)
    assert (choice.windows, choice.how, choice.told, looked) == (own, "the capture's own windows", "", [])
    choice, _ = pick((0, 3600), own=own, baseline=str(span(0, 50)))
    assert choice.windows == Windows(span(50, 100), span(0, 50))
    choice, _ = pick((0, 3600), own=own, asked="last 100s")
    assert choice.windows == Windows(span(3500, 3600), span(3400, 3500))


def test_a_capture_that_states_no_baseline_has_none():
    choice, _ = pick((0, 3600), own=Windows(span(50, 100)))
    assert (choice.windows, choice.told) == (Windows(span(50, 100)), "")


def test_an_asked_incident_at_a_captures_start_meets_its_own_baseline():
    own = Windows(span(50, 100), span(200, 250))
    choice, _ = pick((50, 3600), own=own, asked=str(span(50, 90)))
    assert choice.windows.baseline == span(200, 250)
    assert choice.told == "against the capture's own baseline"


@pytest.mark.parametrize("words", ["yesterday", "last", "last 0s", "2026-01-31T03:00:00Z", "now/now"])
def test_words_that_are_no_window(words):
    with pytest.raises(WindowError):
        pick((0, 3600), asked=words)


def test_a_window_without_data_says_what_there_is():
    error = no_data(span(0, 1), span(5, 6))
    assert "between 2026-01-31T03:00:00Z and 2026-01-31T03:00:01Z" in str(error)
    assert error.hint == "the source holds 2026-01-31T03:00:05Z/2026-01-31T03:00:06Z"
    assert "no data yet" in str(no_data())
