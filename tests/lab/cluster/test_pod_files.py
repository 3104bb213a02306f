"""Volumes, logs, addresses and the guard: what a pod has on this machine."""

import asyncio
import base64
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from opslib.core.errors import LabError
from opslib.lab.cluster.kubelet.addresses import Addresses
from opslib.lab.cluster.kubelet.env import ConfigError, Sources
from opslib.lab.cluster.kubelet.guard import end_all
from opslib.lab.cluster.kubelet.logs import LogFile, Logs, log_path
from opslib.lab.cluster.kubelet.volumes import Volumes
from opslib.lab.cluster.options import LogOptions
from opslib.lab.cluster.statuses import StatusError

# --- volumes ---------------------------------------------------------------------------------------------------------


def volumes(tmp_path: Path, listed: list[dict], objects: dict | None = None) -> Volumes:
    known = (
        objects
        if objects is not None
        else {
            ("configmaps", "cm"): {"data": {"a": "1", "b": "2"}},
            ("secrets", "s"): {"data": {"pw": base64.b64encode(b"geheim").decode()}},
        }
    )
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"volumes": listed, "containers": [{"name": "c"}]},
    }
    sources = Sources(pod, lambda resource, name: known.get((resource, name)))
    return Volumes(sources, tmp_path / "pod", tmp_path / "host", lambda _: "token-of-p")


def test_volumes_are_folders_that_mounts_link_to(tmp_path: Path) -> None:
    made = volumes(
        tmp_path,
        [
            {"name": "cm", "configMap": {"name": "cm", "items": [{"key": "a", "path": "sub/x"}]}},
            {"name": "s", "secret": {"secretName": "s"}},
            {"name": "e", "emptyDir": {}},
            {"name": "h", "hostPath": {"path": "/var/data"}},
            {
                "name": "t",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token"}},
                        {"configMap": {"name": "cm", "items": [{"key": "b", "path": "ca.crt"}]}},
                        {
                            "downwardAPI": {
                                "items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]
                            }
                        },
                    ]
                },
            },
        ],
    )
    made.write()
    mounts = [{"name": n, "mountPath": f"/mnt/{n}"} for n in ("cm", "s", "e", "h", "t")]
    root = made.mount(
        {"name": "c", "volumeMounts": [*mounts, {"name": "cm", "mountPath": "/one", "subPath": "sub/x"}]}
    )

    assert (root / "mnt/cm/sub/x").read_text() == (root / "one").read_text() == "1"
    assert (root / "mnt/s/pw").read_bytes() == b"geheim"
    assert {p.name: p.read_text() for p in (root / "mnt/t").iterdir()} == {
        "token": "token-of-p",
        "ca.crt": "2",
        "ns": "n",
    }
    (root / "mnt/e/f").write_text("kept")
    (root / "mnt/h/f").write_text("of the node")
    made.write()
    assert (made.mount({"name": "c", "volumeMounts": mounts}) / "mnt/e/f").read_text() == "kept"
    made.remove()
    assert not (tmp_path / "pod").exists()
    assert (tmp_path / "host/var/data/f").read_text() == "of the node"


