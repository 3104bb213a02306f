"""Each call is one right request, is made again only where that is safe, and fails in words that say what to do."""

import threading

import pytest
from fake_api import FakeClock, FakeTransport, answer, status
from hypothesis import given
from hypothesis import strategies as st

from opslib.core.errors import (
    ClusterError,
    ConflictError,
    ForbiddenError,
    ManifestError,
    NotFoundError,
    OpslibError,
    RefusedError,
)
from opslib.kube import Client, Kind, Ref
from opslib.kube.client import IN_FLIGHT
from opslib.kube.retry import Retry
from opslib.kube.wire import APPLY, Response

CONFIG = Ref("v1", "ConfigMap", "shop", "settings")
BODY = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "namespace": "shop"},
    "data": {},
}
SECRET = {**BODY, "kind": "Secret", "data": {"password": "aHVudGVyMg==", "pin": 4711, "short": "abc"}}
CONFIGMAPS = Kind("v1", "ConfigMap", "configmaps", namespaced=True)


def client(reply, streams=()) -> tuple[Client, FakeTransport, FakeClock]:
    """A client whose server is a function, or gives the answers of a list one after the other."""
    answers = iter(reply) if isinstance(reply, list) else None

    def one(request):
        said = next(answers) if answers else reply(request)
        if isinstance(said, Exception):
            raise said
        return said

    transport, clock = FakeTransport(one, list(streams)), FakeClock()
    return Client(transport, clock, namespace="shop"), transport, clock


def test_an_apply_is_a_patch_in_the_name_of_its_manager() -> None:
    api, transport, _ = client([answer(BODY)])

    assert api.apply(BODY, manager="opslib", dry_run=True) == BODY

    (request,) = transport.asked
    assert (request.method, request.path) == ("PATCH", "/api/v1/namespaces/shop/configmaps/settings")
    assert request.content_type == APPLY
    assert request.query == {
        "dryRun": "All",
        "fieldManager": "opslib",
        "force": "false",
        "fieldValidation": "Strict",
    }


def test_what_is_not_there_is_none_and_a_deletion_of_it_is_well() -> None:
    api, transport, _ = client(lambda _: status(404, "not found"))

    assert api.get(CONFIG) is None
    api.delete(CONFIG, uid="u")

    assert transport.asked[-1].body["preconditions"] == {"uid": "u"}


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a%2fb"])
def test_a_name_never_leads_to_another_object(name) -> None:
    api, transport, _ = client([])

    with pytest.raises(ManifestError, match="no name"):
        api.delete(Ref("v1", "ConfigMap", "shop", name), uid="u")
    assert not transport.asked


def test_pages_are_read_to_the_end_and_again_when_their_moment_is_forgotten() -> None:
    def page(names, token=""):
        return answer({"items": [{"metadata": {"name": n}} for n in names], "metadata": {"continue": token}})

    api, transport, _ = client([page("ab", "t1"), status(410, "expired"), page("abc", "t2"), page("d")])

    found = api.list_objects(CONFIGMAPS, "shop", labels="app=web")

    assert [o["metadata"]["name"] for o in found] == list("abcd")
    assert found[0]["kind"] == "ConfigMap"
    assert [r.query.get("continue") for r in transport.asked] == [None, "t1", None, "t2"]
    assert {r.query["labelSelector"] for r in transport.asked} == {"app=web"}


def test_many_objects_of_a_kind_are_read_as_one_list_unless_it_is_far_longer() -> None:
    refs = [Ref("v1", "ConfigMap", "shop", f"c{n}") for n in range(30)]
    items = [{"metadata": {"name": f"c{n}"}} for n in range(5, 200)]
    short, long = ({"items": items, "metadata": {"continue": token}} for token in ("", "more"))

    def reply(page):
        def one(request):
            return answer(page) if "limit" in request.query else answer({"metadata": {"name": "one"}})

        return one

    api, transport, _ = client(reply(short))
    assert list(api.get_all(refs)) == refs[5:]
    assert [r.query for r in transport.asked] == [{"limit": "300"}]
    api, transport, _ = client(reply(long))
    assert list(api.get_all(refs)) == refs
    assert len(transport.asked) == 31


def test_a_few_objects_are_read_one_by_one_and_an_error_about_one_is_raised() -> None:
    api, _, _ = client(lambda _: status(403, "no"))

    with pytest.raises(RefusedError):
        api.get_all([CONFIG])


