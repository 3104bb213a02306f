"""The live line, on a terminal and without one."""

from __future__ import annotations

import io

from opslib.run.live import PlainLine, stderr_line


def test_without_a_terminal_there_is_one_line_per_cell_and_a_sign_of_life(kit):
    out, clock = io.StringIO(), kit.FakeClock()
    line = PlainLine(out, clock, updating=False)
    line.tick()
    line.cell_started(3, 9, "look: latency over time")
    clock.sleep(2.1)
    line.tick()
    line.cell_ended("ok", 2.1)
    line.cell_started(4, 9, "decide")
    clock.sleep(31)
    line.tick()
    line.tick()
    line.cell_ended("timed_out", 40)
    line.note("stop requested: \x1b[31mSIGTERM")

    assert out.getvalue().splitlines() == [
        "[3/9] look: latency over time … 2.1 s",
        "[4/9] decide … 31 s, still running",
        "[4/9] decide … 40 s  timed out",
        "stop requested: �[31mSIGTERM",
    ]


def test_on_a_terminal_the_line_is_redrawn_in_place_and_cut_to_its_width(kit):
    out, clock = io.StringIO(), kit.FakeClock()
    line = PlainLine(out, clock, updating=True, width=30)
    line.cell_started(1, 2, "look: a very long name of a cell indeed")
    clock.sleep(0.4)
    line.tick()
    clock.sleep(0.2)
    line.tick()
    line.cell_ended("ok", 0.6)

    frames = out.getvalue().split("\r\033[K")[1:]
    assert frames == [
        "[1/2] look: a very long name o",
        "[1/2] look: a very long name o",
        "[1/2] look: a very long name of a cell indeed … 600 ms\n",
    ]


def test_progress_goes_to_standard_error(capsys):
    line = stderr_line()
    line.note("x")
    assert capsys.readouterr().out == ""
