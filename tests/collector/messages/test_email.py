"""E-mail against a real SMTP server: STARTTLS and TLS under a test CA, login, refusals, hostile names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collector.messages.channels import Failure, Letter, NotDelivered
from collector.messages.channels.email import Email, PartlyDelivered
from collector.messages.settings import EmailSettings
from config.settings import convert
from tests.collector.messages.mail_server import PASSWORD, USER, Certificates, Mailbox, mail_server
from tests.collector.messages.sinks import secret_file

# the test's server does not see that the whole connection is within TLS
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
LETTER = Letter(
    "7-2-opened-duty", "【紧急】第一小学：线路中断", "自 11-22 14:03 起。\nhttps://x.example/incidents/7"
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


def channel(folder: Path, port: int, security: str, ca: Path, **more: Any) -> Email:
    values: dict[str, Any] = {
        "host": "127.0.0.1", "port": port, "sender": "xiaotong@county.example", "security": security,
        "to": ["duty@county.example", "lead@county.example"], "ca_file": str(ca),
    }  # fmt: skip
    if security != "none":
        values |= {"user": USER, "password_file": secret_file(folder, "password", PASSWORD)}
    return Email(convert({**values, **more}, EmailSettings, "test"), 5.0, "messages.channels.email.one")


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
def test_a_letter_arrives_whole(security: str, tmp_path: Path, certificates: Certificates) -> None:
    box = Mailbox()
    with mail_server(box, certificates, security) as port:
        channel(tmp_path, port, security, certificates.ca_file).send(LETTER)
    [message] = box.taken
    assert message["Subject"] == "【紧急】第一小学：线路中断"
    assert message["From"] == "校通 xiaotong <xiaotong@county.example>"
    assert message["Message-ID"] == "<7-2-opened-duty@county.example>"
    assert message["X-Xiaotong-Key"] == "7-2-opened-duty"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content() == LETTER.text + "\n\n[7-2-opened-duty]\n"
    assert box.envelopes[0].rcpt_tos == ["duty@county.example", "lead@county.example"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_server_of_another_ca_gets_neither_password_nor_letter(
    security: str, tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "other").mkdir()
    box, other = Mailbox(), Certificates(tmp_path / "other")
    with mail_server(box, certificates, security) as port:
        sender = channel(tmp_path, port, security, other.ca_file)
        with pytest.raises(NotDelivered, match="TLS: CERTIFICATE_VERIFY_FAILED") as caught:
            sender.send(LETTER)
    assert caught.value.failure is Failure.UNREACHABLE
    assert not box.taken


def test_a_server_without_starttls_is_not_spoken_to_in_the_clear(
    tmp_path: Path, certificates: Certificates
) -> None:
    box = Mailbox()
    with mail_server(box, certificates, "none") as port:
        sender = channel(tmp_path, port, "starttls", certificates.ca_file)
        with pytest.raises(NotDelivered, match="STARTTLS"):
            sender.send(LETTER)
    assert not box.taken


@pytest.mark.fault(20)
def test_a_wrong_password_is_refused_and_not_told(tmp_path: Path, certificates: Certificates) -> None:
    wrong = secret_file(tmp_path, "wrong", "CANARY-password")
    with mail_server(Mailbox(), certificates, "tls") as port:
        sender = channel(tmp_path, port, "tls", certificates.ca_file, password_file=wrong)
        with pytest.raises(NotDelivered, match="535") as caught:
            sender.send(LETTER)
    assert caught.value.failure is Failure.REFUSED
    assert "CANARY" not in str(caught.value)


ANSWERS = [
    ("451 4.3.0 try later", Failure.UNREACHABLE),
    ("552 5.3.4 too big", Failure.CONTENT),
    ("554 5.7.1 spam", Failure.CONTENT),
]


@pytest.mark.parametrize(("said", "failure"), ANSWERS)
def test_what_a_server_says_decides(
    said: str, failure: Failure, tmp_path: Path, certificates: Certificates
) -> None:
    box = Mailbox()
    box.say = said
    with mail_server(box, certificates, "none") as port:
        sender = channel(tmp_path, port, "none", certificates.ca_file)
        with pytest.raises(NotDelivered, match=said[:3]) as caught:
            sender.send(LETTER)
    assert caught.value.failure is failure


def test_one_address_that_is_refused_does_not_repeat_the_others(
    tmp_path: Path, certificates: Certificates
) -> None:
    box = Mailbox()
    box.refuse["lead@county.example"] = "550 5.1.1 no such user"
    with mail_server(box, certificates, "none") as port:
        sender = channel(tmp_path, port, "none", certificates.ca_file)
        with pytest.raises(PartlyDelivered, match=r"did not take lead@county\.example"):
            sender.send(LETTER)
        box.refuse["duty@county.example"] = "550 5.1.1 no such user"
        with pytest.raises(NotDelivered, match="550 no recipient taken") as caught:
            sender.send(LETTER)
    assert len(box.taken) == 1
    assert caught.value.failure is Failure.REFUSED


@pytest.mark.fault(17)
def test_a_title_adds_no_header(tmp_path: Path, certificates: Certificates) -> None:
    box = Mailbox()
    with mail_server(box, certificates, "none") as port:
        sender = channel(tmp_path, port, "none", certificates.ca_file)
        sender.send(Letter("k", "a\r\nBcc: evil@x.example\r\n\r\nbody", "text\n.\r\nMAIL FROM:<x@y>"))
    assert box.taken[0]["Bcc"] is None
    assert box.taken[0]["Subject"] == "a Bcc: evil@x.example body"
    assert box.taken[0].get_content().startswith("text\n.\n")
    assert len(box.taken) == 1


def test_nobody_there_is_told(tmp_path: Path, certificates: Certificates) -> None:
    with pytest.raises(NotDelivered, match=r"127\.0\.0\.1:1: Connection refused") as caught:
        channel(tmp_path, 1, "none", certificates.ca_file).send(LETTER)
    assert caught.value.failure is Failure.UNREACHABLE
