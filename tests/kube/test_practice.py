"""Against a real server over TLS: what works, and each fault that a loaded, cut off or restarted one shows."""

import http.server
import threading
from contextlib import contextmanager

import pytest
from cluster_server import Practice
from fake_api import FakeClock

from opslib.core.clock import SystemClock
from opslib.core.errors import ClusterError, ConflictError, ForbiddenError, ManifestError
from opslib.core.settings import Environment, Settings
from opslib.kube import Client, Ref, connect_cluster
from opslib.kube.retry import Retry
from opslib.kube.transport import PoolTransport
from opslib.kube.wire import Request

pytestmark = pytest.mark.lab

SPACE = "kube-room"


def config_map(name: str, **data: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": SPACE},
        "data": data,
    }


@pytest.fixture(scope="module")
def space(practice: Practice, tmp_path_factory) -> Client:
    environment = Environment("x", kubeconfig=str(practice.kubeconfig), namespace=SPACE)
    api = connect_cluster(environment, Settings(tmp_path_factory.mktemp("cwd")), SystemClock())
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    return api


@pytest.fixture
def api(space: Client, practice: Practice):
    """The client, its retries waiting a little; a test's faults end with it."""
    space._retry = Retry(first_s=0.01, longest_s=0.05, budget_s=10)
    yield space
    practice.call("DELETE", "/practice/faults")


def fault(practice: Practice, **values) -> None:
    assert practice.call("POST", "/practice/faults", values)[0] < 300


def test_an_object_is_applied_changed_listed_and_deleted(api) -> None:
    made = api.apply(config_map("one", a="1"), manager="opslib")
    ref = Ref("v1", "ConfigMap", SPACE, "one")
    dry = api.apply(config_map("one", a="2"), manager="opslib", dry_run=True)
    version = {
        "op": "test",
        "path": "/metadata/resourceVersion",
        "value": made["metadata"]["resourceVersion"],
    }
    change = {"op": "replace", "path": "/data/a", "value": "3"}

    patched = api.patch(ref, [version, change])

    assert (made["data"], dry["data"], patched["data"]) == ({"a": "1"}, {"a": "2"}, {"a": "3"})
    with pytest.raises(ConflictError, match="request"):
        api.patch(ref, [version, change])
    with pytest.raises(ConflictError) as owned:
        api.apply(config_map("one", a="4"), manager="other")
    assert owned.value.owners == ((".data.a", "opslib"),)
    assert patched in api.list_objects(api.kind("v1", "ConfigMap"), SPACE)
    with pytest.raises(ConflictError):
        api.delete(ref, uid="another")
    api.delete(ref, uid=made["metadata"]["uid"])
    assert api.get(ref) is None


def test_unknown_fields_are_refused_before_anything_is_written(api) -> None:
    with pytest.raises(ManifestError, match="dta"):
        api.apply({**config_map("typo"), "dta": {}}, manager="opslib", dry_run=True)


def test_pages_hold_all_objects(api, monkeypatch) -> None:
    monkeypatch.setattr("opslib.kube.client.PAGE", 7)
    api.each(lambda n: api.apply(config_map(f"page-{n}"), manager="opslib"), range(20))

    found = api.list_objects(api.kind("v1", "ConfigMap"), SPACE)

    assert {o["metadata"]["name"] for o in found} >= {f"page-{n}" for n in range(20)}


def test_the_cluster_says_who_it_is(api, practice) -> None:
    uid = practice.call("GET", "/api/v1/namespaces/kube-system")[1]["metadata"]["uid"]

    assert (api.identity(), api.version().startswith("v1.34")) == (uid, True)


@pytest.mark.parametrize("code", [409, 429, 500, 504])
def test_a_storm_of_faults_is_waited_out(api, practice, code) -> None:
    fault(practice, code=code, times=60, verb="patch", retry_after_s=0)

    found = api.each(lambda n: api.apply(config_map(f"storm-{n}"), manager="opslib"), range(30))

    assert [o["metadata"]["name"] for o in found] == [f"storm-{n}" for n in range(30)]


def test_a_server_that_hangs_is_left_at_the_time_out(api, practice) -> None:
    fault(practice, partition=True, namespace=SPACE)
    api._retry = Retry(budget_s=0)

    with pytest.raises(ClusterError, match=r"did not answer GET .* within 0\.3 s") as error:
        api.ask(Request("GET", f"/api/v1/namespaces/{SPACE}/configmaps", timeout_s=0.3))
    assert error.value.sent