def test_a_kind_that_came_later_is_found_and_an_unknown_one_has_near_names() -> None:
    api, _, _ = client([])

    assert api.kind("v1", "ConfigMap") == Kind("v1", "ConfigMap", "configmaps", True, ("get", "list"))
    with pytest.raises(NotFoundError) as error:
        api.kind("v1", "Configmap")
    assert "did you mean ConfigMap" in error.value.hint


def test_a_group_that_is_not_served_is_said_to_lack_its_definition() -> None:
    api, _, _ = client([status(404), status(404)])

    with pytest.raises(NotFoundError) as error:
        api.kind("stable.example.com/v1", "CronTab")
    assert "CustomResourceDefinition" in error.value.hint


@pytest.mark.parametrize(
    "fault", [status(429), status(409, "modified"), status(500), status(504), ClusterError("x")]
)
def test_a_fault_that_passes_is_waited_out(fault) -> None:
    api, transport, clock = client([fault, fault, answer(BODY)])

    assert api.apply(BODY, manager="opslib") == BODY
    assert (len(transport.asked), clock.slept) == (3, [0.1, 0.2])


def test_the_servers_wish_to_wait_goes_before_ours() -> None:
    api, _, clock = client([answer({}, 429, **{"retry-after": "7"}), answer(BODY)])

    api.get(CONFIG)

    assert clock.slept == [7]


@pytest.mark.parametrize("fault", [status(429), status(503), ClusterError("lost")])
def test_a_fault_that_stays_ends_within_the_budget(fault) -> None:
    api, transport, clock = client(lambda _: fault)

    with pytest.raises(ClusterError):
        api.get(CONFIG)
    assert 20 < clock.now_s <= 30
    assert len(transport.asked) == len(clock.slept) + 1


def test_a_server_that_hangs_is_not_asked_for_longer_than_the_budget() -> None:
    api, transport, clock = client([])

    def hang(_):
        clock.now_s += 30
        raise ClusterError("did not answer")

    transport.reply = hang
    with pytest.raises(ClusterError):
        api.get(CONFIG)
    assert len(transport.asked) == 1


@pytest.mark.parametrize("fault", [status(500), status(409, "AlreadyExists"), ClusterError("lost")])
def test_a_creation_that_may_have_happened_is_not_repeated(fault) -> None:
    api, transport, _ = client([fault, answer(BODY)])

    with pytest.raises(OpslibError):
        api.create(BODY)
    assert len(transport.asked) == 1


def test_a_deletion_of_another_object_of_the_name_is_not_repeated() -> None:
    api, transport, _ = client(
        [status(409, "the UID in the precondition (a) does not match the UID in record (b)")]
    )

    with pytest.raises(ConflictError):
        api.delete(CONFIG, uid="a")
    assert len(transport.asked) == 1


@pytest.mark.parametrize("fault", [status(429), ClusterError("refused", sent=False)])
def test_a_creation_that_cannot_have_happened_is_repeated(fault) -> None:
    api, _, _ = client([fault, answer(BODY)])

    assert api.create(BODY) == BODY


def test_a_patch_with_a_test_is_not_repeated_and_its_failure_is_a_conflict() -> None:
    test = [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]
    api, transport, _ = client([status(500), status(422, "the server rejected our request")])

    with pytest.raises(ClusterError):
        api.patch(CONFIG, test)
    with pytest.raises(ConflictError) as error:
        api.patch(CONFIG, test)
    assert len(transport.asked) == 2
    assert "plan again" in error.value.hint


def test_a_missing_right_is_named() -> None:
    text = (
        'deployments.apps "web" is forbidden: User "ci" cannot patch resource "deployments" in API group "apps" '
        'in the namespace "shop"'
    )
    api, _, _ = client([status(403, text)])

    with pytest.raises(
        ForbiddenError, match=r"the right to patch deployments\.apps in shop is missing"
    ) as error:
        api.get(CONFIG)
    assert "kubectl auth can-i patch deployments.apps -n shop" in error.value.hint


@pytest.mark.parametrize(
    ("code", "kind"), [(401, ForbiddenError), (403, RefusedError), (404, NotFoundError), (422, ManifestError)]
)
def test_each_status_has_its_error_with_a_hint(code, kind) -> None:
    api, _, _ = client([status(code, "quota exceeded")])

    with pytest.raises(kind) as error:
        api.apply(BODY, manager="opslib")
    assert type(error.value) is kind
    assert error.value.hint


