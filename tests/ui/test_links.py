"""Links open where the environment says, at the subject and its time, and hold nothing that a URL must not."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from opslib import ui
from opslib.core.model import Finding
from opslib.core.settings import Environment
from opslib.core.windows import NS_PER_S, Window, Windows
from opslib.ui.links import Subject, filled, of_finding

WINDOW = Window(1_769_828_400 * NS_PER_S, 1_769_829_300 * NS_PER_S)
BASES = {
    "grafana": "https://grafana.example/",
    "kibana": "https://kibana.example/base",
    "jaeger": "http://j:16686",
}
MAPPED = {
    "payment": {
        "traces": "payment-service",
        "workload": "deploy/payment-svc",
        "metrics": {"label": "app", "value": "pay"},
        "logs": {"field": "kubernetes.labels.app", "value": "payment-app"},
    }
}


def test_the_address_of_a_known_system_is_enough():
    urls = dict(filled(Environment("prod", links=BASES, services=MAPPED), Subject(WINDOW, "payment")))

    jaeger = urlsplit(urls["jaeger"])
    assert jaeger.path == "/search"
    assert {name: values[0] for name, values in parse_qs(jaeger.query).items()} == {
        "service": "payment-service", "start": "1769828400000000", "end": "1769829300000000",
        "lookback": "custom", "limit": "100",
    }  # fmt: skip
    assert urls["grafana"] == (
        "https://grafana.example/d/opslib-red?from=1769828400000&to=1769829300000"
        "&var-service=pay&var-workload=payment-svc"
    )
    assert unquote(urls["kibana"]) == (
        "https://kibana.example/base/app/discover#/?_g=(time:(from:'2026-01-31T03:00:00Z',"
        "to:'2026-01-31T03:15:00Z'))&_a=(query:(language:kuery,"
        "query:'kubernetes.labels.app: \"payment-app\"'))"
    )


def test_one_trace_has_a_page_of_its_own():
    urls = dict(filled(Environment("prod", links=BASES), Subject(WINDOW, trace_id="ab" * 16)))

    assert urls["jaeger"] == f"http://j:16686/trace/{'ab' * 16}"
    assert f'trace.id: "{"ab" * 16}"' in unquote(urls["kibana"])
    assert "grafana" not in urls, "a dashboard of no service shows nothing"


def test_a_template_is_taken_as_it_is_given_and_left_out_where_it_asks_for_what_is_not_known():
    links = {
        "jaeger": "https://tempo.example/{service}?s={start_s}&{unknown}",
        "kibana": "https://kibana.example/app/dashboards?fixed=1",
        "pods": "https://pods.example/{pod}?from={start_iso}&to={end_iso}",
    }
    environment = Environment("prod", links=links)

    assert dict(filled(environment, Subject(WINDOW, "risk"))) == {
        "jaeger": "https://tempo.example/risk?s=1769828400&{unknown}",
        "kibana": "https://kibana.example/app/dashboards?fixed=1",
    }
    pods = dict(filled(environment, Subject(WINDOW, "risk", pod="risk-1")))["pods"]
    assert pods == "https://pods.example/risk-1?from=2026-01-31T03%3A00%3A00Z&to=2026-01-31T03%3A15%3A00Z"


@pytest.mark.parametrize("name", ["a'b!c", 'a"b\\c', "a b&x=1#f", "</a><script>x</script>", "\u202e"])
def test_hostile_names_stay_inside_their_quotes(name):
    for _, url in filled(Environment("prod", links=BASES), Subject(WINDOW, name, text=name)):
        assert not set(url) & set("'\"<> \\\u202e")
    kibana = dict(filled(Environment("prod", links=BASES), Subject(WINDOW, name)))["kibana"]
    query = unquote(kibana).partition("query:'")[2].removesuffix("'))")
    assert "'" not in query.replace("!!", "").replace("!'", "")


def test_what_is_no_web_address_is_no_link():
    links = {"grafana": "javascript:alert(1)//", "kibana": "file:///etc", "x": "https://a b"}

    assert filled(Environment("prod", links=links), Subject(WINDOW, "risk")) == ()


def test_a_finding_opens_over_both_its_windows_in_the_system_of_its_signal_first():
    environment = Environment("prod", links=BASES)
    log = Finding("log", "logs more", 2.0, 1.0, "lines/s")

    near = of_finding(environment, log, "risk", Windows(WINDOW, WINDOW.before()))
    assert [name for name, _ in near] == ["kibana", "grafana", "jaeger"]
    assert f"from={WINDOW.before().start_ns // 10**6}&to={WINDOW.end_ns // 10**6}" in near[1][1]
    week = Window(WINDOW.start_ns - 604_800 * NS_PER_S, WINDOW.end_ns - 604_800 * NS_PER_S)
    far = of_finding(environment, log, "risk", Windows(WINDOW, week))
    assert f"from={WINDOW.start_ns // 10**6}&to={WINDOW.end_ns // 10**6}" in far[1][1]


def test_evidence_bears_its_links(edge):
    import dataclasses

    inv = dataclasses.replace(edge, environment=Environment("prod", links=BASES))

    assert 'href="http://j:16686/search?service=risk' in ui.evidence(inv).body
    assert "href" not in ui.evidence(edge).body