def test_a_watch_survives_drops_and_forgotten_history(api, practice) -> None:
    watch = api.watch(api.kind("v1", "ConfigMap"), SPACE, fields="metadata.name=watched")
    told = []

    def until(type_: str) -> None:
        for change in watch:
            told.append((change.type, change.object.get("data", {}).get("a")))
            if change.type == type_:
                return

    until("QUIET")
    api.apply(config_map("watched", a="1"), manager="opslib")
    until("ADDED")
    fault(practice, drop_watches="configmaps")
    api.apply(config_map("watched", a="2"), manager="opslib")
    until("MODIFIED")
    fault(practice, drop_watches="")
    fault(practice, compact=True)
    api.apply(config_map("watched", a="3"), manager="opslib")
    until("MODIFIED")
    ref = Ref("v1", "ConfigMap", SPACE, "watched")
    api.delete(ref, uid=api.get(ref)["metadata"]["uid"])
    until("DELETED")
    watch.close()

    assert [t for t in told if t[0] != "QUIET"] == [
        ("ADDED", "1"), ("MODIFIED", "2"), ("MODIFIED", "3"), ("DELETED", "3"),
    ]  # fmt: skip


def test_a_right_that_is_missing_is_named(api, practice, tmp_path) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "nobody", "namespace": SPACE},
    }
    api.apply(account, manager="opslib")
    path = f"/api/v1/namespaces/{SPACE}/serviceaccounts/nobody/token"
    token = practice.call("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"})[1]
    text = practice.kubeconfig.read_text().replace(practice.token, token["status"]["token"])
    (tmp_path / "config").write_text(text)
    nobody = connect_cluster(Environment("x", kubeconfig="config", origin=tmp_path / "t"), Settings(tmp_path))

    with pytest.raises(ForbiddenError, match=f"the right to patch configmaps in {SPACE} is missing"):
        nobody.apply(config_map("no"), manager="opslib")
    assert not nobody.may("patch", nobody.kind("v1", "ConfigMap"), SPACE)
    assert api.may("patch", api.kind("v1", "ConfigMap"), SPACE)


def test_credentials_that_are_not_accepted_say_so(practice, tmp_path) -> None:
    (tmp_path / "config").write_text(practice.kubeconfig.read_text().replace(practice.token, "wrong"))
    stranger = connect_cluster(Environment("x", kubeconfig=str(tmp_path / "config")), Settings(tmp_path))

    with pytest.raises(ForbiddenError, match="credentials"):
        stranger.version()


def test_a_server_that_nobody_of_ours_signed_is_not_trusted(practice, tmp_path) -> None:
    other = practice.kubeconfig.read_text().replace("certificate-authority-data", "ignored")
    (tmp_path / "config").write_text(other)
    api = connect_cluster(
        Environment("x", kubeconfig=str(tmp_path / "config")), Settings(tmp_path), FakeClock()
    )

    with pytest.raises(ClusterError, match="no trusted connection"):
        api.version()


@contextmanager
def serving(answer: bytes):
    """A server whose every answer are these bytes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(answer)
            self.close_connection = True

        def log_message(self, *_) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "broke off"),
        (b"nonsense\r\n\r\n", "broke off"),
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "text/html"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "302"),
    ],
)
def test_half_an_answer_and_another_language_are_errors_of_the_cluster(answer, words) -> None:
    from kubernetes.client import Configuration

    with serving(answer) as host:
        api = Client(PoolTransport(Configuration(host=host)), FakeClock())
        with pytest.raises(ClusterError, match=words) as error:
            api.version()
    assert error.value.hint


def test_an_answer_without_end_is_left(monkeypatch) -> None:
    from kubernetes.client import Configuration

    monkeypatch.setattr("opslib.kube.transport.MAX_ANSWER_BYTES", 1000)
    monkeypatch.setattr("opslib.kube.transport.MAX_LINE_BYTES", 1000)
    with serving(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000) as host:
        transport = PoolTransport(Configuration(host=host))
        with pytest.raises(ClusterError, match="more than"):
            transport.send(Request("GET", "/"))
        with (
            transport.stream(Request("GET", "/")) as (_, lines),
            pytest.raises(ClusterError, match="a line of more"),
        ):
            list(lines)


def test_an_address_where_nobody_answers_was_never_asked() -> None:
    from kubernetes.client import Configuration

    with serving(b"") as host:
        pass
    api = Client(PoolTransport(Configuration(host=host)), FakeClock())

    with pytest.raises(ClusterError, match="cannot connect") as error:
        api.version()
    assert not error.value.sent
