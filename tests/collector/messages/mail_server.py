"""A real mail server of loopback with STARTTLS or TLS under a CA of its own, and what it took."""

from __future__ import annotations

import contextlib
import datetime
import email.policy
import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "xiaotong", "mail-secret"


class Certificates:
    """A CA of the test and a server's certificate for 127.0.0.1, as files."""

    def __init__(self, folder: Path) -> None:
        self.ca_file, self.key_file, self.chain_file = (
            folder / name for name in ("ca.pem", "key.pem", "chain.pem")
        )
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        issuer = _name("test CA")
        ca = _certificate(issuer, issuer, ca_key.public_key(), ca_key, is_ca=True)
        made = _certificate(_name("127.0.0.1"), issuer, key.public_key(), ca_key, is_ca=False)
        self.ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        self.chain_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        self.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def context(self) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.chain_file, self.key_file)
        return made


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: Any, by: Any, *, is_ca: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    )
    if not is_ca:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(by, hashes.SHA256())


class Mailbox:
    """What a mail server took; it refuses what it is told to."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.refuse: dict[str, str] = {}
        self.say = "250 OK"

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.say.startswith("250"):
            self.envelopes.append(envelope)
            content = envelope.content
            assert isinstance(content, bytes)
            self.taken.append(BytesParser(EmailMessage, policy=email.policy.default).parsebytes(content))
        return self.say


def _login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    is_right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


@contextlib.contextmanager
def mail_server(box: Mailbox, certificates: Certificates, security: str) -> Iterator[int]:
    """A mail server on loopback; with encryption it wants a login."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # it warns of what it does itself at each login
    context = certificates.context()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": port}
    if security == "tls":
        options["ssl_context"] = context
    if security == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if security != "none":
        options |= {
            "authenticator": _login,
            "auth_required": True,
            "auth_require_tls": security == "starttls",
        }
    controller = Controller(box, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()
