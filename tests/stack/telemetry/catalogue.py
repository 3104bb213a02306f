"""The servers: what each listens on, the command that starts it, and the question whose answer is its version.

Everything that a server writes lies in its own folder under the state; all of them listen on loopback alone.
"""

import json
import re
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import building

CONF = Path(__file__).parent / "conf"
NO_ID = "0" * 64


@dataclass(frozen=True)
class Options:
    """What `up` was asked for. `logs` is where rsyslog reads; `node` what it calls this machine."""

    scrape: Mapping[str, str] = field(default_factory=dict)
    scrape_interval: str = "1s"
    logs: Path | None = None
    node: str = "node1"


@dataclass(frozen=True)
class Place:
    """Where one server runs: its own folder, what was built, its ports, the URLs of those that it needs."""

    folder: Path
    built: Path
    ports: Mapping[str, int]
    urls: Mapping[str, str]
    options: Options

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['http']}"

    @property
    def scraped(self) -> Path:
        return self.folder.parent / "scrape"

    @property
    def logs(self) -> Path:
        return self.options.logs or self.folder / "containers"

    def configured(self, name: str, **more: object) -> str:
        """Write a configuration into the server's folder, its {{names}} filled in, and return the path."""
        values = {"folder": self.folder, **self.ports, **more}
        filled = re.sub(r"\{\{(\w+)\}\}", lambda m: str(values[m.group(1)]), (CONF / name).read_text())
        (self.folder / name).write_text(filled)
        return str(self.folder / name)


def ask(url: str, body: str | None = None, method: str | None = None, kind: str = "application/json") -> Any:
    """Return the answer, JSON where it is such. Raises OSError for an error, which an HTTP status above 399 is."""
    data = None if body is None else body.encode()
    with urlopen(Request(url, data, {"Content-Type": kind}, method=method), timeout=10) as answer:
        text = answer.read().decode()
    return json.loads(text) if text.lstrip().startswith(("{", "[")) else text


def _said(*command: str, **environment: str) -> str:
    return subprocess.run(
        command, env=environment or None, capture_output=True, text=True, timeout=30, check=True
    ).stdout


def _jaeger(place: Place) -> list[str]:
    backend: dict[str, Any] = {"memory": {"max_traces": 200_000}}
    if place.urls:
        one = {"shards": 1, "replicas": 0}
        indices = {
            "index_prefix": "jaeger",
            "spans": one,
            "services": one,
            "dependencies": one,
            "sampling": one,
        }
        flush = {"flush_interval": "200ms"}
        urls = list(place.urls.values())
        backend = {"elasticsearch": {"server_urls": urls, "indices": indices, "bulk_processing": flush}}
    conf = place.configured("jaeger.yaml", storage=next(iter(backend)), backend=json.dumps(backend))
    return [str(place.built / "jaeger"), "--config", conf]


def _jaeger_version(place: Place) -> str:
    ask(f"{place.url}/api/services")
    ask(f"http://127.0.0.1:{place.ports['otlp']}/v1/traces", '{"resourceSpans": []}')
    return json.loads(_said(str(place.built / "jaeger"), "version"))["gitVersion"]


