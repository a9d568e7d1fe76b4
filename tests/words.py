"""Brings the catalogue of words up to date: ``python -m tests.words`` (``make words``).

Extracts every text from the sources, keeps the translations that exist, drops what nobody says any more and
compiles. Texts that still lack a translation are printed, and fail the tests.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
PO = ROOT / "config/locale/zh_CN/LC_MESSAGES/xiaotong.po"
MO = PO.with_suffix(".mo")
SOURCES = ("agent", "collector", "config")
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
KEYWORDS = {"_": None, "message": None, "translate": None}
NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)
HEADER = """\
msgid ""
msgstr ""
"Project-Id-Version: xiaotong\\n"
"Language: zh_CN\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"

"""


def said() -> set[str]:
    """Every text that the sources say to people."""
    return {text for source in SOURCES for text in _said_in(ROOT / source)}


def translations() -> dict[str, str]:
    """What the catalogue holds: English to Chinese."""
    with PO.open("rb") as file:
        catalogue = read_po(file, locale="zh_CN", domain="xiaotong", abort_invalid=True)
    return {str(entry.id): str(entry.string) for entry in catalogue if entry.id}


def po_text(words: dict[str, str]) -> str:
    """The source of the catalogue, sorted, without what changes from day to day."""
    out = io.BytesIO()
    write_po(out, _catalogue(words), width=110, no_location=True, omit_header=True, sort_output=True)
    return HEADER + out.getvalue().decode("utf-8")


def mo_bytes(words: dict[str, str]) -> bytes:
    """The compiled catalogue."""
    out = io.BytesIO()
    write_mo(out, _catalogue(words))
    return out.getvalue()


def _said_in(directory: Path) -> Iterator[str]:
    for _, _, text, _, _ in extract_from_dir(directory, METHODS, {}, KEYWORDS):
        yield text if isinstance(text, str) else text[0]


def _catalogue(words: dict[str, str]) -> Catalog:
    made = Catalog(
        locale="zh_CN", project="xiaotong", version="", fuzzy=False,
        creation_date=NO_DATE, revision_date=NO_DATE, header_comment="",
    )  # fmt: skip
    for english, chinese in words.items():
        made.add(english, chinese)
    return made


def main() -> None:
    """Bring both files up to date."""
    known = translations() if PO.exists() else {}
    words = {text: known.get(text, "") for text in said()}
    PO.write_text(po_text(words), encoding="utf-8")
    MO.write_bytes(mo_bytes(words))
    for text in sorted(text for text, translated in words.items() if not translated):
        print(text)


if __name__ == "__main__":
    main()
