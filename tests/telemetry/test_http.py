"""How servers are asked: what comes back instead of an answer is told, and credentials never are."""

import itertools

import httpx2
import pytest

from opslib.core.errors import SourceError, UsageError
from opslib.core.settings import SourceSettings
from opslib.telemetry.endpoint import Endpoint, endpoint
from opslib.telemetry.http import Http

URL = "http://jaeger.example/base"


class Clock:
    """Time that passes by sleeping, and by `step_s` at each look."""

    def __init__(self, step_s=0.0):
        self.now_s, self.step_s, self.slept = 0.0, step_s, []

    def now_ns(self):
        return int(self.now_s * 1e9)

    def monotonic_s(self):
        self.now_s += self.step_s
        return self.now_s

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now_s += seconds


def asking(*answers, clock=None, **fields):
    """An Http whose server gives these answers in turn, the last one for ever; and the requests that it saw."""
    seen, coming = [], itertools.chain(answers, itertools.repeat(answers[-1]))

    def serve(request):
        seen.append(request)
        answer = next(coming)
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    where = Endpoint("jaeger", URL, **fields)
    return Http(where, clock=clock or Clock(), transport=httpx2.MockTransport(serve)), seen


def ok(content=b'{"a": 1}', status=200, **headers):
    return lambda: httpx2.Response(status, content=content, headers=headers)


def test_an_answer_is_decoded_and_the_base_path_is_kept():
    http, seen = asking(ok())
    assert http.get("/api/v3/services", {"x": ["1", "2"]}).json() == {"a": 1}
    assert str(seen[0].url) == f"{URL}/api/v3/services?x=1&x=2"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(status):
    clock = Clock()
    http, seen = asking(ok(status=status, **{"Retry-After": "3"}), ok(), clock=clock)
    assert http.get("/x").json() == {"a": 1}
    assert len(seen) == 2
    assert clock.slept == [3.0]


def test_a_server_that_stays_busy_is_told_with_its_words():
    http, seen = asking(ok(b"too many", status=429))
    with pytest.raises(SourceError, match="answered 429: too many"):
        http.get("/x")
    assert len(seen) == 4


def test_a_wish_to_wait_for_hours_is_not_followed():
    clock = Clock()
    http, _ = asking(ok(status=503, **{"Retry-After": "99999"}), ok(), clock=clock)
    http.get("/x")
    assert clock.slept == [5.0]


def test_a_server_that_is_not_there_is_asked_a_few_times_and_named():
    http, seen = asking(httpx2.ConnectError("refused"))
    with pytest.raises(SourceError, match=r"cannot connect to jaeger at http://jaeger\.example/base/x"):
        http.get("/x")
    assert len(seen) == 4


def test_half_an_answer_is_asked_for_again():
    http, seen = asking(httpx2.RemoteProtocolError("peer closed connection"), ok())
    assert http.get("/x").status == 200
    assert len(seen) == 2


def test_a_silent_server_is_not_asked_again():
    http, seen = asking(httpx2.ReadTimeout("slow"))
    with pytest.raises(SourceError, match="did not answer within 10 s"):
        http.get("/x")
    assert len(seen) == 1


