"""A font with Chinese characters for the PDFs that we make, found among those of the system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from config.settings import SettingsError

NAME = "xiaotong-cjk"
"""What the font is called within reportlab."""
FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path.home() / ".local/share/fonts",
)
KNOWN = (
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "uming.ttc",
    "ukai.ttc",
    "simhei.ttf",
    "simsun.ttc",
    "msyh.ttc",
)
"""TrueType outlines only: reportlab cannot embed the CFF outlines of Noto Sans CJK and Source Han."""
PACKAGES = "fonts-wqy-microhei or fonts-droid-fallback (Debian), google-droid-sans-fonts (Fedora)"
SAMPLE = "校通宽带学校线路"


class NoChineseFont(SettingsError):
    """No font that can be embedded has Chinese characters. One line: what is missing, what to install."""


def register_cjk_font(font_file: str = "", folders: Sequence[Path] = FOLDERS) -> str:
    """Give reportlab a font with Chinese characters and return its name; ``font_file`` comes first.

    Raises NoChineseFont when there is none, or the file named cannot be embedded.
    """
    if font_file:
        return _registered(Path(font_file))
    for file in _candidates(folders):
        try:
            return _registered(file)
        except NoChineseFont:
            continue
    raise NoChineseFont(
        f"no TrueType font with Chinese characters was found; install {PACKAGES}, "
        "or name a .ttf or .ttc file in the setting pdf_font_file"
    )


def _candidates(folders: Iterable[Path]) -> list[Path]:
    """Known fonts that are there, in the order of our preference."""
    ranks = {name.lower(): rank for rank, name in enumerate(KNOWN)}
    found = [
        file
        for folder in folders
        if folder.is_dir()
        for file in folder.rglob("*.tt[cf]")
        if file.name.lower() in ranks
    ]
    return sorted(found, key=lambda file: (ranks[file.name.lower()], str(file)))


def _registered(file: Path) -> str:
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415 (5 MB that only who makes a PDF needs)
    from reportlab.pdfbase.ttfonts import TTFError, TTFont  # noqa: PLC0415

    try:
        font = TTFont(NAME, str(file))
    except (TTFError, OSError) as error:
        raise NoChineseFont(f"{file}: cannot be embedded in a PDF: {error}") from None
    lacking = [letter for letter in SAMPLE if ord(letter) not in font.face.charToGlyph]
    if lacking:
        raise NoChineseFont(f"{file}: has no Chinese characters")
    pdfmetrics.registerFont(font)
    return NAME
