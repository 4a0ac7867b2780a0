"""Reads e-mail: who wrote what to whom and when, the text, and the names of what is attached."""

from __future__ import annotations

import re
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

from ragd.hooks.api import Reader, ReadFailed, ReadText, decode_text, hookimpl

_SHOWN = ("From", "To", "Cc", "Date")
_POSTMARK = re.compile(rb"(?:\A|\n)From [^\n]*\n")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


class MailReader:
    """One message (.eml), or a mailbox (.mbox) whose messages follow each other under their subjects."""

    name = "mail"
    version = "1"
    suffixes = frozenset({".eml", ".mbox"})

    def read(self, data: bytes, suffix: str) -> ReadText:
        """Markdown with a heading for each message; the title of a single message is its subject."""
        if suffix == ".eml":
            message = _parsed(data)
            return ReadText(text=_markdown(message), title=_header(message, "Subject"))
        parts = [_QUOTED_FROM.sub(rb"\1", part) for part in _POSTMARK.split(data) if part.strip()]
        if not parts or not _POSTMARK.match(data):
            raise ReadFailed("broken: not a mailbox, its first line is missing", hint="export the mailbox again")
        return ReadText(text="\n\n".join(_markdown(_parsed(part)) for part in parts))


def _parsed(data: bytes) -> EmailMessage:
    """The message. Raises ReadFailed when it has none of the headers that every message has."""
    message = BytesParser(policy=policy.default).parsebytes(data)
    if not any(message.get(name) for name in ("From", "To", "Subject", "Date", "Message-ID")):
        raise ReadFailed("broken: an e-mail without headers", hint="export the message again")
    return message


def _markdown(message: EmailMessage) -> str:
    subject = _header(message, "Subject") or "(no subject)"
    facts = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    attached = [name for part in message.iter_attachments() if (name := part.get_filename())]
    if attached:
        facts.append("Attached: " + ", ".join(attached))
    return f"# {subject}\n\n" + "\n".join(facts) + "\n\n" + _body(message).strip() + "\n"


def _header(message: EmailMessage, name: str) -> str:
    """A header's words, encoded ones decoded; what cannot be decoded is left as it stands."""
    value = message.get(name)
    return " ".join(str(value).split()) if value is not None else ""


def _body(message: EmailMessage) -> str:
    """The text that was meant for reading: plain before HTML."""
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        text = decode_text(payload, declared=part.get_content_charset() or "")
    except ReadFailed:
        return ""
    if part.get_content_subtype() != "html":
        return text
    from markitdown.converters import HtmlConverter

    return str(HtmlConverter().convert_string(text).markdown)


@hookimpl
def ragd_readers() -> list[Reader]:
    """The reader of e-mail."""
    return [MailReader()]
