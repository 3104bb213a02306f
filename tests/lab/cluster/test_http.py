"""The API over HTTP, without a network: what is answered to whom, faults, discovery, schemas."""

import asyncio
import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from opslib.lab.cluster.access import Ask, Rules, Tokens
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.faults import Faults
from opslib.lab.cluster.handlers import Handlers
from opslib.lab.cluster.http import Server
from opslib.lab.cluster.options import LogOptions, WriteOptions
from opslib.lab.cluster.statuses import StatusError, bad_request, too_many_requests
from opslib.lab.cluster.store import Store
from opslib.lab.cluster.watches import Watches
from opslib.testing import ManualClock

PODS = "/api/v1/namespaces/shop/pods"
CONFIGMAPS = "/api/v1/namespaces/shop/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Kubelet:
    """Logs and usage as a test wants them."""

    async def read(self, namespace: str, pod: str, wanted: LogOptions):
        if wanted.container == "nope":
            raise bad_request(f"container nope is not valid for pod {pod}")

        async def lines():
            yield f"{wanted.container} {wanted.tail_lines} {wanted.follow}\n".encode()
            yield b"and more\n"

        return lines()

    def pods(self, namespace: str) -> list[dict]:
        metadata = {"name": "p", "namespace": namespace}
        return [{"kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": metadata}]


def evict(api: Api, namespace: str, name: str, options: Any) -> dict:
    raise too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 10)


class World:
    """The server and a client of it."""

    def __init__(self) -> None:
        clock, kubelet = ManualClock(), Kubelet()
        self.api = Api(Store(), clock)
        self.tokens = Tokens(self.api.store, clock, admin="admin", key=b"k" * 32)
        rules, watches = Rules(self.api.store), Watches(self.api.store)
        handlers = Handlers(self.api, self.tokens, rules, watches, evict, kubelet, kubelet)
        server = Server(self.api, self.tokens, rules, watches, Faults(), handlers, "# the page")
        self.client = TestClient(server, raise_server_exceptions=False)
        write = WriteOptions("test")
        self.api.create("namespaces", "", {"metadata": {"name": "shop"}}, write)
        self.api.create("serviceaccounts", "shop", {"metadata": {"name": "default"}}, write)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "admin",
        raw: bytes = b"",
        **headers: str,
    ):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if user:
            sent["authorization"] = f"Bearer {user}"
        content = raw or (b"" if body is None else json.dumps(body).encode())
        return self.client.request(method, path, content=content, headers=sent)

    def get(self, path: str, **headers: str):
        return self.call("GET", path, **headers)


@pytest.fixture
def world() -> World:
    return World()


def pod(name: str) -> dict:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "web:v1"}]}}


def test_a_body_without_type_kind_or_version_is_enough(world: World) -> None:
    made = world.call(
        "POST", CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"x": "1"}}, user_agent="curl/8"
    )
    assert made.status_code == 201
    assert (made.json()["kind"], made.json()["apiVersion"]) == ("ConfigMap", "v1")
    assert made.json()["metadata"]["managedFields"][0]["manager"] == "curl"
    assert made.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "raw", "content_type", "code", "text"),
    [
        ("GET", "/nothing", b"", "", 404, "404 page not found"),
        ("GET", "/apis/nothing/v1/things", b"", "", 404, "404 page not found"),
        ("GET", "/api/v1/things", b"", "", 404, "the server could not find the requested resource"),
        ("GET", f"{PODS}/p/nothing", b"", "", 501, "practice cluster does not imitate this: pods/nothing"),
        ("GET", f"{CONFIGMAPS}/a", b"", "", 404, 'configmaps "a" not found'),
        ("PUT", CONFIGMAPS, b"{}", "", 405, "does not allow this method"),
        ("POST", f"{CONFIGMAPS}/a", b"{}", "", 405, "does not allow this method"),
        ("POST", CONFIGMAPS, b"{", "", 400, "json"),
        ("POST", CONFIGMAPS, b"[]", "", 400, "the body is no object"),
        (
            "POST",
            CONFIGMAPS,
            b"a: 1",
            "application/yaml",
            415,
            "accepted media types include: application/json",
        ),
        ("POST", CONFIGMAPS, b"{}", "text/csv", 415, "accepted media types include: application/json"),
        ("PATCH", f"{CONFIGMAPS}/a", b"{}", "application/json", 415, "application/merge-patch+json"),
        (
            "POST",
            "/api/v1/namespaces/none/configmaps",
            b'{"metadata":{"name":"a"}}',
            "",
            404,
            'namespaces "none" not',
        ),
        ("POST", f"{CONFIGMAPS}?dryRun=bogus", b"{}", "", 422, 'dryRun: Unsupported value: ["bogus"]'),
        ("POST", f"{CONFIGMAPS}?fieldValidation=Some", b"{}", "", 422, "fieldValidation: Unsupported value"),
        ("POST", CONFIGMAPS, b" " * (3 << 20) + b"{}", "", 413, "limit is"),
        ("GET", f"{CONFIGMAPS}?labelSelector=a+in+b", b"", "", 400, "unable to parse requirement"),
        ("GET", f"{CONFIGMAPS}?limit=x", b"", "", 400, "limit"),
        ("DELETE", f"{CONFIGMAPS}?propagationPolicy=x", b"", "", 422, "propagationPolicy"),
    ],
)
def test_what_is_wrong_is_said(world: World, method, path, raw, content_type, code, text) -> None:
    headers = {"content_type": content_type} if content_type else {}
    answer = world.call(method, path, raw=raw, **headers)
    is_status = answer.headers["content-type"] == "application/json"
    assert text in (answer.json()["message"] if is_status else answer.text)
    assert answer.status_code == (answer.json()["code"] if is_status else 404) == code


