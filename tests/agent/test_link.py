"""The link to the collector over real TLS on loopback, and with name servers that are silent."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.link import Link, LinkError
from agent.network.icmp import Family
from agent.network.names import Names
from agent.settings import Secret

CANARY = "canary-token-5f1c"
DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            _certificate(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(of_authority=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def written(self, file: Path) -> Path:
        file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return file

    def issue(self, file: Path, *names: x509.GeneralName) -> Path:
        """A server's key and certificate in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "collector")])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        server = (
            _certificate(subject, self._name, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        file.write_bytes(private + server.public_bytes(pem))
        return file


def _certificate(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, of_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=of_authority, crl_sign=of_authority,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


class SecureCollector:
    """Answers 204 over TLS, and keeps the credentials and connections that it saw."""

    def __init__(self, certificate: Path) -> None:
        seen: list[str | None] = []
        self.seen, self.peers = seen, set[tuple[str, int]]()
        peers = self.peers

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                seen.append(self.headers["Authorization"])
                peers.add(self.client_address)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a refused certificate ends the handshake: that is what is looked for at the other end

        self._server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@pytest.fixture
def county(tmp_path: Path) -> Authority:
    return Authority("the county")


@pytest.fixture
def collector(county: Authority, tmp_path: Path) -> Iterator[SecureCollector]:
    served = SecureCollector(
        county.issue(tmp_path / "server.pem", LOOPBACK, x509.DNSName("collector.example"))
    )
    yield served
    served.close()


@pytest.fixture
def authorities(county: Authority, tmp_path: Path) -> dict[str, Path | None]:
    stranger = Authority("a stranger").written(tmp_path / "stranger.pem")
    return {"the county": county.written(tmp_path / "ca.pem"), "a stranger": stranger, "the system": None}


def link_to(collector: SecureCollector, host: str, ca_file: Path | None) -> Link:
    names = Names(lambda _: {"ipv4": "127.0.0.1"})
    return Link(f"https://{host}:{collector.port}", Secret(CANARY), 5.0, ca_file, names)


@pytest.mark.parametrize("host", ["127.0.0.1", "collector.example"])
def test_the_county_s_own_authority_is_trusted(
    collector: SecureCollector, county: Authority, tmp_path: Path, host: str
) -> None:
    link = link_to(collector, host, county.written(tmp_path / "ca.pem"))
    for _ in range(3):
        assert link.post("/x", b"body", {}).status == 204
    link.close()
    assert collector.seen == [f"Token {CANARY}"] * 3
    assert len(collector.peers) == 1, "one connection is kept alive"


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    ("host", "signed_by", "reason"),
    [
        ("127.0.0.1", "a stranger", "unable to get local issuer certificate"),
        ("127.0.0.1", "the system", "unable to get local issuer certificate"),
        ("elsewhere.example", "the county", "not valid for 'elsewhere.example'"),
    ],
)
def test_any_other_certificate_is_refused_in_one_line_before_the_token_is_sent(
    collector: SecureCollector, authorities: dict[str, Path | None], host: str, signed_by: str, reason: str
) -> None:
    with pytest.raises(LinkError) as caught:
        link_to(collector, host, authorities[signed_by]).post("/x", b"body", {})
    text = str(caught.value)
    assert text.startswith("the collector's certificate is refused: ")
    assert reason in text
    assert "\n" not in text
    assert CANARY not in text
    assert collector.seen == []


def test_a_mended_authority_file_is_read_without_a_restart(
    collector: SecureCollector, county: Authority, tmp_path: Path
) -> None:
    ca_file = Authority("a stranger").written(tmp_path / "ca.pem")
    link = link_to(collector, "127.0.0.1", ca_file)
    with pytest.raises(LinkError):
        link.post("/x", b"", {})
    county.written(ca_file)
    assert link.post("/x", b"", {}).status == 204
    link.close()


def test_a_silent_name_server_ends_in_time_and_what_was_known_stays_good(
    collector: SecureCollector, county: Authority, tmp_path: Path
) -> None:
    answers, silent = threading.Event(), threading.Event()
    answers.set()

    def look_up(_: str) -> dict[Family, str]:
        if not answers.is_set():
            silent.wait(20)
        return {"ipv4": "127.0.0.1"}

    ca_file = county.written(tmp_path / "ca.pem")
    url = f"https://collector.example:{collector.port}"
    known = Link(url, Secret(CANARY), 1.0, ca_file, Names(look_up))
    assert known.post("/x", b"", {}).status == 204
    known.close()
    answers.clear()
    began = time.monotonic()
    with pytest.raises(LinkError, match=r"no address of collector\.example is known"):
        Link(url, Secret(CANARY), 1.0, ca_file, Names(look_up)).post("/x", b"", {})
    assert time.monotonic() - began < 10
    assert known.post("/x", b"", {}).status == 204
    known.close()
    silent.set()
