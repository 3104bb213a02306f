"""A watch tells no less than a new list would, whatever becomes of its connections."""

import itertools

import pytest
from fake_api import FakeClock, FakeTransport, answer, status

from opslib.core.errors import ClusterError, ForbiddenError
from opslib.kube import Client, Kind

PODS = Kind("v1", "Pod", "pods", namespaced=True)


def pod(name: str, version: int) -> dict:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version)}}


def listed(version: int, *pods: dict):
    return answer({"items": list(pods), "metadata": {"resourceVersion": str(version)}})


def event(kind: str, name: str, version: int) -> dict:
    return {"type": kind, "object": pod(name, version)}


def told(lists: list, streams: list, quiet: int) -> tuple[list, FakeTransport, FakeClock]:
    """What is told until the given number of QUIETs, as `type name version`."""
    answers = iter(lists)
    transport, clock = FakeTransport(lambda _: next(answers), streams), FakeClock()
    watch = Client(transport, clock).watch(PODS, "shop")
    found = []
    for change in watch:
        metadata = change.object.get("metadata", {})
        found.append(" ".join([change.type, *(metadata[k] for k in ("name", "resourceVersion") if metadata)]))
        if found.count("QUIET") == quiet:
            break
    watch.close()
    return found, transport, clock


def versions(transport: FakeTransport) -> list:
    return [r.query.get("resourceVersion") for r in transport.asked if "watch" in r.query]


def test_what_is_there_comes_first_then_what_changes() -> None:
    found, transport, clock = told(
        [listed(5, pod("a", 3))],
        [[event("ADDED", "b", 6), event("MODIFIED", "a", 7), event("DELETED", "b", 8)]],
        2,
    )

    assert found == ["ADDED a 3", "QUIET", "ADDED b 6", "MODIFIED a 7", "DELETED b 8", "QUIET"]
    assert versions(transport) == ["5"]
    assert transport.asked[-1].query["allowWatchBookmarks"] == "true"
    assert int(transport.asked[-1].query["timeoutSeconds"]) < transport.asked[-1].timeout_s
    assert not clock.slept


def test_it_goes_on_from_the_last_version_seen_bookmarks_included() -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "90"}}}

    found, transport, _ = told([listed(5)], [[event("ADDED", "a", 6)], [bookmark], []], 4)

    assert found == ["QUIET", "ADDED a 6", "QUIET", "QUIET", "QUIET"]
    assert versions(transport) == ["5", "6", "90"]


@pytest.mark.parametrize(
    "forgotten",
    [
        status(410, "too old"),
        [{"type": "ERROR", "object": {"code": 410}}],
        [b'{"type": "ADDED", "obj'],
        [b"<html>"],
        [{"type": "ADDED", "object": {"metadata": {}}}],
    ],
)
def test_where_the_server_has_forgotten_all_is_listed_again_and_losses_are_told(forgotten) -> None:
    lists = [listed(5, pod("a", 3), pod("b", 4)), listed(50, pod("b", 40), pod("c", 41))]

    found, transport, _ = told(lists, [forgotten, []], 3)

    assert found == [
        "ADDED a 3",
        "ADDED b 4",
        "QUIET",
        "DELETED a 3",
        "MODIFIED b 40",
        "ADDED c 41",
        "QUIET",
        "QUIET",
    ]
    assert versions(transport) == ["5", "50"]


def test_a_watch_that_breaks_off_goes_on_with_growing_pauses() -> None:
    broken = [ClusterError("cut"), [event("ADDED", "a", 6), ClusterError("cut")], status(503), status(429)]
    streams = [[s] if isinstance(s, ClusterError) else s for s in broken]

    found, transport, clock = told([listed(5)], streams, 5)

    assert found == ["QUIET", "QUIET", "ADDED a 6", "QUIET", "QUIET", "QUIET"]
    assert versions(transport) == ["5", "5", "6", "6"]
    assert clock.slept == [0.2, 0.2, 0.4, 0.8]


def test_a_missing_right_ends_it() -> None:
    with pytest.raises(ForbiddenError):
        told([listed(5)], [status(403, 'User "ci" cannot watch resource "pods" in API group ""')], 2)


def test_a_server_that_forgets_at_once_is_not_asked_without_pause() -> None:
    lists = itertools.repeat(listed(5))

    _, _, clock = told(lists, [status(410)] * 12, 12)

    assert len(clock.slept) == 11
    assert clock.slept[-1] == 5
