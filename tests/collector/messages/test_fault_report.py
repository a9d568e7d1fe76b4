"""The fault report to the carrier: to the letter, and as a PDF whose Chinese can be read back."""

from __future__ import annotations

import base64
import re
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from collector.incidents.book import IncidentBook, Turned
from collector.incidents.machine import Turn
from collector.main import main
from collector.messages.fault_report import FaultReport, as_pdf, fault_report
from collector.pdf_fonts import register_cjk_font
from tests.collector.messages.county import AT, CHINA, EVERY_KIND, SCHOOLS, change, incident, opened_registry
from tests.conftest import Golden

GOLDEN = Path(__file__).parent / "golden"
NOW = AT + timedelta(hours=1)


def report(of: Any, language: Any = "zh_CN", **more: Any) -> FaultReport:
    schools = {each.id: each for each in SCHOOLS}
    return fault_report(of, schools, language=language, zone=CHINA, now=NOW, **more)


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_report_says_what_the_carrier_asks_for(language: str, golden: Golden) -> None:
    over = incident(state="resolved", resolved_at=NOW, carrier_ticket="10000-0071")
    reports = [
        report(EVERY_KIND[1], language, contact="王老师 0936-0000000", steps=[(AT, "3 × ping: 100 %")]),
        report(EVERY_KIND[0], language),
        report(EVERY_KIND[11], language),
        report(over, language),
    ]
    golden(GOLDEN / f"fault_reports.{language}.txt", "\n".join(each.as_text() for each in reports))


def test_the_pdf_holds_the_chinese_of_the_report() -> None:
    made = as_pdf(report(EVERY_KIND[1], contact="<b>王</b> & 李"), register_cjk_font())
    assert made.startswith(b"%PDF-")
    written = text_of(made)
    for expected in ("报障单", "第一小学", "CT-2026-0815", "<b>王</b> & 李"):
        assert expected in written


def text_of(pdf: bytes) -> str:
    """What a PDF of one embedded TrueType font shows, by the font's own table from codes to characters."""
    streams = [_decoded(found) for found in re.findall(rb"stream\r?\n(.*?)\r?\n?endstream", pdf, re.DOTALL)]
    maps: dict[int, str] = {}
    for stream in streams:
        for block in re.findall(rb"beginbfchar(.*?)endbfchar", stream, re.DOTALL):
            for code, value in re.findall(rb"<(\w+)>\s*<(\w+)>", block):
                maps[int(code, 16)] = bytes.fromhex(value.decode()).decode("utf-16-be")
        for block in re.findall(rb"beginbfrange(.*?)endbfrange", stream, re.DOTALL):
            for first, listed in re.findall(rb"<(\w+)>\s*<\w+>\s*\[(.*?)\]", block, re.DOTALL):
                for place, value in enumerate(re.findall(rb"<(\w+)>", listed)):
                    maps[int(first, 16) + place] = bytes.fromhex(value.decode()).decode("utf-16-be")
    shown = b"".join(
        text for stream in streams for text in re.findall(rb"\(((?:\\.|[^\\)])*)\)\s*Tj", stream)
    )
    return "".join(maps.get(code, chr(code)) for code in _unescaped(shown))


def _decoded(stream: bytes) -> bytes:
    try:
        return zlib.decompress(
            base64.a85decode(stream.strip(), adobe=False) if stream.endswith(b"~>") else stream
        )
    except (zlib.error, ValueError):
        try:
            return zlib.decompress(base64.a85decode(b"<~" + stream.strip(), adobe=True))
        except (zlib.error, ValueError):
            return stream


def _unescaped(text: bytes) -> bytes:
    def one(found: re.Match[bytes]) -> bytes:
        what = found[1]
        if what.isdigit():
            return bytes([int(what, 8)])
        return {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}.get(what, what)

    return re.sub(rb"\\([0-7]{1,3}|.)", one, text, flags=re.DOTALL)


@pytest.fixture
def config(tmp_path: Path) -> tuple[Path, int]:
    """Settings of a collector that knows one incident; its id."""
    registry = opened_registry(tmp_path)
    book = IncidentBook(registry)
    [begun] = book.begin([incident(0, state="open", started_at=datetime.now(UTC))])
    steps = change("opened", begun), change("escalated", begun)
    book.write([Turned(begun, Turn(msgspec.structs.replace(begun, told_at=AT), steps))])
    book.note(begun.id, "among ourselves", "wang", datetime.now(UTC))
    registry.close()
    file = tmp_path / "collector.yaml"
    file.write_text(f"data_directory: {tmp_path}\n")
    return file, begun.id


def test_the_command_prints_it_and_writes_a_pdf(config: tuple[Path, int], tmp_path: Path) -> None:
    file, number = config
    run = CliRunner(env={"LANG": "zh_CN.UTF-8", "LANGUAGE": "", "LC_ALL": ""})
    printed = run.invoke(main, ["fault-report", str(number), "--config", str(file)])
    assert printed.exit_code == 0
    assert "合同编号: CT-2026-0815" in printed.output
    assert "（UTC+08:00）" in printed.output
    assert printed.output.count("证据: ") == 1, "confirmed; who took it or noted what is among ourselves"
    target = tmp_path / "report.pdf"
    done = run.invoke(main, ["fault-report", str(number), "--pdf", str(target), "--config", str(file)])
    assert (done.exit_code, done.output) == (0, "")
    assert "CT-2026-0815" in text_of(target.read_bytes())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["999"], "incident 999: is not known"),
        (["1", "--pdf", "/nowhere/x.pdf"], "cannot be written: No such"),
    ],
)
def test_what_cannot_be_reported_is_one_line(
    arguments: list[str], why: str, config: tuple[Path, int]
) -> None:
    done = CliRunner().invoke(main, ["fault-report", *arguments, "--config", str(config[0])])
    assert done.exit_code == 2
    assert why in done.output
    assert done.output.count("\n") == 1
