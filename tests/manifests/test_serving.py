"""Services after a rollout: new pods behind them, calls only where somebody said that asking does no harm."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rollout_world import READY, REF, World, deployment, pod, replica_set

from opslib.core.errors import ForbiddenError, OpslibError
from opslib.core.outcome import Outcome
from opslib.kube import Ref
from opslib.manifests.serving import serving, smoke, smoke_by_proxy, smoke_paths
from opslib.manifests.workloads import Workload, look_at

NAME = {"name": "payment", "namespace": "shop"}


def service(**spec) -> dict:
    return {"kind": "Service", "metadata": dict(NAME), "spec": {"selector": {"app": "payment"}, **spec}}


def slice_of(*pods: dict, ready: bool | None = True) -> dict:
    endpoints = [{"conditions": {"ready": ready}, "targetRef": {"uid": p["metadata"]["uid"]}} for p in pods]
    return {"kind": "EndpointSlice", "metadata": {"name": f"s-{len(pods)}-{ready}"}, "endpoints": endpoints}


OLD, NEW, NEXT = pod("old", "1"), pod("new", "2"), pod("next", "2")


def rolled(*slices: dict, **spec) -> tuple[World, Workload]:
    world = World(
        deployment(spec=spec, **READY), replica_set("1", 1), replica_set("2", 2), OLD, NEW, NEXT, *slices
    )
    return world, look_at(world, REF)


def test_a_service_leads_to_pods_of_the_new_revision() -> None:
    world, workload = rolled(slice_of(OLD, NEW), slice_of(NEXT, ready=None))
    found = serving(world, service(), [workload])

    assert (found.outcome, found.new, found.others) == (Outcome.PASS, 2, 1)


@pytest.mark.parametrize("slices", [(), (slice_of(OLD),), (slice_of(NEW, NEXT, ready=False),)])
def test_one_that_leads_to_none_has_failed(slices: tuple) -> None:
    world, workload = rolled(*slices)

    assert serving(world, service(), [workload]).outcome is Outcome.FAIL


def test_what_is_somebody_elses_is_not_judged() -> None:
    world, workload = rolled()

    for spec in ({"selector": {}}, {"type": "ExternalName"}, {"selector": {"app": "risk"}}):
        assert serving(world, service(**spec), [workload]).outcome is Outcome.NO_DATA
    world, workload = rolled(replicas=0)
    assert serving(world, service(), [workload]).outcome is Outcome.PASS


def probed(path: str, port: int = 80, **container: Any) -> Workload:
    world, _ = rolled()
    (found,) = world.objects["Deployment", "payment"]["spec"]["template"]["spec"]["containers"]
    found |= {"readinessProbe": {"httpGet": {"path": path, "port": port}}, **container}
    return look_at(world, REF)


def test_only_paths_that_somebody_named_are_asked() -> None:
    asked = service()
    assert smoke_paths(asked, [rolled()[1]]) == []
    assert smoke_paths(asked, [probed("/readyz")]) == ["/readyz"]
    asked["metadata"]["annotations"] = {"opslib/smoke-path": "/smoke"}
    assert smoke_paths(asked, [probed("/readyz")]) == ["/smoke"]
    asked["metadata"]["annotations"] = {"opslib/smoke-path": "http://elsewhere/"}
    assert smoke_paths(asked, [probed("/readyz")]) == ["/readyz"]


@pytest.fixture
def front_door() -> Iterator[tuple[str, int]]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(
                200 if (self.path, self.headers["Host"]) == ("/readyz", "shop.example") else 503
            )
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address
    server.shutdown()
    thread.join()
    server.server_close()


def ingress(address: tuple[str, int] | None, prefix: str = "/", host: str = "shop.example") -> dict:
    backend = {"service": {"name": "payment"}}
    rule = {"host": host, "http": {"paths": [{"path": prefix, "backend": backend}]}}
    given = [{"ip": address[0], "ports": [{"port": address[1]}]}] if address else []
    return {"spec": {"rules": [rule]}, "status": {"loadBalancer": {"ingress": given}}}


def test_a_call_through_the_ingress_tells_pass_from_fail(front_door) -> None:
    asked = smoke(ingress(front_door), service(), ["/readyz", "/down"])

    assert [(s.outcome, s.status) for s in asked] == [(Outcome.PASS, 200), (Outcome.FAIL, 503)]
    assert smoke(ingress(front_door, "/api"), service(), ["/readyz", "/apis"]) == []
    assert smoke(ingress(None), service(), ["/readyz"]) == []


def by_proxy(asked: dict, workload: Workload, answer: int | OpslibError = 200) -> list[tuple[str, Outcome]]:
    """Port, path and outcome of each call."""

    class Api:
        namespace = "shop"

        def ask_service(self, ref: Ref, port: str, path: str) -> int:
            if isinstance(answer, OpslibError):
                raise answer
            return answer

    found = smoke_by_proxy(Api(), asked, [workload])
    return [(call.url.removeprefix("Service shop/payment:"), call.outcome) for call in found]


def test_without_an_ingress_the_apis_proxy_is_asked_on_the_port_that_the_probe_asks() -> None:
    web, admin = {"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 9000}
    workload = probed("/readyz", port=8080, ports=[{"name": "http", "containerPort": 8080}])

    assert by_proxy(service(ports=[admin, web]), workload) == [("80/readyz", Outcome.PASS)]
    assert by_proxy(service(ports=[admin]), workload) == []
    assert by_proxy(service(ports=[web], selector={"app": "risk"}), workload) == []
    assert by_proxy(service(ports=[web]), workload, 503) == [("80/readyz", Outcome.FAIL)]
    forbidden = ForbiddenError("services/proxy: forbidden")
    assert by_proxy(service(ports=[web]), workload, forbidden) == [("80/readyz", Outcome.NO_DATA)]
    named = service(ports=[admin, web])
    named["metadata"]["annotations"] = {"opslib/smoke-path": "/smoke"}
    assert by_proxy(named, workload) == [("81/smoke", Outcome.PASS)]


def test_what_cannot_be_reached_from_here_says_nothing() -> None:
    (asked,) = smoke(ingress(("127.0.0.1", 1)), service(), ["/readyz"])

    assert (asked.outcome, asked.status) == (Outcome.NO_DATA, 0)
    assert "not reachable from here" in asked.reason