def _prometheus(binary: str, native: str, classic: str, *flags: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        conf = place.configured(
            "prometheus.yml",
            interval=place.options.scrape_interval,
            scrape=place.scraped,
            native=native,
            classic=classic,
        )
        return [
            str(place.built / binary),
            f"--config.file={conf}",
            f"--storage.tsdb.path={place.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{place.ports['http']}",
            "--web.enable-remote-write-receiver",
            "--enable-feature=exemplar-storage,native-histograms",
            *flags,
        ]

    return command


def _prometheus_version(place: Place) -> str:
    ask(f"{place.url}/-/ready")
    return ask(f"{place.url}/api/v1/status/buildinfo")["data"]["version"]


def _java(place: Place, oldest: int, *properties: str) -> list[str]:
    scratch = place.folder / "tmp"
    scratch.mkdir(exist_ok=True)
    return [
        str(building.java(oldest) / "bin/java"),
        *("-Xms512m", "-Xmx1g", "-XX:+UseSerialGC", "-XX:-UsePerfData", f"-XX:ErrorFile={scratch}/error.log"),
        *(
            f"-Djava.io.tmpdir={scratch}",
            f"-Djna.tmpdir={scratch}",
            "-Djna.nosys=true",
            "-Dfile.encoding=UTF-8",
        ),
        *("-Djava.awt.headless=true", "-Dlog4j2.disable.jmx=true", "-Dlog4j2.formatMsgNoLookups=true"),
        *(f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in ("java.io", "java.nio", "sun.nio.ch")),
        *properties,
    ]


def _elasticsearch(place: Place) -> list[str]:
    home, native = place.built, place.built / "native"
    return [
        *_java(
            place,
            17,
            f"-Des.path.home={home}",
            f"-Des.nativelibs.path={native}",
            f"-Djava.library.path={native}",
        ),
        *(
            "-Dio.netty.noUnsafe=true",
            "-Dio.netty.noKeySetOptimization=true",
            "-Dlog4j.shutdownHookEnabled=false",
        ),
        *("-cp", f"{home}/lib/*", "Node"),
        *("cluster.name=telemetry", "node.name=node", "network.host=127.0.0.1", "discovery.type=single-node"),
        *(f"http.port={place.ports['http']}", f"transport.port={place.ports['transport']}"),
        *(
            f"path.data={place.folder / 'data'}",
            f"path.logs={place.folder / 'logs'}",
            "xpack.security.enabled=false",
        ),
        "cluster.routing.allocation.disk.threshold_enabled=false",
    ]


def _opensearch(place: Place) -> list[str]:
    ports = (str(place.ports["http"]), str(place.ports["transport"]))
    flags = (
        "-Dopensearch.set.netty.runtime.available.processors=false",
        "--enable-native-access=ALL-UNNAMED",
    )
    return [
        *_java(place, 21, *flags),
        *("-cp", f"{place.built}:{place.built}/*", "Node", str(place.folder / "data"), *ports),
    ]


def _search_version(place: Place) -> str:
    """Ask for a cluster that can index, and give it the types of Filebeat's fields."""
    ask(f"{place.url}/_cluster/health?wait_for_status=yellow&timeout=5s")
    template = (CONF / "filebeat-template.json").read_text()
    ask(f"{place.url}/_index_template/filebeat-8.19", template, "PUT")
    return ask(place.url)["version"]["number"]


def _loki(place: Place) -> list[str]:
    return [str(place.built / "loki"), f"-config.file={place.configured('loki.yaml')}"]


def _loki_version(place: Place) -> str:
    ask(f"{place.url}/ready")
    return ask(f"{place.url}/loki/api/v1/status/buildinfo")["version"]


OBJECTS = (  # names with dots, as loggers for ECS write them
    *("log.level", "log.logger", "trace.id", "span.id", "transaction.id", "service.name", "service.version"),
    *(
        "service.environment",
        "error.type",
        "error.message",
        "error.stack_trace",
        "event.dataset",
        "process.pid",
    ),
)
RENAMED = {"level": "log!level", "trace_id": "trace!id", "span_id": "span!id", "time": "@timestamp"}


def _rsyslog(place: Place) -> list[str]:
    (place.folder / "state").mkdir(exist_ok=True)
    (place.folder / "probe").mkdir(exist_ok=True)
    place.logs.mkdir(parents=True, exist_ok=True)
    names = "\n  ".join(
        f'if $!document!{name} != "" then {{ set $!document!{to} = $!document!{name}; unset $!document!{name}; }}'
        for name, to in {**RENAMED, **{name: name.replace(".", "!") for name in OBJECTS}}.items()
    )
    conf = place.configured(
        "rsyslog.conf",
        logs=place.logs,
        node=place.options.node,
        elasticsearch=place.urls["elasticsearch"],
        agent=uuid.uuid4(),
        ephemeral=uuid.uuid4(),
        names=names,
        file="/([^/_]+)_([^/_]+)_([^/]+)-([0-9a-f]{64})[.]log",
    )
    modules = next(place.built.glob("usr/lib/*/rsyslog"))
    return [str(place.built / "usr/sbin/rsyslogd"), "-n", "-i", "NONE", "-f", conf, "-M", str(modules)]


def _libraries(place: Place) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(next(place.built.glob("usr/lib/*/rsyslog")).parent)}


def _rsyslog_version(place: Place) -> str:
    """Send a line by the way of all lines, wait until it can be found, and take it away again."""
    store = place.urls["elasticsearch"]
    probe = place.folder / f"probe/probe_opslib_up-{NO_ID}.log"
    if not probe.exists():
        probe.write_text("is anybody there\n")
    (hit,) = ask(f"{store}/filebeat-8.19.21/_search?q=container.id:{NO_ID}")["hits"]["hits"]
    ask(f"{store}/{hit['_index']}/_doc/{hit['_id']}?refresh=true", method="DELETE")
    said = _said(str(place.built / "usr/sbin/rsyslogd"), "-v", **_libraries(place))
    return said.split()[1]


@dataclass(frozen=True)
class Server:
    """`ports` are its names for them, `http` its URL's; `version` raises OSError, LookupError or ValueError until it is ready."""

    command: Callable[[Place], list[str]]
    version: Callable[[Place], str]
    recipe: str
    ports: tuple[str, ...] = ("http",)
    needs: tuple[str, ...] = ()
    environment: Callable[[Place], dict[str, str]] = lambda _: {}


OTLP = ("http", "grpc", "otlp", "otlp_grpc")
PROTOBUF = ("scrape_native_histograms: true", "always_scrape_classic_histograms: true")
SERVERS = {
    "jaeger": Server(_jaeger, _jaeger_version, "jaeger", OTLP),
    "jaeger-elasticsearch": Server(_jaeger, _jaeger_version, "jaeger", OTLP, needs=("elasticsearch",)),
    "prometheus-2": Server(_prometheus("usr/bin/prometheus", "", ""), _prometheus_version, "prometheus-2"),
    "prometheus-3": Server(
        _prometheus("prometheus", *PROTOBUF, "--web.enable-otlp-receiver"),
        _prometheus_version,
        "prometheus-3",
    ),
    "elasticsearch": Server(_elasticsearch, _search_version, "elasticsearch", ("http", "transport")),
    "opensearch": Server(_opensearch, _search_version, "opensearch", ("http", "transport")),
    "loki": Server(_loki, _loki_version, "loki", ("http", "grpc")),
    "rsyslog": Server(
        _rsyslog, _rsyslog_version, "rsyslog", (), needs=("elasticsearch",), environment=_libraries
    ),
}