def test_owners_of_fields_are_told_and_a_conflict_over_them_is_not_repeated() -> None:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl" using apps/v1',
            "field": ".spec.replicas",
        }
    ]
    api, transport, _ = client([status(409, "Apply failed", "Conflict", details={"causes": causes})])

    with pytest.raises(ConflictError) as error:
        api.apply(BODY, manager="opslib")
    assert error.value.owners == ((".spec.replicas", "kubectl"),)
    assert len(transport.asked) == 1


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"[1]", b'{"kind": ', b""])
def test_an_answer_that_is_no_object_says_what_may_stand_between(body) -> None:
    api, _, _ = client([Response(200, {"content-type": "text/html"}, body)])

    with pytest.raises(ClusterError, match="text/html") as error:
        api.get(CONFIG)
    assert "proxy" in error.value.hint


def test_no_error_repeats_the_values_of_a_secret() -> None:
    said = "failed to create typed patch object: .data.pin: expected string, got 4711; hunter2 aHVudGVyMg== (abc) abcd"
    api, transport, _ = client([status(500, said)])

    with pytest.raises(ManifestError) as error:
        api.apply(SECRET, manager="opslib")

    assert not [value for value in ("4711", "hunter2", "aHVudGVyMg", "(abc)") if value in str(error.value)]
    assert "abcd" in str(error.value)
    assert len(transport.asked) == 1


def test_no_error_repeats_what_has_the_shape_of_a_credential() -> None:
    api, _, _ = client([status(422, 'spec.containers[0].args: Invalid value: "--password=hunter2222"')])

    with pytest.raises(ManifestError) as error:
        api.apply(BODY, manager="opslib")
    assert "hunter2222" not in str(error.value)


def test_rights_are_asked_for_one_by_one() -> None:
    api, transport, _ = client([answer({"status": {"allowed": True}})])

    assert api.may("delete", Kind("apps/v1", "Deployment", "deployments", namespaced=True), "shop")
    assert transport.asked[0].body["spec"]["resourceAttributes"] == {
        "verb": "delete", "group": "apps", "resource": "deployments", "namespace": "shop",
    }  # fmt: skip


def test_the_identity_is_the_servers_address_where_kube_system_may_not_be_seen() -> None:
    seen, _, _ = client([answer({"metadata": {"uid": "42"}})])
    unseen, _, _ = client([status(403, "forbidden")])

    assert (seen.identity(), unseen.identity()) == ("42", "https://api.example")


def test_many_calls_keep_their_order_their_errors_and_their_bound() -> None:
    api, _, _ = client([])
    lock, running, most = threading.Lock(), [0], [0]
    gate = threading.Barrier(IN_FLIGHT, timeout=60)

    def call(number: int) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait()
        with lock:
            running[0] -= 1
        if number % 7 == 0:
            raise NotFoundError(str(number))
        return number

    many = range(2 * IN_FLIGHT)
    found = api.each(call, many)

    assert [int(str(f)) for f in found] == list(many)
    assert [type(f) is int for f in found] == [n % 7 != 0 for n in many]
    assert most[0] == IN_FLIGHT


def test_an_interrupt_begins_nothing_more() -> None:
    api, _, _ = client([])
    begun = []

    def call(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise KeyboardInterrupt
        threading.Event().wait(0.05)  # what a call takes; all would be begun before the interrupt is seen

    with pytest.raises(KeyboardInterrupt):
        api.each(call, range(10_000))
    assert len(begun) < 10_000


@given(st.integers(0, 40), st.floats(0, 100), st.integers(1, 400))
def test_waits_grow_and_are_bounded(attempt, asked_s, tenths) -> None:
    policy = Retry(first_s=tenths / 10)

    assert asked_s <= policy.wait_s(attempt, asked_s) <= max(asked_s, policy.longest_s)
    assert policy.wait_s(attempt) <= policy.wait_s(attempt + 1)


def test_a_service_is_asked_by_the_proxy_and_its_word_is_told_from_the_servers() -> None:
    service = Ref("v1", "Service", "shop", "web")
    made, transport, _ = client(
        [answer(b"ready"), answer(b"{}", 503), status(403, "forbidden", apiVersion="v1")]
    )

    assert made.ask_service(service, "80", "/health/ready") == 200
    assert transport.asked[0].path == "/api/v1/namespaces/shop/services/web:80/proxy/health/ready"
    assert made.ask_service(service, "80", "/") == 503
    assert transport.asked[1].path.endswith("/proxy/"), "without it the server only redirects"
    with pytest.raises(RefusedError):
        made.ask_service(service, "80", "/")
    assert len(transport.asked) == 3, "each is asked once"
    for path in ("/../../secrets/key", "/a/%2e%2e/b", "/a/./b"):
        with pytest.raises(ManifestError):
            made.ask_service(service, "80", path)
