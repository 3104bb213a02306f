"""A small Elasticsearch behind a mock transport: it keeps documents, understands the queries that are sent, and has moods."""

import json
import re
from hashlib import md5
from itertools import product
from urllib.parse import parse_qs

import httpx2

from opslib.core.settings import Environment, SourceSettings
from opslib.core.windows import NS_PER_S, parse_instant_ns
from opslib.telemetry.elasticsearch import ElasticsearchLogs
from opslib.telemetry.elasticsearch.documents import Naming, value_of
from opslib.telemetry.elasticsearch.server import Server
from opslib.telemetry.endpoint import Endpoint
from opslib.telemetry.http import Http

URL = "http://es.example:9200"
MS = 1_000_000
KEYWORD, TEXT, DATE = "keyword", "text", "date"
ECS = {
    "@timestamp": DATE,
    "message": TEXT,
    "log.level": KEYWORD,
    "service.name": KEYWORD,
    "kubernetes.pod.name": KEYWORD,
    "kubernetes.labels.app": KEYWORD,
    "trace.id": KEYWORD,
    "span.id": KEYWORD,
}


class FakeElastic:
    """`moods` answer instead of it, in turn: a function of the request, or None for its own answer."""

    def __init__(self, documents=(), mapping=None, *, opensearch=None, page_limit=10_000):
        self.documents = list(documents)
        self.mapping = dict(ECS if mapping is None else mapping)
        self.opensearch = opensearch  # its version
        self.page_limit = page_limit
        self.pits, self.pit_count, self.rotate = {}, 0, False
        self.requests, self.searches, self.moods = [], [], []
        self.missing_shards = 0
        self.status, self.ahead_s = "green", 0
        self.found_moods = []  # functions that change an answer to a search

    def transport(self):
        return httpx2.MockTransport(self.serve)

    def serve(self, request):
        path = request.url.path
        self.requests.append((request.method, path))
        mood = self.moods.pop(0) if self.moods and path == "/_search" else None
        if mood is not None:
            return mood(request)
        return self.answer(request.method, path, request)

    def answer(self, method, path, request):
        body = json.loads(request.content) if request.content else {}
        headers = {} if self.opensearch else {"X-Elastic-Product": "Elasticsearch"}
        if path == "/":
            version = {"number": self.opensearch or "8.19.21"}
            root = {
                "version": version | ({"distribution": "opensearch"} if self.opensearch else {}),
                "cluster_name": "c",
            }
            return httpx2.Response(200, json=root, headers=headers)
        if path == "/_cat/health":
            told = [{"epoch": str(Clock().now_ns() // NS_PER_S + self.ahead_s), "status": self.status}]
            return httpx2.Response(403 if self.status is None else 200, json=told, headers=headers)
        if path.endswith("/_field_caps"):
            return httpx2.Response(200, json=self.caps(request), headers=headers)
        pit_path = "_search/point_in_time" if self.opensearch else "_pit"
        key = "pit_id" if self.opensearch else "id"
        if method == "POST" and path.endswith(f"/{pit_path}"):
            shards = {"total": 3, "failed": self.missing_shards}
            return httpx2.Response(200, json={key: self.new_pit(), "_shards": shards}, headers=headers)
        if method == "DELETE" and path == f"/{pit_path}":
            gone = [body["id"]] if key == "id" else body["pit_id"]
            for pit in gone:
                self.pits.pop(pit, None)
            return httpx2.Response(200, json={"succeeded": True}, headers=headers)
        if path == "/_search":
            return self.search(body, headers)
        return httpx2.Response(405, json={"error": f"{method} {path}"}, headers=headers)

    def caps(self, request):
        asked = parse_qs(request.url.query.decode())["fields"][0].split(",")
        fields = {}
        for name in asked:
            types = self.mapping.get(name, ())
            types = (types,) if isinstance(types, str) else types
            if types:
                fields[name] = {
                    kind: {"type": kind, "aggregatable": kind not in (TEXT, "object")} for kind in types
                }
        return {"indices": ["logs"] if self.mapping else [], "fields": fields}

    def new_pit(self):
        self.pit_count += 1
        self.pits[f"pit-{self.pit_count}"] = True
        return f"pit-{self.pit_count}"

    def expire(self, _request=None):
        """Forget every point in time, and say so."""
        self.pits.clear()
        return httpx2.Response(
            404, json={"error": {"root_cause": [{"type": "search_context_missing_exception"}]}}
        )

    def search(self, body, headers):
        self.searches.append(body)
        if body["pit"]["id"] not in self.pits:
            return self.expire()
        if self.rotate:  # the former id is of no use any more
            self.pits.pop(body["pit"]["id"])
        pit = self.new_pit() if self.rotate else body["pit"]["id"]
        if body.get("size", 10) > self.page_limit:
            return httpx2.Response(400, json={"error": "Result window is too large"}, headers=headers)
        found = [(i, d) for i, d in enumerate(self.documents) if self.matches(body["query"], d)]
        told = {
            "pit_id": pit,
            "timed_out": False,
            "_shards": {"total": 1, "failed": 0},
            "hits": {
                "total": {
                    "value": len(found) if body.get("track_total_hits") is True else min(len(found), 10_000),
                    "relation": "gte",
                },
                "hits": self.hits(body, found),
            },
            "aggregations": self.aggregate(body.get("aggs", {}), [d for _, d in found]),
        }
        for mood in self.found_moods:
            mood(told)
        return httpx2.Response(200, json=told, headers=headers)

    def hits(self, body, found):
        if not body.get("size", 10):
            return []
        keyed = [([self.time(d, floor=True) // self.unit(), i], d) for i, d in found]
        drawn = "function_score" in body["query"]
        keyed.sort(key=lambda pair: md5(repr(pair).encode()).hexdigest() if drawn else pair[0])
        keyed = [pair for pair in keyed if pair[0] > body.get("search_after", [])]
        return [
            {"_index": "logs", "_id": str(key[1]), "sort": key, "_source": d}
            for key, d in keyed[: body.get("size", 10)]
        ]

    def unit(self):
        return 1 if "date_nanos" in self.mapping.get("@timestamp", ()) else MS

    def time(self, document, *, floor=False):
        written = document.get("@timestamp")
        ns = written * MS if isinstance(written, int) else parse_instant_ns(written, 0)
        return ns // self.unit() * self.unit() if floor else ns

    def matches(self, query, document):
        ((kind, what),) = query.items()
        return getattr(self, f"is_{kind}")(what, document)

    def is_match_all(self, _what, _document):
        return True

    def is_match_none(self, _what, _document):
        return False

    def is_function_score(self, what, document):
        return self.matches(what["query"], document)

    def is_bool(self, what, document):
        should = what.get("should")
        return (
            all(self.matches(q, document) for q in what.get("filter", []))
            and not any(self.matches(q, document) for q in what.get("must_not", []))
            and (should is None or any(self.matches(q, document) for q in should))
        )

    def is_range(self, what, document):
        ((name, bounds),) = what.items()
        if value_of(document, name) is None:
            return False
        low, high = parse_instant_ns(bounds["gte"], 0), parse_instant_ns(bounds["lt"], 0)
        unit = self.unit()  # a date compares in whole milliseconds, its bounds cut as well
        return low // unit <= self.time(document) // unit < high // unit

    def is_exists(self, what, document):
        return value_of(document, what["field"]) is not None

    def is_terms(self, what, document):
        ((name, values),) = what.items()
        return any(str(v) in values for v in self.values(document, name))

    def is_match_phrase(self, what, document):
        ((name, text),) = what.items()
        if self.mapping.get(name) != TEXT:
            return text in self.values(document, name)
        words = tokens(text)
        return any(run_at(tokens(str(v)), words, 0) >= 0 for v in self.values(document, name))

    def is_intervals(self, what, document):
        ((name, rule),) = what.items()
        said, at = tokens(str(value_of(document, name) or "")), 0
        for part in rule["all_of"]["intervals"]:
            words = tokens(part["match"]["query"])
            at = run_at(said, words, at)
            if at < 0:
                return False
            at += len(words)
        return True

    def is_wildcard(self, what, document):
        ((name, how),) = what.items()
        pattern = re.escape(how["value"]).replace(r"\*", ".*")
        return any(
            re.fullmatch(pattern, str(v), re.IGNORECASE | re.DOTALL) for v in self.values(document, name)
        )

    @staticmethod
    def values(document, name):
        if name.endswith(".keyword"):
            name = name.removesuffix(".keyword")
        found = document.get(name) if isinstance(document.get(name), list) else value_of(document, name)
        return [] if found is None else [str(v) for v in found] if isinstance(found, list) else [str(found)]

    def aggregate(self, aggs, documents):
        return {name: self.one(how, documents) for name, how in aggs.items()}

    def one(self, how, documents):
        kind = next(k for k in how if k != "aggs")
        inner = lambda found: {"doc_count": len(found), **self.aggregate(how.get("aggs", {}), found)}  # noqa: E731
        if kind in ("min", "max", "value_count"):
            times = [self.time(d) // MS for d in documents]
            return {"value": {"min": min, "max": max, "value_count": len}[kind](times) if times else None}
        if kind == "date_histogram":
            step = int(how[kind]["fixed_interval"].removesuffix("ms"))
            keys = sorted({self.time(d) // MS // step * step for d in documents})
            at = {k: [d for d in documents if self.time(d) // MS // step * step == k] for k in keys}
            return {"buckets": [{"key": k, **inner(found)} for k, found in at.items()]}
        if kind == "terms":
            missing = [how[kind]["missing"]] if "missing" in how[kind] else []
            at = {}
            for document in documents:
                for value in self.values(document, how[kind]["field"]) or missing:
                    at.setdefault(value, []).append(document)
            told, size = [{"key": k, **inner(found)} for k, found in at.items()], how[kind]["size"]
            return {
                "buckets": told[:size],
                "sum_other_doc_count": sum(one["doc_count"] for one in told[size:]),
            }
        if kind == "filters":
            told = how[kind]["filters"]
            if isinstance(told, dict):
                return {
                    "buckets": {
                        k: inner([d for d in documents if self.matches(q, d)]) for k, q in told.items()
                    }
                }
            return {"buckets": [inner([d for d in documents if self.matches(q, d)]) for q in told]}
        if kind == "filter":
            return inner([d for d in documents if self.matches(how[kind], d)])
        if kind == "cardinality":
            return {"value": len({v for d in documents for v in self.values(d, how[kind]["field"])})}
        if kind == "composite":
            return self.composite(how[kind], documents)
        raise AssertionError(kind)

    def composite(self, how, documents):
        names = [next(iter(source)) for source in how["sources"]]
        counts = {}
        for document in documents:
            keys = [
                self.keys(source[name], document) for name, source in zip(names, how["sources"], strict=True)
            ]
            for key in product(*keys):
                counts[key] = counts.get(key, 0) + 1
        order = lambda key: [("" if k is None else str(k).zfill(20)) for k in key]  # noqa: E731
        after = [how["after"][name] for name in names] if "after" in how else None
        found = [k for k in sorted(counts, key=order) if after is None or order(k) > order(after)][
            : how["size"]
        ]
        told = {"buckets": [{"key": dict(zip(names, k, strict=True)), "doc_count": counts[k]} for k in found]}
        return told | ({"after_key": told["buckets"][-1]["key"]} if found else {})

    def keys(self, source, document):
        if "date_histogram" in source:
            step = int(source["date_histogram"]["fixed_interval"].removesuffix("ms"))
            offset = int(source["date_histogram"].get("offset", "0ms").removesuffix("ms"))
            return [(self.time(document) // MS - offset) // step * step + offset]
        return self.values(document, source["terms"]["field"]) or [None]


def tokens(text):
    return [word.casefold() for word in re.findall(r"\w+(?:[.]\w+)*", text)]


def run_at(said, words, start):
    """Return where the words stand side by side, from a place on; -1 where they do not."""
    return next(
        (i for i in range(start, len(said) - len(words) + 1) if said[i : i + len(words)] == words), -1
    )


class Clock:
    """Waits for nothing."""

    def now_ns(self):
        return 1_769_828_400 * NS_PER_S

    def monotonic_s(self):
        return 0.0

    def sleep(self, seconds):
        pass


def logs_of(fake, naming=None, **fields):
    http = Http(Endpoint("elasticsearch", URL, **fields), clock=Clock(), transport=fake.transport())
    return ElasticsearchLogs(Server(http, "filebeat-*"), naming or Naming())


def environment(**services):
    return Environment("prod", logs=SourceSettings("elasticsearch", URL), services=services)
