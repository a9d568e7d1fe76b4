"""Pins, settings' files and credentials of an agent that enrols."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from agent.credentials import Credential
from agent.enrolment import refuse_in_the_clear
from agent.enrolment_file import Place, changed, new_file
from agent.pins import NoPin, pin_of, read_pin
from agent.settings import load_settings
from collector.enrolment.certificates import pin_in
from config.settings import SettingsError

HTTPS = Place("https://county.example:8443", "s9", ca_file="county-ca.pem")


def certificate(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "县" * 20)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode("ascii")


def test_a_pin_is_what_cryptography_makes_of_the_same_certificate() -> None:
    for key in (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ):
        text = certificate(key)
        assert pin_of(text) == pin_in(text)


def test_a_cut_or_bent_certificate_has_no_pin() -> None:
    text = certificate(ec.generate_private_key(ec.SECP256R1()))
    body = text.split("\n")
    for bad in ("", "x", "\n".join([body[0], body[1][:8], *body[-2:]]), text.replace("M", "A", 1)):
        with pytest.raises(NoPin):
            pin_of(bad)


@pytest.mark.parametrize("typed", ["SHA256:" + "aB" * 32, " sha256//" + "ab" * 32, "ab" * 32])
def test_a_pin_is_read_however_it_is_typed(typed: str) -> None:
    assert read_pin(typed) == "sha256:" + "ab" * 32


@pytest.mark.parametrize("typed", ["", "sha256:", "sha1:" + "ab" * 20, "ab" * 31, "zz" * 32])
def test_what_is_no_pin_is_refused(typed: str) -> None:
    with pytest.raises(NoPin):
        read_pin(typed)


def test_new_settings_are_settings(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    (tmp_path / "county-ca.pem").write_text("x")
    file.write_text(new_file(HTTPS), encoding="utf-8")
    loaded = load_settings(file)
    assert loaded.settings.school.id == "s9"
    assert loaded.ca_file == tmp_path / "county-ca.pem"


@pytest.mark.parametrize(
    "text",
    [
        "school: {id: s9}\n# 备注\nprobes: {ping: {}}\n",
        "collector:\n  url: http://old\n\n  token_file: x # old\n# kept\nschool: {id: other}\nprobes: {}\n",
        "school:\n  id: s9\n  lines:\n    - id: wan\ncollector: {url: http://old, token_file: x}",
        "school: {id: s9}\ncollector:\n  url: http://old\n  token_file: x",
    ],
)
def test_settings_that_are_there_keep_every_other_line(text: str) -> None:
    result = changed(text, HTTPS, "agent.yaml")
    assert "http://old" not in result
    for line in ("# 备注", "# kept", "    - id: wan", "probes: {}", "probes: {ping: {}}"):
        assert (line in result) == (line in text)
    assert changed(result, HTTPS, "agent.yaml") == result


@pytest.mark.parametrize(
    "text", ["[1]", "school: {id: s9}\nnonsense: 1\n", '{"school": {"id": "s9"}, "collector": 1}', "a: !x 1"]
)
def test_settings_that_cannot_be_changed_are_left_alone(text: str) -> None:
    with pytest.raises(SettingsError):
        changed(text, HTTPS, "agent.yaml")


@pytest.mark.parametrize(
    "url", ["https://county.example", "http://127.0.0.1:8080", "http://[::1]", "http://localhost"]
)
def test_tokens_travel_by_tls_or_stay_here(url: str) -> None:
    refuse_in_the_clear(url, allowed=False)


@pytest.mark.parametrize("url", ["http://county.example", "http://10.0.0.1", "http://127.0.0.1.example"])
def test_tokens_do_not_travel_in_the_clear_unless_said(url: str) -> None:
    with pytest.raises(SettingsError, match="is not https://"):
        refuse_in_the_clear(url, allowed=False)
    refuse_in_the_clear(url, allowed=True)


@pytest.mark.fault(20)
def test_a_credential_follows_its_file_and_shows_nothing(tmp_path: Path) -> None:
    file = tmp_path / "agent.token"
    file.touch(mode=0o600)
    file.write_text("canary-1\n")
    credential = Credential(file, "agent.yaml")
    assert repr(credential.token()) == "'***'"
    file.write_text("canary-22\n")
    assert credential.token() == "canary-22"
    file.chmod(0o644)
    file.write_text("canary-333\n")
    assert credential.token() == "canary-22", "a file that others may read is not believed"
    file.unlink()
    assert credential.token() == "canary-22"