def test_files_follow_their_config_map(tmp_path: Path) -> None:
    objects = {("configmaps", "cm"): {"data": {"a": "1", "b": "2"}}}
    made = volumes(tmp_path, [{"name": "cm", "configMap": {"name": "cm"}}], objects)
    made.write()
    objects["configmaps", "cm"] = {"data": {"a": "3"}}
    made.write()

    assert {p.name: p.read_text() for p in (tmp_path / "pod/volumes/cm").iterdir()} == {"a": "3"}


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "zz"}}, 'configmap "zz" not found'),
        ({"secret": {"secretName": "zz"}}, 'secret "zz" not found'),
        ({"configMap": {"name": "cm", "items": [{"key": "zz", "path": "x"}]}}, "non-existent config key: zz"),
        ({"persistentVolumeClaim": {"claimName": "x"}}, "no volumes of this kind: persistentVolumeClaim"),
        ({"hostPath": {"path": "/../../etc"}}, "leads out"),
        ({"configMap": {"name": "cm", "items": [{"key": "a", "path": "../x"}]}}, "leads out"),
    ],
)
def test_what_cannot_be_mounted_is_said(tmp_path: Path, volume: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        volumes(tmp_path, [{"name": "v", **volume}]).write()


def test_an_optional_source_may_be_missing(tmp_path: Path) -> None:
    volumes(tmp_path, [{"name": "v", "secret": {"secretName": "zz", "optional": True}}]).write()

    assert list((tmp_path / "pod/volumes/v").iterdir()) == []


# --- logs ------------------------------------------------------------------------------------------------------------


class Clock:
    now = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1e9

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


class OnePod:
    """An API with one pod in it."""

    def __init__(self, status: dict, names: tuple[str, ...] = ("c",)) -> None:
        containers = [{"name": name} for name in names]
        self.pod = {
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": containers},
        }
        self.pod["status"] = {"containerStatuses": [{"name": names[0], **status}]} if status else {}

    def get(self, *_args) -> dict:
        return self.pod

    def list(self, *_args, **_more) -> list[dict]:
        return [self.pod]


def written(
    folder: Path, pod: dict, restarts: int, *chunks: bytes, clock: Clock | None = None, **more
) -> LogFile:
    log = LogFile(log_path(folder, pod, "c", restarts), clock or Clock(), **more)
    for chunk in chunks:
        log.data_received(chunk)
    return log


def read(api: OnePod, folder: Path, container: str = "", clock: Clock | None = None, **options) -> bytes:
    async def all_of() -> bytes:
        lines = await Logs(api, folder, clock or Clock()).read("n", "p", LogOptions(container, **options))
        return b"".join([line async for line in lines])

    return asyncio.run(all_of())


RUNNING = {"state": {"running": {}}, "restartCount": 1, "lastState": {"terminated": {"exitCode": 1}}}


def test_lines_are_kept_with_their_time_however_they_come(tmp_path: Path) -> None:
    api, clock = OnePod(RUNNING), Clock()
    log = written(tmp_path, api.pod, 1, b"one\ntw", b"o\nthree", clock=clock)
    assert read(api, tmp_path) == b"one\ntwo\n"
    clock.now += 5_000_000_001
    log.data_received(b"\nfour\n")
    log.connection_lost(None)

    assert read(api, tmp_path, tail_lines=2) == b"three\nfour\n"
    assert read(api, tmp_path, tail_lines=0) == b""
    assert read(api, tmp_path, timestamps=True, tail_lines=1) == b"2023-11-14T22:13:25.000000001Z four\n"
    assert read(api, tmp_path, since_s=1, clock=clock) == b"three\nfour\n"


def test_the_log_before_is_of_the_start_before(tmp_path: Path) -> None:
    api = OnePod(RUNNING)
    written(tmp_path, api.pod, 0, b"old\n").connection_lost(None)
    written(tmp_path, api.pod, 1, b"new\n").connection_lost(None)
    assert (read(api, tmp_path), read(api, tmp_path, previous=True)) == (b"new\n", b"old\n")
    crashed = OnePod({**RUNNING, "state": {"waiting": {"reason": "CrashLoopBackOff"}}})
    assert read(crashed, tmp_path) == read(crashed, tmp_path, previous=True) == b"new\n"


def test_a_log_that_is_followed_ends_with_the_container(tmp_path: Path) -> None:
    api = OnePod(RUNNING)
    log = written(tmp_path, api.pod, 1, b"a\n")

    async def follow() -> list[bytes]:
        lines = await Logs(api, tmp_path, Clock()).read("n", "p", LogOptions("c", follow=True))
        seen = [await anext(lines)]
        log.data_received(b"b\n")
        seen.append(await anext(lines))
        log.data_received(b"c\n")
        api.pod["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 0}}
        return [*seen, *[line async for line in lines]]

    assert asyncio.run(follow()) == [b"a\n", b"b\n", b"c\n"]
    log.connection_lost(None)


def test_a_log_stays_bounded(tmp_path: Path) -> None:
    api = OnePod(RUNNING)
    log = written(tmp_path, api.pod, 1, *[b"x" * 99 + b"\n"] * 50, b"y" * 40_000, limit=2000)
    log.connection_lost(None)

    sizes = {
        path.suffix: path.stat().st_size for path in log_path(tmp_path, api.pod, "c", 1).parent.iterdir()
    }
    assert set(sizes) == {".log", ".old"}
    assert sum(sizes.values()) < 50_000


@pytest.mark.parametrize(
    ("status", "container", "options", "message"),
    [
        (RUNNING, "nope", {}, "container nope is not valid for pod p"),
        (
            {**RUNNING, "lastState": {}},
            "c",
            {"previous": True},
            'previous terminated container "c" in pod "p" not found',
        ),
        (
            {"state": {"waiting": {"reason": "ErrImagePull"}}},
            "c",
            {},
            "is waiting to start: image can't be pulled",
        ),
        ({"state": {"waiting": {"reason": "ImagePullBackOff"}}}, "c", {}, "trying and failing to pull image"),
        ({}, "c", {}, 'container "c" in pod "p" is waiting to start: ContainerCreating'),
    ],
)
def test_what_has_no_log_is_said_in_the_kubelets_words(tmp_path, status, container, options, message) -> None:
    with pytest.raises(StatusError, match=message) as refused:
        read(OnePod(status), tmp_path, container, **options)
    assert refused.value.code == 400


def test_of_several_containers_one_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(
        StatusError, match=r"a container name must be specified for pod p, choose one of: \[c d\]"
    ):
        read(OnePod(RUNNING, ("c", "d")), tmp_path)


# --- addresses -------------------------------------------------------------------------------------------------------


def test_each_cluster_has_its_own_block_and_finds_it_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = Addresses.claim(tmp_path / "a"), Addresses.claim(tmp_path / "b")
    if one.shared:
        pytest.skip("this system has only 127.0.0.1")
    try:
        assert one.node.split(".")[1] != two.node.split(".")[1]
        with pytest.raises(LabError, match="in use"):
            Addresses.claim(tmp_path / "a")
    finally:
        one.close()
        two.close()
    again = Addresses.claim(tmp_path / "a")
    again.close()
    assert again.node == one.node


def test_pods_get_addresses_and_give_them_back(tmp_path: Path) -> None:
    addresses = Addresses(16, None)
    first, second = addresses.take(), addresses.take()
    assert (first, second) == ("127.16.128.1", "127.16.128.2")
    assert addresses.take(first) == "127.16.128.3", "it is taken"
    addresses.release(first)
    assert addresses.take(first) == first, "a pod keeps its address over a restart of the kubelet"


def test_where_there_is_only_one_address_each_port_of_a_pod_has_a_stand_in() -> None:
    addresses = Addresses(16, None)
    ip = addresses.take()
    placed = addresses.place(ip, 8080)
    assert placed[0] == "127.0.0.1"
    assert addresses.place(ip, 8080) == addresses.reach(ip, 8080) == placed
    assert addresses.reach("127.16.128.9", 8080) == ("127.16.128.9", 8080)
    addresses.release(ip)
    assert addresses.reach(ip, 8080) == (ip, 8080)


def test_a_port_that_cannot_be_had_has_a_stand_in() -> None:
    addresses = Addresses(16, None)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with addresses.listen("127.0.0.1", taken) as handle:
            assert addresses.reach("127.0.0.1", taken) == handle.getsockname()
            assert handle.getsockname()[1] != taken


# --- guard -----------------------------------------------------------------------------------------------------------


def test_the_guard_ends_the_processes_of_its_own_pods_only(tmp_path: Path) -> None:
    def sleeper(root: Path | None) -> subprocess.Popen:
        env = {**os.environ, **({"POD_ROOT": str(root)} if root else {})}
        return subprocess.Popen(["sleep", "60"], env=env, start_new_session=True)

    ours, beside, other = sleeper(tmp_path / "lab/pods/x"), sleeper(tmp_path / "lab2/pods/x"), sleeper(None)
    try:
        assert end_all(tmp_path / "lab") == 1
        assert ours.wait(10) == -9
        assert (beside.poll(), other.poll()) == (None, None)
    finally:
        for process in (ours, beside, other):
            process.kill()
            process.wait()


def test_the_guard_acts_when_its_input_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "opslib.lab.cluster.kubelet.guard", str(tmp_path)]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE)
    ours = subprocess.Popen(["sleep", "60"], env={**os.environ, "POD_ROOT": str(tmp_path / "p")})
    try:
        assert guard.poll() is None
        guard.stdin.close()
        assert ours.wait(20) == -9
        assert guard.wait(20) == 0
    finally:
        for process in (guard, ours):
            process.kill()
            process.wait()
