"""Probes of one container in virtual time, and what their handlers make of real servers and commands."""

import asyncio
import sys
from dataclasses import dataclass, field

import pytest
import virtual_loop

from opslib.lab.cluster.kubelet.handlers import Outcome, Target, act
from opslib.lab.cluster.kubelet.prober_schedule import Seen
from opslib.lab.cluster.kubelet.probes import Probe, Watched


@dataclass
class Scene:
    """A container that starts at `start_s`; `outcomes(now)` answers its probes."""

    outcomes: object
    start_s: float = 0.0
    container: str = "c"
    probed: list = field(default_factory=list)
    told: list = field(default_factory=list)
    results: list = field(default_factory=list)

    def watched(self) -> Watched:
        return Watched(self.seen, self.act, lambda *event: self.told.append(event), self.changed)

    def seen(self) -> Seen:
        age_s = asyncio.get_running_loop().time() - self.start_s
        return Seen(self.container if age_s >= 0 else "", age_s if age_s >= 0 else None, started=True)

    async def act(self, spec, timeout_s) -> Outcome:
        now_s = asyncio.get_running_loop().time()
        self.probed.append(now_s)
        outcome, took_s = self.outcomes(now_s)
        await asyncio.sleep(took_s)
        return outcome

    def changed(self, kind, result) -> None:
        self.results.append((asyncio.get_running_loop().time(), result))


GOOD, BAD = Outcome(success=True), Outcome(success=False, text="no")


