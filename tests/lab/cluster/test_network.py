"""Services, names and Ingress on real connections; endpoints are small servers of this process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cluster_node import NAMESPACE, NodeWorld, node_world

from opslib.lab.cluster.network.ingress import Rule, rules
from opslib.lab.cluster.network.names import service_key
from opslib.lab.cluster.options import DeleteOptions

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def acted(tmp_path: Path, scene) -> None:
    async def act() -> None:
        async with node_world(tmp_path / "state") as world:
            await scene(world)

    asyncio.run(act())


class Backend:
    """An endpoint that counts its connections and requests."""

    def __init__(self, name: str) -> None:
        self.name, self.ip, self.connections, self.requests = name, "", 0, []
        self.answer: Callable[[str], bytes] = self.named

    def named(self, _: str) -> bytes:
        body = self.name.encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (
                        int(line[15:])
                        for line in head.lower().split("\r\n")
                        if line.startswith("content-length:")
                    ),
                    0,
                )
                body = await reader.readexactly(length)
                self.requests.append(head + body.decode())
                answer = self.answer(head)
                writer.write(answer)
                if not answer or b"close" in answer.lower():
                    break
        except (EOFError, OSError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def backends(
    world: NodeWorld, *names: str, service: str = "web", port: int = 80
) -> AsyncIterator[list[Backend]]:
    """Endpoints of a Service, each at an address of its own."""
    servers, made = [], [Backend(name) for name in names]
    for backend in made:
        backend.ip = world.addresses.take()
        server = await asyncio.start_server(backend.serve, *world.addresses.place(backend.ip, 8080))
        servers.append(server)
    world.create(
        "services", {"metadata": {"name": service}, "spec": {"ports": [{"port": port, "targetPort": 8080}]}}
    )
    world.slice(service, 8080, [ready(backend) for backend in made])
    try:
        yield made
    finally:
        for server in servers:
            server.close()


def ready(backend: Backend, **conditions: bool) -> dict:
    return {"addresses": [backend.ip], "conditions": {"ready": True, **conditions}}


def leaving(backend: Backend) -> dict:
    return ready(backend, ready=False, serving=True, terminating=True)


class Client:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, address: tuple[str, int]) -> "Client":
        return cls(*await asyncio.open_connection(*address))

    async def ask(
        self, target: str = "/", *headers: str, method: str = "GET", body: str = ""
    ) -> tuple[int, str]:
        lines = [
            f"{method} {target} HTTP/1.1",
            "Host: shop.example",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        self.writer.write("\r\n".join([*lines, "", body]).encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next((int(line[15:]) for line in head if line.startswith("content-length:")), None)
        left = await self.reader.readexactly(length) if length is not None else await self.reader.read()
        return int(head[0].split(" ")[1]), left.decode()

    def close(self) -> None:
        self.writer.close()


def address(url: str) -> tuple[str, int]:
    host, _, port = url.rpartition("@")[2].removeprefix("http://").rpartition(":")
    return host, int(port)


async def once(where: tuple[str, int], *args: str, **more: str) -> tuple[int, str]:
    client = await Client.to(where)
    try:
        return await client.ask(*args, **more)
    finally:
        client.close()


async def refused(where: tuple[str, int]) -> bool:
    """Whether a connection is cut before anything is answered."""
    try:
        await once(where)
    except (EOFError, OSError):
        return True
    return False


# --- Services --------------------------------------------------------------------------------------------------------


def cluster_address(world: NodeWorld, name: str) -> tuple[str, int]:
    service = world.api.get("services", NAMESPACE, name)
    return world.addresses.reach(service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"])


def test_connections_go_to_ready_endpoints_in_turn(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        async with backends(world, "a", "b") as (a, b):
            where = cluster_address(world, "web")
            assert sorted([(await once(where))[1] for _ in range(4)]) == ["a", "a", "b", "b"]
            world.slice("web", 8080, [ready(a), ready(b, ready=False)])
            assert {(await once(where))[1] for _ in range(3)} == {"a"}
            assert (a.connections, b.connections) == (5, 2)

    acted(tmp_path, scene)


def test_a_connection_stays_with_an_endpoint_that_is_leaving(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        async with backends(world, "a", "b") as (a, b):
            clients = [await Client.to(cluster_address(world, "web")) for _ in range(2)]
            named = [(await client.ask())[1] for client in clients]
            world.slice("web", 8080, [leaving(a), ready(b)])
            assert [(await client.ask())[1] for client in clients] == named, "both are still served"
            assert (await once(cluster_address(world, "web")))[1] == "b"
            world.slice("web", 8080, [leaving(a), ready(b, ready=False)])
            assert (await once(cluster_address(world, "web")))[1] == "a", (
                "the last that serves, as it is all there is"
            )
            for client in clients:
                client.close()

    acted(tmp_path, scene)


def test_where_pods_share_one_address_each_port_has_a_stand_in(tmp_path: Path) -> None:
    """As on a system that has only 127.0.0.1: pods listen where POD_LISTEN says, and everybody finds them."""

    async def act() -> None:
        async with node_world(tmp_path / "state", shared=True) as world:
            code = (
                "import http.server, os\n"
                "host, port = os.environ['POD_LISTEN_8080'].split(':')\n"
                "class H(http.server.BaseHTTPRequestHandler):\n"
                "    def do_GET(self):\n"
                "        self.send_response(200); self.send_header('Content-Length', '1'); self.end_headers()\n"
                "        self.wfile.write(os.environ['HOSTNAME'].encode())\n"
                "http.server.ThreadingHTTPServer((host, int(port)), H).serve_forever()\n"
            )
            ports = [{"name": "http", "containerPort": 8080}]
            probe = {"httpGet": {"port": "http"}, "periodSeconds": 1}
            for name in ("a", "b"):
                world.run(name, code, ports=ports, readinessProbe=probe)
            for name in ("a", "b"):
                await world.ready(name)
            world.service("web", 80, 8080, "a", "b")
            assert {(await once(cluster_address(world, "web")))[1] for _ in range(4)} == {"a", "b"}
            named = await once(address(world.network.proxy_url("default")), "http://web/")
            assert named[1] in {"a", "b"}
            hosts = {world.addresses.reach(world.pod(n)["status"]["podIP"], 8080)[0] for n in ("a", "b")}
            assert hosts == {"127.0.0.1"}

    asyncio.run(act())


def test_without_endpoints_or_after_its_end_a_service_refuses(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        async with backends(world, "a"):
            where = cluster_address(world, "web")
            world.slice("web", 8080, [])
            assert await refused(where)
            world.api.delete("services", NAMESPACE, "web", DeleteOptions())
            await world.until(lambda: refused(where))
            with pytest.raises(OSError):
                await asyncio.open_connection(*where)

    acted(tmp_path, scene)


def test_both_directions_end_on_their_own(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        async with backends(world, "a") as (a,):

            async def echo(reader, writer) -> None:
                writer.write((await reader.read()).upper())  # only once the other side has said all
                writer.close()

            a.serve = echo
            server = await asyncio.start_server(echo, *world.addresses.place(a.ip, 9090))
            world.slice("web", 9090, [ready(a)])
            client = await Client.to(cluster_address(world, "web"))
            client.writer.write(b"abc" * 100_000)
            client.writer.write_eof()
            assert len(await client.reader.read()) == 300_000
            client.close()
            server.close()

    acted(tmp_path, scene)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("payment", ("shop", "payment")),
        ("payment.other", ("other", "payment")),
        ("payment.other.svc", ("other", "payment")),
        ("payment.other.svc.cluster.local", ("other", "payment")),
        ("payment.other.svc.cluster.local.", ("other", "payment")),
    ],
)
def test_names_are_services(name: str, key: tuple[str, str]) -> None:
    assert service_key(name, "shop") == key


def test_names_resolve_by_the_proxy_of_the_callers_namespace(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        async with backends(world, "a") as (a,):
            where = address(world.network.proxy_url("default"))
            assert world.network.proxy_url("shop").startswith("http://shop:@")
            for name in ("web", "web.default", "web.default.svc.cluster.local"):
                assert await once(where, f"http://{name}/x?y=z", "Proxy-Connection: keep-alive") == (200, "a")
            assert a.requests[0].startswith("GET /x?y=z HTTP/1.1\r\nhost: shop.example\r\n")
            assert "proxy-connection" not in a.requests[0]
            elsewhere = "Proxy-Authorization: Basic c2hvcDo="
            for target in ("http://nope/", "http://web:81/"):
                assert (await once(where, target))[0] == 502
            assert (await once(where, "http://web/", elsewhere))[0] == 502, "there is none in namespace shop"
            for target in ("/", "https://web/", "ftp://x/", "http://"):
                assert (await once(where, target))[0] == 501

    acted(tmp_path, scene)


def test_what_kube_proxy_would_refuse_cuts_the_callers_connection(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        async with backends(world, "a") as (a,):
            where = address(world.network.proxy_url("default"))
            a.answer = lambda _: b""
            for key in ((), ("Idempotency-Key: k",)):
                with pytest.raises(EOFError):
                    await once(where, "http://web/", *key)
            assert a.connections == 2, "nothing is tried again here: that is the caller's matter"
            world.slice("web", 8080, [])
            with pytest.raises((EOFError, OSError)):
                await once(where, "http://web/")

    acted(tmp_path, scene)


def test_a_callers_connection_moves_on_when_its_endpoint_is_leaving(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        async with backends(world, "a", "b") as (a, b):
            client = await Client.to(address(world.network.proxy_url("default")))
            first = (await client.ask("http://web/"))[1]
            assert (await client.ask("http://web/"))[1] == first, "one connection, one endpoint"
            other = b if first == "a" else a
            world.slice("web", 8080, [ready(other)])
            assert (await client.ask("http://web/"))[1] == other.name
            assert (a.connections, b.connections) == (1, 1)
            client.close()

    acted(tmp_path, scene)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
        ),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", "to the end"),
        (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
    ],
)
def test_answers_of_every_framing_pass(tmp_path: Path, answer: bytes, body: str) -> None:
    async def scene(world: NodeWorld) -> None:
        async with backends(world, "a") as (a,):
            a.answer = lambda _: answer
            reader, writer = await asyncio.open_connection(*address(world.network.proxy_url("default")))
            writer.write(b"GET http://web/ HTTP/1.0\r\n\r\n")
            got = (await reader.read()).decode()
            assert got.endswith(body)
            assert " 200 OK" in got
            writer.close()

    acted(tmp_path, scene)


def test_an_answer_that_breaks_off_breaks_off_for_the_caller(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        async with backends(world, "a") as (a,):
            a.answer = lambda _: b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nshort"
            with pytest.raises((EOFError, OSError)):
                await once(address(world.network.proxy_url("default")), "http://web/")

    acted(tmp_path, scene)


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"x" * 70_000,
        b"POST http://web/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_is_no_request_ends_the_connection(tmp_path: Path, request_: bytes) -> None:
    async def scene(world: NodeWorld) -> None:
        reader, writer = await asyncio.open_connection(*address(world.network.proxy_url("default")))
        writer.write(request_)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()

    acted(tmp_path, scene)


def test_bodies_pass_with_length_in_chunks_and_when_they_are_asked_for(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        async with backends(world, "a") as (a,):
            reader, writer = await asyncio.open_connection(*address(world.network.proxy_url("default")))
            writer.write(b"POST http://web/ HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
            writer.write(b"abc")
            await reader.readuntil(b"\r\n\r\na")
            assert a.requests[0].endswith("\r\n\r\nabc")
            writer.write(
                b"POST http://web/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\na")
            assert "transfer-encoding: chunked" in a.requests[1]
            writer.close()

    acted(tmp_path, scene)


# --- Ingress ---------------------------------------------------------------------------------------------------------


def rule(host: str, path: str, *, exact: bool = False) -> Rule:
    return Rule(host, path, exact, ("n", "s"), 80)


@pytest.mark.parametrize(
    ("host", "path", "exact", "asked", "matches"),
    [
        ("", "/", False, ("any", "/x"), True),
        ("", "/a", False, ("any", "/a/b"), True),
        ("", "/a", False, ("any", "/ab"), False),
        ("", "/a/", False, ("any", "/a"), True),
        ("", "/a", True, ("any", "/a"), True),
        ("", "/a", True, ("any", "/a/"), False),
        ("h", "/", False, ("h", "/"), True),
        ("h", "/", False, ("g", "/"), False),
        ("*.h", "/", False, ("x.h", "/"), True),
        ("*.h", "/", False, ("h", "/"), False),
        ("*.h", "/", False, ("x.y.h", "/"), False),
    ],
)
def test_rules_match_as_the_api_says(host, path, exact, asked, matches) -> None:
    assert rule(host, path, exact=exact).matches(*asked) is matches


def test_the_more_particular_rule_goes_first() -> None:
    order = [
        rule("", "/a/b/c"),
        rule("*.h", "/"),
        rule("x.h", "/"),
        rule("x.h", "/a"),
        rule("x.h", "/a", exact=True),
        rule("x.h", "/a/b"),
    ]

    assert sorted(order, key=lambda r: r.rank) == order
    backend = {"service": {"name": "d", "port": {"name": "http"}}}
    (default,) = rules({"metadata": {"namespace": "n"}, "spec": {"defaultBackend": backend}})
    assert (default.service, default.port, default.matches("any", "/thing")) == (("n", "d"), "http", True)


def test_an_ingress_serves_by_host_and_path(tmp_path: Path) -> None:
    async def scene(world: NodeWorld) -> None:
        def path(value: str, service: str) -> dict:
            backend = {"service": {"name": service, "port": {"number": 80}}}
            return {"path": value, "pathType": "Prefix", "backend": backend}

        where = world.network.front_door
        assert (await once(where))[0] == 404
        paths = [path("/", "web"), path("/api", "api"), path("/none", "nothing")]
        spec = {"rules": [{"host": "shop.example", "http": {"paths": paths}}]}
        world.create("ingresses.networking.k8s.io", {"metadata": {"name": "i"}, "spec": spec})
        status = world.api.get("ingresses.networking.k8s.io", NAMESPACE, "i")["status"]
        given = {"ip": where[0], "ports": [{"port": where[1], "protocol": "TCP"}]}
        assert status == {"loadBalancer": {"ingress": [given]}}
        async with backends(world, "w"), backends(world, "x", "y", service="api") as (x, y):
            client = await Client.to(where)
            assert [(await client.ask(p))[1] for p in ("/", "/other")] == ["w", "w"]
            assert (await client.ask("/api/z"))[1] in {"x", "y"}
            assert (await client.ask("/none"))[0] == 503
            world.slice("api", 8080, [])
            assert (await client.ask("/api"))[0] == 503
            client.close()

            # An endpoint that breaks off: the next one, where the request may be repeated.
            world.slice("api", 8080, [ready(x), ready(y)])
            x.answer = lambda _: b""
            answers = [await once(where, "/api", method="POST") for _ in range(2)]
            assert sorted(answers) == [(200, "y"), (502, "the endpoint ended without an answer\n")]
            for _ in range(4):
                assert await once(where, "/api", "Idempotency-Key: k", method="POST", body="b") == (200, "y")
                assert await once(where, "/api") == (200, "y")
            y.answer = lambda _: b""
            assert (await once(where, "/api"))[0] == 502

    acted(tmp_path, scene)