def test_an_unknown_authority_says_what_to_set():
    http, seen = asking(httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"))
    with pytest.raises(SourceError, match="no trusted connection") as told:
        http.get("/x")
    assert "ca =" in told.value.hint
    assert len(seen) == 1


def test_a_slow_drip_ends_at_the_deadline():
    drops = (b" " for _ in itertools.count())
    http, _ = asking(httpx2.Response(200, stream=Drip(drops)), clock=Clock(step_s=1.0), deadline_s=20.0)
    with pytest.raises(SourceError, match="had not answered whole after 20 s"):
        http.get("/x")


class Drip(httpx2.SyncByteStream):
    def __init__(self, drops):
        self.drops = drops

    def __iter__(self):
        return self.drops


def test_an_endless_answer_is_given_up():
    http, _ = asking(ok(b"x" * 2000), max_bytes=1000)
    with pytest.raises(SourceError, match="more than"):
        http.get("/x")


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_told_without_them(status):
    http, _ = asking(ok(status=status), headers={"Authorization": "Bearer hunter22"})
    with pytest.raises(SourceError, match="does not accept our credentials") as told:
        http.get("/x")
    assert "hunter22" not in f"{told.value} {told.value.hint} {http.endpoint!r}"


def test_a_redirect_is_not_followed():
    http, seen = asking(ok(status=302, Location="https://login.example/"))
    with pytest.raises(SourceError, match="sends us elsewhere") as told:
        http.get("/x")
    assert "https://login.example/" in told.value.hint
    assert len(seen) == 1


def test_a_page_is_no_answer():
    http, _ = asking(ok(b"<html>Log in</html>", **{"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(SourceError, match="web page"):
        http.get("/x").json()


def test_half_of_a_json_is_no_answer():
    http, _ = asking(ok(b'{"data": [1, 2'))
    with pytest.raises(SourceError, match="not its protocol"):
        http.get("/x").json()


def settings(**options):
    return SourceSettings("prometheus", options.pop("url", "https://p.example/"), options)


def headers(monkeypatch, secret, **options):
    monkeypatch.setenv("OPSLIB_TEST_SECRET", secret)
    return endpoint(settings(**options), "prod, metrics", frozenset(), None).headers


@pytest.mark.parametrize(
    ("secret", "auth", "sent"),
    [
        ("ann:pw", "env:OPSLIB_TEST_SECRET", "Basic YW5uOnB3"),
        ("Bearer abc", "env:OPSLIB_TEST_SECRET", "Bearer abc"),
        ("abc", {"bearer": "env:OPSLIB_TEST_SECRET"}, "Bearer abc"),
        ("abc", {"api_key": "env:OPSLIB_TEST_SECRET"}, "ApiKey abc"),
        ("ann:pw", {"basic": "env:OPSLIB_TEST_SECRET"}, "Basic YW5uOnB3"),
    ],
)
def test_credentials_come_by_reference(monkeypatch, secret, auth, sent):
    assert headers(monkeypatch, secret, auth=auth)["Authorization"] == sent


def test_tenant_and_headers_are_sent(monkeypatch):
    found = headers(monkeypatch, "v", tenant="team-a", headers={"X-Key": "env:OPSLIB_TEST_SECRET"})
    assert found == {"X-Scope-OrgID": "team-a", "X-Key": "v"}


def test_a_secret_from_a_file_beside_the_environment(tmp_path):
    (tmp_path / "token").write_text("Bearer abc\n")
    found = endpoint(settings(auth="file:token"), "prod", frozenset(), tmp_path / "opslib.toml")
    assert found.headers["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auth": "hunter22"}, "by reference only"),
        ({"auth": "env:OPSLIB_TEST_ABSENT"}, "nothing behind"),
        ({"auth": "file:absent"}, "cannot read"),
        ({"auth": {"digest": "env:X"}}, "a reference or a table of one"),
        ({"url": "ftp://x"}, "needs a `url`"),
        ({"url": "https://ann:hunter22@x"}, "without credentials"),
        ({"indx": "x"}, "no option 'indx'"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"ca": "absent.pem"}, "no file"),
        ({"headers": "x"}, "headers is a table"),
    ],
)
def test_what_cannot_be_is_told_without_secrets(options, message):
    with pytest.raises(UsageError, match=message) as told:
        endpoint(settings(**options), "prod, metrics", frozenset(), None)
    assert "hunter22" not in f"{told.value} {told.value.hint}"


def test_a_bundle_that_holds_no_certificate_is_told(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate")
    with pytest.raises(UsageError, match="cannot use its certificates"):
        Http(Endpoint("jaeger", "https://j.example", ca=bundle))