def play(scene: Scene, spec: dict, for_s: float, kind="readiness", delay_s: float = 0.0, ask_at=()) -> Scene:
    async def acted() -> None:
        probe = Probe(kind, spec, scene.watched(), delay_s)
        task = asyncio.create_task(probe.run())
        for at_s in ask_at:
            asyncio.get_running_loop().call_at(at_s, probe.trigger)
        await asyncio.sleep(for_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_loop.run(acted())
    return scene


def test_ticks_began_when_the_pod_was_added_not_when_the_container_started() -> None:
    scene = play(Scene(lambda _: (GOOD, 0), start_s=3.5), {"periodSeconds": 10, "initialDelaySeconds": 4}, 40)

    assert scene.probed == [10, 20, 30]
    assert scene.results == [(10, "failure"), (10, "success")][1:]


def test_a_young_kubelet_holds_the_first_tick_back() -> None:
    assert play(Scene(lambda _: (GOOD, 0)), {"periodSeconds": 10}, 30, delay_s=7.5).probed == [
        7.5,
        17.5,
        27.5,
    ]


def test_a_trigger_probes_at_once_and_begins_the_period_anew() -> None:
    assert play(Scene(lambda _: (GOOD, 0)), {"periodSeconds": 10}, 40, ask_at=[13]).probed == [
        0,
        10,
        13,
        23,
        33,
    ]


def test_a_slow_probe_follows_itself_and_the_failure_window_is_exact() -> None:
    scene = play(
        Scene(lambda _: (BAD, 30)), {"periodSeconds": 10, "timeoutSeconds": 30}, 200, kind="liveness"
    )

    assert scene.probed[:3] == [0, 30, 60]
    assert scene.results == [(0, "success"), (90, "failure")] or scene.results[-1] == (90, "failure")


def test_every_failure_is_told_and_an_error_is_tried_three_times_and_counts_for_nothing() -> None:
    failed = play(Scene(lambda _: (BAD, 0)), {"periodSeconds": 10}, 25)
    assert failed.told == [("Unhealthy", "Readiness probe failed: no")] * 3
    errored = play(Scene(lambda _: (Outcome(None, "no port"), 0)), {"periodSeconds": 10}, 15)
    assert errored.probed == [0, 0, 0, 10, 10, 10]
    assert errored.told[0] == ("Unhealthy", "Readiness probe errored and resulted in unknown state: no port")
    assert errored.results in ([], [(0, "failure")])


def test_another_container_begins_unready() -> None:
    scene = Scene(lambda _: (GOOD, 0))

    async def acted() -> tuple:
        probe = Probe("readiness", {"periodSeconds": 5}, scene.watched(), 0)
        task = asyncio.create_task(probe.run())
        await asyncio.sleep(1)
        before = probe.result("c")
        scene.container = "d"
        unknown = probe.result("d")
        await asyncio.sleep(5)
        after = probe.result("d"), probe.result("c")
        task.cancel()
        return before, unknown, *after

    assert virtual_loop.run(acted()) == ("success", "unknown", "success", "unknown")


# --- handlers --------------------------------------------------------------------------------------------------------


async def run_command(command: list[str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return process.returncode, output.decode()


def answered(
    handler: dict, answer: bytes | None = None, *, timeout_s: float = 5, asked: list | None = None
) -> Outcome:
    """What a handler makes of a server that gives this answer to everything; None: it says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            if asked is not None:
                asked.append(request.decode())
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
        except EOFError:
            pass  # a TCP probe says nothing
        finally:
            writer.close()
            await writer.wait_closed()

    async def acted() -> Outcome:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        target = Target("10.0.0.9", {"http": port}, lambda host, port: ("127.0.0.1", port), run_command)
        try:
            return await act(handler, target, timeout_s)
        finally:
            server.close()

    return asyncio.run(acted())


def head(status: int, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode() + b"body"


GET = {"httpGet": {"port": "http", "path": "/x?a=b"}}


@pytest.mark.parametrize(
    ("status", "success"), [(200, True), (204, True), (301, True), (399, True), (400, False), (503, False)]
)
def test_http_statuses(status: int, success: bool) -> None:
    outcome = answered(GET, head(status))

    assert outcome.success is success
    assert success or outcome.text == f"HTTP probe failed with statuscode: {status}"


def test_an_http_probe_asks_as_the_kubelet_does() -> None:
    asked: list[str] = []
    answered(
        {"httpGet": {"port": "http", "path": "x", "httpHeaders": [{"name": "host", "value": "h"}]}},
        head(200),
        asked=asked,
    )

    assert asked[0].startswith("GET /x HTTP/1.1\r\nHost: h\r\n")
    assert "User-Agent: kube-probe/1.34" in asked[0]


def test_http_failures_are_told_in_gos_words() -> None:
    silent = answered(GET, None, timeout_s=0.05)
    assert "context deadline exceeded (Client.Timeout exceeded while awaiting headers)" in silent.text
    assert answered(GET, b"").text.endswith(": EOF")
    assert answered(GET, b"nonsense\r\n\r\n").success is False
    refused = answered({"httpGet": {"port": 1}})
    assert refused.text == 'Get "http://10.0.0.9:1/": dial tcp 10.0.0.9:1: connect: connection refused'
    assert answered({"httpGet": {"port": "zz"}}).success is None


def test_tcp() -> None:
    assert answered({"tcpSocket": {"port": "http"}}, head(200)).success is True
    assert answered({"tcpSocket": {"port": 1}}).text == "dial tcp 10.0.0.9:1: connect: connection refused"


def test_exec() -> None:
    def run(*command: str, timeout_s: float = 20) -> Outcome:
        return answered({"exec": {"command": list(command)}}, timeout_s=timeout_s)

    assert run(sys.executable, "-c", "print('fine')") == Outcome(success=True, text="fine\n")
    failed = run(sys.executable, "-c", "print('bad'); raise SystemExit(3)")
    assert (failed.success, failed.text) == (False, "bad\n")
    assert run("/no/such/thing").success is None
    late = run("sleep", "60", timeout_s=0.05)
    assert late == Outcome(success=False, text='command timed out: "sleep 60" timed out after 0.05s')


def test_a_hook_may_sleep_and_what_is_not_imitated_is_said() -> None:
    assert answered({"sleep": {"seconds": 0}}).success is True
    assert answered({"sleep": {"seconds": 60}}, timeout_s=0.05).success is False
    assert answered({"grpc": {"port": 1}}) == Outcome(None, "not imitated by the practice cluster: grpc")
