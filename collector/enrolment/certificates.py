"""A small certificate authority of the county's own, for a collector without a public certificate."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import os
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.settings import SettingsError

CA_CERTIFICATE, CA_KEY = "ca.pem", "ca.key"
SERVER_CERTIFICATE, SERVER_KEY = "server.pem", "server.key"
CA_DAYS = 3650
SERVER_DAYS = 397
BEFORE = dt.timedelta(days=1)
"""Gateways' clocks may be slow."""
KEY_MODE, CERTIFICATE_MODE = 0o600, 0o644
_PEM = serialization.Encoding.PEM
_DER = serialization.Encoding.DER


class Made(NamedTuple):
    """What stands in the directory now."""

    authority_is_new: bool
    pin: str
    expires_at: dt.datetime


def make(directory: Path, names: tuple[str, ...], days: int, now: dt.datetime) -> Made:
    """A server certificate for ``names`` (host names and addresses), signed by the CA of the directory.

    The CA is made where there is none; an older server certificate and key are replaced. Agents that trust
    the CA need not hear of it. Raises SettingsError.
    """
    wanted = [_name(name) for name in names]
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_new = not (directory / CA_CERTIFICATE).exists()
        ca_key, ca = _new_authority(directory, now) if is_new else _authority_in(directory)
        key = ec.generate_private_key(ec.SECP256R1())
        expires = min(now + dt.timedelta(days=days), ca.not_valid_after_utc)
        server = _server(key, ca, ca_key, names=wanted, now=now, expires=expires)
        _write(directory / SERVER_KEY, _private(key), KEY_MODE)
        chain = server.public_bytes(_PEM) + ca.public_bytes(_PEM)
        _write(directory / SERVER_CERTIFICATE, chain, CERTIFICATE_MODE)
    except OSError as error:
        raise SettingsError(f"{error.filename or directory}: cannot be written: {error.strerror}") from None
    return Made(is_new, pin_of(ca), expires)


def names_in(directory: Path) -> tuple[str, ...]:
    """The names of the server certificate there; none where there is none. Raises SettingsError."""
    try:
        certificate = x509.load_pem_x509_certificate((directory / SERVER_CERTIFICATE).read_bytes())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise SettingsError(f"{directory / SERVER_CERTIFICATE}: cannot be read: {error}") from None
    return tuple(str(each.value) for each in found)


def pin_in(text: str) -> str:
    """The pin of a certificate in PEM. Raises SettingsError."""
    try:
        return pin_of(x509.load_pem_x509_certificate(text.encode("ascii")))
    except ValueError:
        raise SettingsError("the county's CA file holds no certificate that can be read") from None


def pin_of(certificate: x509.Certificate) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, «sha256:…» in hexadecimal (RFC 7469 2.4)."""
    info = certificate.public_key().public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(info).hexdigest()}"


def _new_authority(directory: Path, now: dt.datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "xiaotong county CA")])
    usage = _usage(signs_certificates=True)
    certificate = (
        _certificate(subject, subject, key.public_key(), now, now + dt.timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(directory / CA_KEY, _private(key), KEY_MODE)
    _write(directory / CA_CERTIFICATE, certificate.public_bytes(_PEM), CERTIFICATE_MODE)
    return key, certificate


def _authority_in(directory: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        certificate = x509.load_pem_x509_certificate((directory / CA_CERTIFICATE).read_bytes())
        key = serialization.load_pem_private_key((directory / CA_KEY).read_bytes(), None)
    except FileNotFoundError as error:
        raise SettingsError(f"{error.filename}: is missing; the CA needs its certificate and key") from None
    except ValueError:
        raise SettingsError(f"{directory}: holds a CA that cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise SettingsError(f"{directory / CA_KEY}: is not the key of {CA_CERTIFICATE}")
    return key, certificate


def _server(
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    *,
    names: list[x509.GeneralName],
    now: dt.datetime,
    expires: dt.datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "xiaotong collector")])
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        _certificate(subject, ca.subject, key.public_key(), now, expires)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: dt.datetime,
    expires: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(expires)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError:
        raise SettingsError(f"--name {text}: is no host name and no address") from None


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write(path: Path, content: bytes, mode: int) -> None:
    """A whole file, never readable by others before its mode stands."""
    half = path.with_name(f".{path.name}.half")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_MODE), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
