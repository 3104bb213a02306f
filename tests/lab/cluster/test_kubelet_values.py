"""Pure parts of the kubelet: back-off, environment, images, status, CPU budget; no process, no clock."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.core.errors import LabError
from opslib.lab.cluster.kubelet.backoff import Backoff, go_duration
from opslib.lab.cluster.kubelet.env import ConfigError, Sources, environment, expand, field
from opslib.lab.cluster.kubelet.images import Image, Images, PullError, image_id, split
from opslib.lab.cluster.kubelet.limits import PERIOD_S, Budget
from opslib.lab.cluster.kubelet.status import CREATING, Facts, View, pod_status

POD = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a/b": "c", "x": "y"}},
    "spec": {"nodeName": "node", "serviceAccountName": "sa", "containers": []},
    "status": {"podIP": "127.16.128.1", "hostIP": "127.16.0.1"},
}
OBJECTS = {
    ("configmaps", "cm"): {"data": {"k": "v"}, "binaryData": {"b": base64.b64encode(b"bin").decode()}},
    ("secrets", "s"): {"data": {"pw": base64.b64encode(b"geheim").decode()}},
}
SOURCES = Sources(POD, lambda resource, name: OBJECTS.get((resource, name)))


# --- back-off --------------------------------------------------------------------------------------------------------


def waits(lives_s: list[float], scale: float = 1.0) -> list[float]:
    backoff, now_s, waited = Backoff(scale), 0.0, []
    for life_s in lives_s:
        now_s += life_s
        wait_s = backoff.wait_s(now_s)
        waited.append(wait_s)
        backoff = backoff.next(now_s, now_s + wait_s)
        now_s += wait_s
    return waited


def test_the_first_restart_is_at_once_and_then_pauses_double_to_five_minutes() -> None:
    assert waits([1] * 9) == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert waits([1] * 4, scale=0.1) == [0, 1, 2, 4]


def test_what_ran_for_ten_minutes_begins_anew() -> None:
    assert waits([1, 1, 1, 601, 1, 1]) == [0, 10, 20, 0, 10, 20]
    assert waits([1, 1, 1, 599, 1]) == [0, 10, 20, 40, 80]


def test_a_container_that_lives_a_minute_runs_a_quarter_of_its_first_hour() -> None:
    starts, now_s, backoff = 0, 0.0, Backoff()
    while now_s < 3600:
        starts, now_s = starts + 1, now_s + 60
        wait_s = backoff.wait_s(now_s)
        backoff, now_s = backoff.next(now_s, now_s + wait_s), now_s + wait_s
    assert starts - 1 == pytest.approx(14, abs=1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (2.5, "2.5s"), (0.5, "500ms"), (0, "0s")]
)
def test_pauses_are_written_as_go_does(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


# --- environment -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("x$(A)y$(A)", "x1y1"),
        ("$A", "$A"),
        ("$$", "$"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("$()", "$()"),
    ],
)
def test_references_are_put_in(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_the_environment_comes_from_everywhere_and_the_later_wins() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "cm"}}, {"prefix": "P_", "secretRef": {"name": "s"}}],
        "env": [
            {"name": "k", "value": "own"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "URL", "value": "http://$(IP):$(PORT)"},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
            {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
            {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "no", "optional": True}}},
        ],
    }
    assert environment(container, SOURCES, {"PORT": "80", "k": "base"}) == {
        "PORT": "80",
        "k": "own",
        "b": "bin",
        "P_pw": "geheim",
        "IP": "127.16.128.1",
        "URL": "http://127.16.128.1:80",
        "LABEL": "c",
        "PW": "geheim",
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "zz", "key": "k"}}}]},
            'configmap "zz" not found',
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "couldn't find key k in Secret n/s",
        ),
        ({"envFrom": [{"secretRef": {"name": "zz"}}]}, 'secret "zz" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]},
            "the practice cluster has no values of this kind: resourceFieldRef",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]},
            "unsupported fieldPath: spec.foo",
        ),
    ],
)
def test_what_is_missing_is_said_in_the_kubelets_words(source: dict, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        environment(source, SOURCES, {})
    assert str(refused.value) == message


def test_the_downward_api() -> None:
    assert field(POD, "metadata.labels") == 'a/b="c"\nx="y"'
    assert (field(POD, "spec.nodeName"), field(POD, "metadata.uid")) == ("node", "u")


# --- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("a", ("a", "latest")),
        ("a:1", ("a", "1")),
        ("h:5000/a/b", ("h:5000/a/b", "latest")),
        ("h:5000/a/b:v1", ("h:5000/a/b", "v1")),
        ("h/a:1@sha256:ab", ("h/a", "1")),
    ],
)
def test_references_are_taken_apart(reference: str, parts: tuple[str, str]) -> None:
    assert split(reference) == parts


def test_images_are_there_by_repository_and_tag(tmp_path) -> None:
    (tmp_path / "images.json").write_text(
        json.dumps({"own": {"command": ["x"], "args": ["y"], "tags": ["1"]}})
    )
    images = Images.load(tmp_path)

    assert not images.is_present("own:1")
    assert images.pull("own:1", []) == Image(("x",), ("y",), tags=("1",))
    assert images.is_present("own:1")
    assert images.pull("localhost:5000/shop/order:1.4.0", []).args == ("order",)
    for reference in ("own:2", "nobodys", "localhost:5000/shop/order:9"):
        with pytest.raises(PullError, match=f"{reference}: not found"):
            images.pull(reference, [])
    assert image_id("own:1") == image_id("own:1") != image_id("own:2")


def test_a_private_image_needs_the_right_pull_secret() -> None:
    images = Images({"reg.example/app": Image(("x",), username="u", password="p")})

    def secret(**auths: dict) -> dict:
        config = json.dumps({"auths": auths}).encode()
        return {"data": {".dockerconfigjson": base64.b64encode(config).decode()}}

    encoded = base64.b64encode(b"u:p").decode()
    for right in ({"username": "u", "password": "p"}, {"auth": encoded}):
        assert images.pull("reg.example/app:1", [secret(**{"reg.example": right})])
    wrong = [
        secret(**{"reg.example": {"username": "u", "password": "x"}}),
        secret(other={"auth": encoded}),
    ]
    for secrets in ([], wrong, [{"data": {".dockerconfigjson": "%%"}}], [{}]):
        with pytest.raises(PullError, match="pull access denied"):
            images.pull("reg.example/app:1", secrets)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": {}}', '{"a": []}'])
def test_an_image_table_that_cannot_be_used_is_said_so(tmp_path, text: str) -> None:
    (tmp_path / "images.json").write_text(text)
    with pytest.raises(LabError, match=r"images\.json"):
        Images.load(tmp_path)


# --- status ----------------------------------------------------------------------------------------------------------


def view(
    name: str = "c", *, code: int | None = None, running: bool = False, ready: bool = False, last=None
) -> View:
    state = {"running": {}} if running else CREATING if code is None else {"terminated": {"exitCode": code}}
    return View({"name": name, "image": "i"}, "process://1", "i@1", 0, state, last or {}, ready, running)


def status(
    mains: list[View], inits: list[View] = (), *, policy: str = "Always", over: bool = False, **pod
) -> dict:
    spec = {"restartPolicy": policy, "containers": [], **pod.get("spec", {})}
    made = {"metadata": {"generation": 3}, "spec": spec, "status": pod.get("status", {})}
    return pod_status(made, inits, mains, Facts("1.2.3.4", "1.0.0.1", "T0", "T1", over))


CRASHED = {"terminated": {"exitCode": 3}}


@pytest.mark.parametrize(
    ("phase", "views", "policy"),
    [
        ("Pending", [view()], "Always"),
        ("Running", [view(running=True)], "Always"),
        ("Pending", [view(running=True), view()], "Always"),
        ("Running", [view(last=CRASHED)], "Always"),
        ("Running", [view(code=0)], "Always"),
        ("Succeeded", [view(code=0)], "Never"),
        ("Succeeded", [view(code=0), view(code=0)], "OnFailure"),
        ("Failed", [view(code=0), view(code=1)], "Never"),
        ("Running", [view(code=1)], "OnFailure"),
        ("Running", [view(code=0), view(running=True)], "Never"),
    ],
)
def test_phases(phase: str, views: list[View], policy: str) -> None:
    assert status(views, policy=policy)["phase"] == phase


def test_phases_of_init_containers_and_of_pods_that_are_over() -> None:
    waiting = [view()]
    assert status(waiting, [view("i", running=True)])["phase"] == "Pending"
    assert status(waiting, [view("i", code=1)], policy="Never")["phase"] == "Failed"
    assert status(waiting, [view("i", code=1)])["phase"] == "Pending"
    assert status([view(running=True)], [view("i", code=0)])["phase"] == "Running"
    assert [status([view(code=c)], over=True)["phase"] for c in (0, 143)] == ["Succeeded", "Failed"]
    assert status(waiting, over=True)["phase"] == "Failed", "it never ran"


def conditions(made: dict) -> dict[str, tuple]:
    return {c["type"]: (c["status"], c.get("reason"), c.get("message")) for c in made["conditions"]}


def test_conditions_say_what_is_missing() -> None:
    unready = conditions(status([view("a", running=True, ready=True), view("b", running=True)]))
    assert unready["Ready"] == ("False", "ContainersNotReady", "containers with unready status: [b]")
    assert unready["Ready"] == unready["ContainersReady"]
    assert unready["Initialized"] == ("True", None, None)
    started = conditions(status([view()], [view("i", running=True)]))
    assert started["Initialized"] == (
        "False",
        "ContainersNotInitialized",
        "containers with incomplete status: [i]",
    )
    done = conditions(status([view(code=0)], policy="Never"))
    assert (done["Ready"][1], done["Initialized"][1]) == ("PodCompleted", "PodCompleted")
    assert conditions(status([view(code=143)], over=True))["Ready"][:2] == ("False", "PodFailed")


def test_a_transition_time_changes_with_the_status_only() -> None:
    first = status([view(running=True)])
    old = [{**c, "lastTransitionTime": "T0"} for c in first["conditions"]]
    again = status([view(running=True, ready=True)], status={"conditions": old})
    times = {c["type"]: c["lastTransitionTime"] for c in again["conditions"]}
    assert times == {
        "PodReadyToStartContainers": "T0",
        "Initialized": "T0",
        "Ready": "T1",
        "ContainersReady": "T1",
        "PodScheduled": "T0",
    }


# --- CPU budget ------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.floats(0.02, 1.5), st.lists(st.floats(0, 1), min_size=50, max_size=200))
def test_a_container_never_uses_more_than_its_limit_for_long(limit: float, appetites: list[float]) -> None:
    budget, used_s, passed_s, debt_s = Budget(limit, limit * PERIOD_S), 0.0, 0.0, 0.0
    for appetite in appetites:
        slice_s = budget.slice_s(busy=appetite > 0.1)
        budget = budget.settle(appetite * slice_s, slice_s)
        used_s, passed_s = used_s + appetite * slice_s, passed_s + slice_s
        pause_s, debt_s = budget.pause_s, max(debt_s, -budget.credit_s)
        if pause_s:
            budget, passed_s = budget.settle(0, pause_s), passed_s + pause_s
    assert used_s <= limit * (passed_s + PERIOD_S) + debt_s + 1e-9


def test_a_hungry_container_gets_all_of_its_limit() -> None:
    budget, used_s, passed_s = Budget(0.15, 0.15 * PERIOD_S), 0.0, 0.0
    while passed_s < 30:
        slice_s = budget.slice_s(busy=True)
        budget = budget.settle(slice_s, slice_s)
        used_s, passed_s = used_s + slice_s, passed_s + slice_s + budget.pause_s
        budget = budget.settle(0, budget.pause_s)
    assert used_s / passed_s == pytest.approx(0.15, rel=0.05)
