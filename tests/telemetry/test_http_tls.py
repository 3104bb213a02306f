"""Real TLS on loopback: an authority of one's own, a client certificate, and what is said where they are missing."""

import datetime as dt
import http.server
import ipaddress
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from opslib.core.errors import SourceError
from opslib.telemetry.endpoint import Endpoint
from opslib.telemetry.http import Http
from opslib.testing import ManualClock

NOW = dt.datetime.now(dt.UTC)
PEM = serialization.Encoding.PEM


class Authority:
    """Signs certificates for one folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = self._write(name, self._signed(self.name, self.key, ca=True))

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        key_path = self.folder / f"{name}.key"
        key_path.write_bytes(key.private_bytes(PEM, *form))
        return self._write(name, self._signed(subject, key, ca=False)), key_path

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(hours=1))
            .not_valid_after(NOW + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(PEM))
        return path


class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"a": 1}')

    def log_message(self, *_: object) -> None: ...


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None: ...


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "authority")


@pytest.fixture(params=[False, True], ids=["any client", "known clients"])
def server(request, authority):
    """A server and whether it asks for a client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    if request.param:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.path)
    listening = Server(("127.0.0.1", 0), Quiet)
    listening.socket = context.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{listening.server_port}", request.param
    listening.shutdown()
    listening.server_close()


def ask(url, **fields):
    http = Http(Endpoint("prometheus", url, timeout_s=5.0, **fields), clock=ManualClock())
    try:
        return http.get("/x").json()
    finally:
        http.close()


def test_a_certificate_of_an_unknown_authority_is_not_trusted(server):
    url, _ = server
    with pytest.raises(SourceError, match="no trusted connection") as told:
        ask(url)
    assert "ca =" in told.value.hint


def test_an_authority_of_ones_own_and_a_client_certificate(server, authority):
    url, _ = server
    cert, key = authority.issue("client")
    assert ask(url, ca=authority.path, cert=cert, cert_key=key) == {"a": 1}


def test_a_missing_client_certificate_is_an_error_that_names_the_server(server, authority):
    url, needed = server
    if not needed:
        assert ask(url, ca=authority.path) == {"a": 1}
        return
    with pytest.raises(SourceError, match="prometheus at https://127") as told:
        ask(url, ca=authority.path)
    assert "cert_key" in told.value.hint