def test_who_is_not_known_or_not_allowed(world: World) -> None:
    anonymous = world.call("GET", PODS, user="")
    assert anonymous.status_code == 403
    assert anonymous.json()["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "shop"'
    )
    assert world.call("GET", PODS, user="wrong").status_code == 401
    robot = world.tokens.issue("shop", world.api.get("serviceaccounts", "shop", "default"))
    assert world.call("GET", PODS, user=robot).status_code == 403
    assert world.call("GET", PODS, user=robot, impersonate_user="practice-admin").status_code == 403
    assert world.call("GET", "/practice/faults", user=robot).status_code == 403
    assert world.call("GET", "/apis", user=robot).status_code == 200
    assert world.call("GET", PODS, impersonate_user="somebody").status_code == 403


def test_a_delete_says_what_was_deleted(world: World) -> None:
    made = world.call("POST", CONFIGMAPS, {"metadata": {"name": "a"}}).json()
    wrong = world.call("DELETE", f"{CONFIGMAPS}/a", {"preconditions": {"uid": "other"}})
    status = world.call("DELETE", f"{CONFIGMAPS}/a").json()
    assert (wrong.status_code, "the UID in the precondition (other)" in wrong.text) == (409, True)
    assert status["status"] == "Success"
    assert status["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    world.call("POST", PODS, pod("p"))
    assert world.call("DELETE", f"{PODS}/p").json()["kind"] == "Pod"
    for name in ("b", "c"):
        world.call("POST", CONFIGMAPS, {"metadata": {"name": name, "labels": {"l": name}}})
    gone = world.call("DELETE", f"{CONFIGMAPS}?labelSelector=l%3Db").json()
    assert [o["metadata"]["name"] for o in gone["items"]] == ["b"]


def test_lists_and_tables(world: World) -> None:
    world.call("POST", CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"x": "1"}})
    listed = world.get("/api/v1/configmaps").json()
    assert (listed["kind"], len(listed["items"])) == ("ConfigMapList", 1)
    table = world.get(CONFIGMAPS, accept=TABLE).json()
    assert (table["kind"], table["rows"][0]["cells"][:2]) == ("Table", ["a", 1])
    assert table["metadata"] == {"resourceVersion": listed["metadata"]["resourceVersion"]}
    one = world.get(f"{CONFIGMAPS}/a?includeObject=Object", accept=TABLE).json()
    assert one["rows"][0]["object"]["data"] == {"x": "1"}


def test_a_watch_is_a_stream_of_lines(world: World) -> None:
    world.call("POST", CONFIGMAPS, {"metadata": {"name": "a"}})
    answer = world.get(
        f"{CONFIGMAPS}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true", accept_encoding="gzip"
    )
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert [e["type"] for e in events[:2]] == ["ADDED", "BOOKMARK"]
    assert answer.headers["content-type"] == "application/json"
    assert "content-encoding" not in answer.headers
    assert len(world.client.app.watches) == 0


def test_logs_are_passed_on(world: World) -> None:
    world.call("POST", PODS, pod("p"))
    answer = world.get(f"{PODS}/p/log?container=c&tailLines=7&follow=True")
    assert (answer.text, answer.headers["content-type"]) == (
        "c 7 True\nand more\n",
        "text/plain; charset=utf-8",
    )
    assert world.get(f"{PODS}/p/log?container=nope").status_code == 400
    assert world.get(f"{PODS}/q/log").status_code == 404


