"""The work queue: one look for many changes, patience with failures, nothing left behind."""

import itertools
import logging

import pytest
from cluster_world import VirtualTime

from opslib.lab.cluster.controllers.loop import Queue
from opslib.lab.cluster.statuses import bad_request
from opslib.lab.cluster.store import Event

KEY = ("default", "a")


class Notes:
    """A controller that notes when it was asked, and answers what it is told to."""

    def __init__(self, time: VirtualTime, *answers: float | Exception | None) -> None:
        self.time, self.answers, self.seen = time, list(answers), []

    def keys(self, event: Event) -> set[tuple[str, str]]:
        return {(event.object["namespace"], event.object["name"])}

    def reconcile(self, key: tuple[str, ...]) -> float | None:
        self.seen.append((round(self.time.time_s, 3), key))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


def test_many_changes_are_one_look_and_one_during_the_look_is_another(time: VirtualTime) -> None:
    controller = Notes(time)
    queue = Queue(controller, time)
    event = Event("ADDED", "things", {"namespace": "default", "name": "a"}, None, 1)
    for _ in range(10):
        queue.tell(event)
    assert controller.seen == [], "never within the write"
    time.run()
    assert controller.seen == [(0.0, KEY)]
    queue.add(KEY)
    time.run()
    assert len(controller.seen) == 2
    assert len(queue) == time.pending == 0


def test_a_look_later_happens_once_and_the_last_answer_counts(time: VirtualTime) -> None:
    controller = Notes(time, 10.0, 3.0, None)
    queue = Queue(controller, time)
    queue.add(KEY)
    time.run(5)
    queue.add(KEY)
    time.run(60)
    assert [at_s for at_s, _ in controller.seen] == [0.0, 5.0, 8.0]
    assert len(queue) == time.pending == 0


def test_failures_are_tried_again_with_a_growing_delay_and_forgotten_with_success(
    time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    controller = Notes(time, *[bad_request("no")] * 20, None)
    queue = Queue(controller, time)
    queue.add(KEY)
    time.run(0.5)
    assert queue.failures == {KEY: 6}
    time.run(3600)
    at_s = [at for at, _ in controller.seen]
    gaps = [round(b - a, 2) for a, b in itertools.pairwise(at_s)]
    assert gaps == sorted(gaps)
    assert max(gaps) == 60
    assert queue.failures == {}
    assert len(queue) == time.pending == 0
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING], "a refused write is nothing new"


def test_an_error_of_a_controller_is_logged_and_stops_nobody(
    time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    controller = Notes(time, ZeroDivisionError("oops"), None, None)
    queue = Queue(controller, time)
    queue.add(KEY)
    queue.add(("default", "b"))
    time.run(1)
    assert [key for _, key in controller.seen] == [KEY, ("default", "b"), KEY]
    assert "oops" in caplog.text


def test_an_object_that_a_controller_cannot_read_does_not_break_the_write(
    time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Queue(Notes(time), time)
    queue.tell(Event("ADDED", "things", {}, None, 1))
    assert "things" in caplog.text
    assert len(queue) == 0


def test_two_queues_take_turns(time: VirtualTime) -> None:
    order: list[str] = []
    queues = []
    for name in ("x", "y"):
        controller = Notes(time)
        controller.reconcile = lambda key, name=name: order.append(name)
        queues.append(Queue(controller, time))
    for n in range(3):
        for queue in queues:
            queue.add(("default", str(n)))
    time.run()
    assert order == ["x", "y"] * 3


def test_a_stopped_queue_does_nothing_and_leaves_no_timer(time: VirtualTime) -> None:
    controller = Notes(time, 5.0)
    queue = Queue(controller, time)
    queue.add(KEY)
    time.run()
    queue.add(("default", "b"))
    queue.stop()
    queue.add(KEY)
    time.run(60)
    assert controller.seen == [(0.0, KEY)]
    assert time.pending == 0
