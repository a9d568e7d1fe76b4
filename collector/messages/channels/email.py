"""E-mail by SMTP with STARTTLS or TLS. Source: RFC 5321 (4xx is temporary, 5xx is not), RFC 8314."""

from __future__ import annotations

import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate

from collector.messages.channels import Failure, Letter, Limit, NotDelivered, one_line
from collector.messages.channels.robots import secret_of
from collector.messages.settings import EmailSettings

PORTS = {"starttls": 587, "tls": 465, "none": 25}


class Email:
    """Sends plain text, and what is attached to it, to all addresses of the channel at once."""

    max_bytes = 16_000

    def __init__(self, settings: EmailSettings, timeout_seconds: float, key: str) -> None:
        self.limits: tuple[Limit, ...] = (Limit(settings.a_minute, 60.0),)
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._password = secret_of(settings.password_file, f"{key}.password_file")

    def plain(self, text: str) -> str:
        return one_line(text)

    def send(self, letter: Letter) -> None:
        """Raises NotDelivered."""
        settings = self._settings
        where = f"{settings.host}:{settings.port or PORTS[settings.security]}"
        try:
            with self._connected() as server:
                refused = server.send_message(self._message(letter), settings.sender, settings.to)
        except smtplib.SMTPRecipientsRefused as error:
            code = min(code for code, _ in error.recipients.values())
            raise NotDelivered(
                _failure(code, Failure.REFUSED), f"{where}: {code} no recipient taken"
            ) from None
        except smtplib.SMTPResponseException as error:
            failure = _failure(error.smtp_code, _permanent(error))
            raise NotDelivered(failure, f"{where}: {error.smtp_code} {_words(error.smtp_error)}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotDelivered(Failure.UNREACHABLE, f"{where}: {_why(error)}") from None
        if refused:
            # some have it: sent again it would reach them twice
            raise PartlyDelivered(f"{where}: did not take {', '.join(sorted(refused))}")

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        port = settings.port or PORTS[settings.security]
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, port, timeout=self._timeout_seconds, context=context
            )
        else:
            server = smtplib.SMTP(settings.host, port, timeout=self._timeout_seconds)
        try:
            if settings.security == "starttls":
                server.starttls(context=context)
            if settings.user and settings.security != "none":
                server.login(settings.user, self._password)
        except BaseException:
            server.close()
            raise
        return server

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = one_line(letter.title)
        message["From"] = Address("校通 xiaotong", addr_spec=self._settings.sender)
        message["To"] = ", ".join(self._settings.to)
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = f"<{letter.key}@{self._settings.sender.rpartition('@')[2]}>"
        message["X-Xiaotong-Key"] = letter.key
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(f"{letter.text}\n\n[{letter.key}]\n", cte="base64")
        for each in letter.attachments:
            main, _, sub = each.media_type.partition(";")[0].partition("/")
            message.add_attachment(each.data, maintype=main, subtype=sub, filename=each.name)
        return message


class PartlyDelivered(Exception):
    """Some addresses took the letter and others did not; the text names these."""


def _permanent(error: smtplib.SMTPResponseException) -> Failure:
    """What a 5xx means: of the message's own content, or of how the channel is set up."""
    about_content = isinstance(error, smtplib.SMTPDataError)
    return Failure.CONTENT if about_content else Failure.REFUSED


def _failure(code: int, permanent: Failure) -> Failure:
    return permanent if code >= 500 else Failure.UNREACHABLE


def _words(said: bytes | str) -> str:
    return one_line(said.decode("utf-8", "replace") if isinstance(said, bytes) else said)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return one_line(f"TLS: {error.reason or error}")
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)