def test_pods_are_bound_evicted_and_measured(world: World) -> None:
    world.call("POST", PODS, pod("p"))
    bound = world.api.bind("shop", "p", "practice")
    assert (bound["spec"]["nodeName"], bound["status"]["conditions"][0]["type"]) == (
        "practice",
        "PodScheduled",
    )
    with pytest.raises(StatusError, match="already assigned"):
        world.api.bind("shop", "p", "other")
    refused = world.call("POST", f"{PODS}/p/eviction", {})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    assert world.get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods").json()["kind"] == "PodMetricsList"
    assert world.get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/q").status_code == 404


def test_a_token_is_made_for_an_account(world: World) -> None:
    path = "/api/v1/namespaces/shop/serviceaccounts/default/token"
    made = world.call("POST", path, {"spec": {"expirationSeconds": 10}})
    assert made.status_code == 201
    assert made.json()["spec"]["expirationSeconds"] == 600
    user = world.tokens.user(f"Bearer {made.json()['status']['token']}")
    assert user.name == "system:serviceaccount:shop:default"


def test_warnings_are_headers(world: World) -> None:
    body = {"metadata": {"name": "a"}, "dataa": {}, 'q"uote': 1}
    made = world.call("POST", CONFIGMAPS, body)
    assert (
        made.headers["warning"] == '299 - "unknown field \\"dataa\\"", 299 - "unknown field \\"q\\"uote\\""'
    )
    assert "strict decoding error" in world.call("POST", f"{CONFIGMAPS}?fieldValidation=Strict", body).text


def test_what_there_is(world: World) -> None:
    groups = {g["name"] for g in world.get("/apis").json()["groups"]}
    assert {"apps", "batch", "metrics.k8s.io"} <= groups
    listed = {r["name"]: r for r in world.get("/apis/apps/v1").json()["resources"]}
    assert listed["deployments/scale"]["kind"] == "Scale"
    assert world.get("/api").json()["versions"] == ["v1"]
    assert world.get("/version", user="").json()["gitVersion"].endswith("practice")
    assert world.get("/healthz").text == "ok"
    assert world.call("GET", "/", user="").text == "# the page"


def test_schemas_name_kinds_and_parameters(world: World) -> None:
    assert set(world.get("/openapi/v3").json()["paths"]) >= {"api/v1", "apis/apps/v1"}
    document = world.get("/openapi/v3/apis/apps/v1?hash=1").json()
    operation = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert operation["x-kubernetes-group-version-kind"]["kind"] == "Deployment"
    assert {p["name"] for p in operation["parameters"]} >= {"fieldValidation", "dryRun", "fieldManager"}
    assert world.get("/openapi/v3/apis/none/v1").status_code == 404


@pytest.mark.parametrize("code", [409, 429, 500, 504])
def test_faults_answer_errors_as_often_as_asked(world: World, code: int) -> None:
    on = {"code": code, "times": 2, "verb": "list", "resource": "pods", "retry_after_s": 7}
    assert world.call("POST", "/practice/faults", on).json()["faults"][0]["code"] == code
    answers = [world.get(PODS) for _ in range(3)]
    assert [a.status_code for a in answers] == [code, code, 200]
    assert answers[0].headers.get("retry-after") == ("7" if code == 429 else None)
    assert world.get(CONFIGMAPS).status_code == 200


def test_faults_are_cleared_and_checked(world: World) -> None:
    world.call("POST", "/practice/faults", {"code": 500})
    assert world.get(PODS).status_code == 500
    assert world.call("DELETE", "/practice/faults").json()["faults"] == []
    assert world.get(PODS).status_code == 200
    for wrong in ({"code": 418}, {"nonsense": 1}, {"code": "x"}, []):
        assert world.call("POST", "/practice/faults", wrong).status_code == 400


def test_a_partition_holds_requests_back_until_it_heals() -> None:
    async def test() -> None:
        faults = Faults()
        await faults.add({"partition": True, "resource": "pods"})
        held = asyncio.create_task(faults.meet(Ask("list", "", "pods")))
        await faults.meet(Ask("list", "", "secrets"))
        await asyncio.sleep(0)
        assert not held.done()
        await faults.clear()
        await asyncio.wait_for(held, 10)

    asyncio.run(test())


def test_an_unexpected_failure_is_an_answer_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kubelet, "pods", lambda *_: 1 / 0)
    answer = world.get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods")
    assert (answer.status_code, answer.json()["reason"]) == (500, "InternalError")


def test_an_error_is_a_status() -> None:
    assert StatusError(404, "NotFound", "gone").body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "gone",
        "reason": "NotFound",
        "code": 404,
    }
