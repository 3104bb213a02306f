"""Lists: selectors, pages of one moment, and the errors of what cannot be shown."""

import base64
import json

import pytest

from opslib.lab.cluster.lists import Selection, list_page
from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Store

CONFIGMAPS = Resources().find("configmaps")


def put(store: Store, name: str, **labels: str) -> None:
    store.put(CONFIGMAPS, {"metadata": {"name": name, "namespace": "shop", "uid": name, "labels": labels}})


@pytest.fixture
def store() -> Store:
    store = Store()
    for number in range(5):
        put(store, f"c{number}", odd=str(number % 2))
    return store


def page(store: Store, namespace: str = "", **query: str):
    return list_page(store, CONFIGMAPS, Selection.of(namespace, query, CONFIGMAPS), query)


def names(found) -> list[str]:
    return [o["metadata"]["name"] for o in found.items]


def test_pages_show_one_moment(store: Store) -> None:
    first = page(store, limit="2")
    put(store, "c9")
    store.remove(CONFIGMAPS, "shop", "c3")
    second = page(store, limit="2", **{"continue": first.token})
    third = page(store, limit="2", **{"continue": second.token})

    assert [names(p) for p in (first, second, third)] == [["c0", "c1"], ["c2", "c3"], ["c4"]]
    assert first.metadata() == {
        "resourceVersion": str(first.revision),
        "continue": first.token,
        "remainingItemCount": 3,
    }
    assert third.metadata() == {"resourceVersion": str(first.revision)}
    assert names(page(store)) == ["c0", "c1", "c2", "c4", "c9"]


def test_a_token_is_what_the_real_server_writes(store: Store) -> None:
    token = page(store, limit="1").token
    assert json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))) == {
        "v": "meta.k8s.io/v1",
        "rv": store.revision,
        "start": "shop/c0\0",
    }


def test_selected_pages_do_not_say_how_many_remain(store: Store) -> None:
    found = page(store, limit="1", labelSelector="odd=0")
    assert (names(found), found.remaining) == (["c0"], None)
    assert names(page(store, fieldSelector="metadata.name!=c1", labelSelector="odd=1")) == ["c3"]
    assert names(page(store, "elsewhere")) == []


def test_an_old_token_is_answered_with_a_new_one(store: Store) -> None:
    token = page(store, limit="2").token
    put(store, "c5")
    store.compact()

    with pytest.raises(StatusError) as raised:
        page(store, **{"continue": token})

    assert (raised.value.code, raised.value.reason) == (410, "Expired")
    assert raised.value.body["metadata"]["resourceVersion"] == "-1"
    rest = page(store, **{"continue": raised.value.body["metadata"]["continue"]})
    assert names(rest) == ["c2", "c3", "c4", "c5"]


def test_an_exact_revision_is_shown_while_it_is_known(store: Store) -> None:
    then = str(store.revision)
    put(store, "c5")
    assert len(page(store, resourceVersion=then, resourceVersionMatch="Exact").items) == 5
    assert len(page(store, resourceVersion=then, resourceVersionMatch="NotOlderThan").items) == 6
    assert len(page(store, resourceVersion="0").items) == 6
    store.compact()
    with pytest.raises(StatusError, match="The resourceVersion for the provided list is too old") as raised:
        page(store, resourceVersion=then, resourceVersionMatch="Exact")
    assert raised.value.code == 410


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        (
            {"continue": "x", "resourceVersion": "3"},
            400,
            "specifying resource version is not allowed when using",
        ),
        ({"continue": "garbage!"}, 400, "invalid continue token"),
        ({"continue": "bnVsbA"}, 400, "invalid continue token"),
        ({"resourceVersion": "99999999"}, 504, "Too large resource version: 99999999, current: 6"),
        ({"resourceVersion": "abc"}, 400, "invalid resource version"),
        ({"resourceVersionMatch": "Exact"}, 422, "resourceVersionMatch: Forbidden"),
        ({"limit": "-1"}, 400, "limit"),
    ],
)
def test_what_cannot_be_listed(store: Store, query: dict, code: int, text: str) -> None:
    with pytest.raises(StatusError, match=text) as raised:
        page(store, **query)
    assert raised.value.code == code
