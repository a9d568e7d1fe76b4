"""The Chinese font of our PDFs: found, refused with a clear line, and really embedded."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.pdf_fonts import FOLDERS, NAME, NoChineseFont, register_cjk_font


def chinese_font() -> Path:
    found = [file for folder in FOLDERS if folder.is_dir() for file in folder.rglob("wqy-microhei.ttc")]
    if not found:
        pytest.skip("needs the font wqy-microhei")
    return found[0]


def test_a_font_of_the_system_is_found() -> None:
    chinese_font()
    assert register_cjk_font() == NAME


def test_a_file_of_the_settings_comes_first() -> None:
    assert register_cjk_font(str(chinese_font()), folders=()) == NAME


def test_without_any_the_message_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NoChineseFont, match="install fonts-wqy-microhei or fonts-droid-fallback"):
        register_cjk_font(folders=[tmp_path])


@pytest.mark.parametrize(("content", "why"), [(b"", "cannot be embedded"), (b"OTTO" + bytes(64), "cannot")])
def test_what_is_no_font_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "wqy-microhei.ttc"
    file.write_bytes(content)
    with pytest.raises(NoChineseFont, match=why):
        register_cjk_font(str(file))
    with pytest.raises(NoChineseFont, match="no TrueType font"):
        register_cjk_font(folders=[tmp_path])


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoChineseFont, match=r"nothing\.ttf: cannot be embedded"):
        register_cjk_font(str(tmp_path / "nothing.ttf"))
