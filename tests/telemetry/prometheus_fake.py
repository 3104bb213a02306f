"""A server with Prometheus' API, as far as it is asked here, with the traps that the real ones have."""

import json
import re
from decimal import Decimal

import httpx2

from opslib.core.settings import Environment
from opslib.telemetry.endpoint import Endpoint
from opslib.telemetry.http import Http
from opslib.telemetry.prometheus.naming import naming
from opslib.telemetry.prometheus.source import PrometheusMetrics

URL = "http://prometheus.example/base"
NOW_MS = 1_795_615_455_993
_RAW = re.compile(r"(\{.*\})\[(\d+)ms\]", re.DOTALL)
_MATCHER = re.compile(r'("?)([\w.]+)\1(=~|=)"((?:[^"\\]|\\.)*)"')


class Clock:
    def now_ns(self):
        return NOW_MS * 1_000_000

    def monotonic_s(self):
        return 0.0

    def sleep(self, seconds):
        pass


class Fake:
    """Holds `series`: (labels, [(ms, text or histogram)]). `left_open`: as Prometheus 3 reads ranges."""

    def __init__(self, series=(), *, left_open=True, max_samples=50_000_000, metadata=None, exemplars=()):
        self.series = list(series)
        self.left_open, self.max_samples = left_open, max_samples
        self.families, self.exemplars = metadata or {}, exemplars
        self.envelope = {}
        self.instead = {}  # path -> what it answers with
        self.asked = []

    def __call__(self, request):
        path, params = request.url.path.removeprefix("/base/api/v1/"), dict(request.url.params)
        self.asked.append((path, params))
        for name in (path, "*"):
            if name in self.instead:
                return self.instead[name]()
        return getattr(self, path.replace("/", "_"))(params)

    def query(self, params):
        if params["query"] == "vector(1)":
            return self._ok({"resultType": "vector", "result": []})
        raw = _RAW.fullmatch(params["query"])
        if raw is None:
            return self._refused(400, "bad_data", "1:5: parse error: unclosed left parenthesis")
        until = int(Decimal(params["time"]) * 1000)
        after = until - int(raw[2]) - (0 if self.left_open else 1)
        result = [
            shown(labels, [(ms, v) for ms, v in samples if after < ms <= until])
            for labels, samples in self.series
            if fits(raw[1], labels)
        ]
        result = [one for one in result if len(one) > 1]
        if sum(len(one.get("values", one.get("histograms"))) for one in result) > self.max_samples:
            words = "query processing would load too many samples into memory in query execution"
            return self._refused(422, "execution", words)
        return self._ok({"resultType": "matrix", "result": result})

    def query_range(self, params):
        start, end, step = (int(Decimal(params[name]) * 1000) for name in ("start", "end", "step"))
        if "nocache" not in params:  # as VictoriaMetrics does
            start, end = start // step * step, -(-end // step) * step
        if (end - start) // step > 11_000:
            words = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution"
            return self._refused(400, "bad_data", words)
        values = [[ms / 1000, str(ms)] for ms in range(start, end + 1, step)]
        return self._ok({"resultType": "matrix", "result": [{"metric": {}, "values": values}]})

    def query_exemplars(self, params):
        return self._ok(list(self.exemplars))

    def metadata(self, params):
        return self._ok(self.families)

    def status_buildinfo(self, params):
        return self._ok({"version": "3.16.0", "revision": "x"})

    def _ok(self, data):
        return answer({"status": "success", "data": data, **self.envelope})

    def _refused(self, status, kind, words):
        return answer({"status": "error", "errorType": kind, "error": words}, status)


def answer(content, status=200, **headers):
    body = content if isinstance(content, (bytes, str)) else json.dumps(content)
    kind = "text/html" if str(body).startswith("<") else "application/json"
    return httpx2.Response(status, content=body, headers={"Content-Type": kind, **headers})


def shown(labels, samples):
    plain = [[ms / 1000, v] for ms, v in samples if isinstance(v, str)]
    native = [[ms / 1000, v] for ms, v in samples if not isinstance(v, str)]
    found = {"metric": labels}
    return found | ({"values": plain} if plain else {}) | ({"histograms": native} if native else {})


def fits(selector, labels):
    matchers = _MATCHER.findall(selector)
    assert matchers, selector
    for _, label, how, quoted in matchers:
        value = json.loads(f'"{quoted}"')
        told = labels.get(label, "")
        if not (re.fullmatch(value, told) if how == "=~" else value == told):
            return False
    return True


def source(fake, *, services=None, namespace="", match=(), **endpoint):
    """The source under test, asking the fake."""
    http = Http(Endpoint("prometheus", URL, **endpoint), clock=Clock(), transport=httpx2.MockTransport(fake))
    environment = Environment("prod", services=services or {})
    return PrometheusMetrics(http, Clock(), naming(environment, "prod"), namespace, tuple(match))
