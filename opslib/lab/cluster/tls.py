"""The cluster's own certificate authority, and the certificate of its server, in one folder for as long as it lasts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from opslib.core.clock import Clock

_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_AUTHORITY_LASTS = timedelta(days=3650)
_SERVER_LASTS = timedelta(days=365)
_EARLIER = timedelta(hours=1)  # clocks differ


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of the authority and of the server."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def server(self) -> Path:
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"


def certificates(folder: Path, addresses: tuple[str, ...], clock: Clock) -> Certificates:
    """Return the certificates of a folder; the authority is made once, the server's certificate at every start."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files, key_file = Certificates(folder), folder / "ca.key"
    now = datetime.fromtimestamp(clock.now_ns() // 1_000_000_000, tz=UTC)
    if not (key_file.exists() and files.authority.exists()):
        made = generate_private_key(SECP256R1())
        _write_key(key_file, made)
        files.authority.write_bytes(_pem(_authority(made, now)))
    signer = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(signer, EllipticCurvePrivateKey)  # written above
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    server_key = generate_private_key(SECP256R1())
    _write_key(files.key, server_key)
    files.server.write_bytes(_pem(_server(server_key, signer, authority, addresses, now)))
    return files


def _authority(key: EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = _name("opslib practice cluster")
    usage = _usage(signs_certificates=True)
    return (
        _builder(name, name, key, now, _AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server(
    key: EllipticCurvePrivateKey,
    signer: EllipticCurvePrivateKey,
    authority: x509.Certificate,
    addresses: tuple[str, ...],
    now: datetime,
) -> x509.Certificate:
    names = [x509.DNSName(name) for name in _NAMES]
    known = [*names, *(x509.IPAddress(ip_address(address)) for address in addresses)]
    serves = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        _builder(_name("kube-apiserver"), authority.subject, key, now, _SERVER_LASTS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(serves, critical=False)
        .add_extension(x509.SubjectAlternativeName(known), critical=False)
        .add_extension(identifier, critical=False)
        .sign(signer, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + lasts)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(path: Path, key: EllipticCurvePrivateKey) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        file.write(key.private_bytes(encoding, form, serialization.NoEncryption()))
