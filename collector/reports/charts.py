"""The charts of a PDF report. Nothing by colour alone: every piece has its number, unknown is hatched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib import colors
from reportlab.pdfbase.pdfmetrics import stringWidth

from collector.verdicts.totals import Total
from config.verdict import Answer

FILLS = {
    Answer.MET: colors.HexColor("#2e8b57"),
    Answer.NOT_MET: colors.HexColor("#c0392b"),
    Answer.UNKNOWN: colors.HexColor("#f0dfa0"),
}
INK = {Answer.MET: colors.white, Answer.NOT_MET: colors.white, Answer.UNKNOWN: colors.HexColor("#4a3b00")}
TEXT = colors.HexColor("#1b2330")
GREY = colors.HexColor("#566173")
ROW, BAR = 20.0, 12.0
NAMES = 0.40
MOST_BARS = 15
LEAST_WIDTH = 14.0
"""A piece narrower than this has its number in the legend's table only."""


def shares(
    totals: Sequence[Total], names: Sequence[str], labels: Mapping[Answer, str], width: float, font: str
) -> Drawing:
    """A bar for each target: how many schools meet it, do not, are unknown."""
    height = ROW * len(totals) + 34
    made = Drawing(width, height)
    _legend(made, labels, height - 10, font)
    left, room = width * NAMES, width * (1 - NAMES) - 2
    for number, (total, name) in enumerate(zip(totals, names, strict=True)):
        y = height - 26 - ROW * (number + 1) + 4
        made.add(_name(name, left - 6, y + 3, font))
        x = left
        for answer, count in (
            (Answer.MET, total.met), (Answer.NOT_MET, total.not_met), (Answer.UNKNOWN, total.unknown),
        ):  # fmt: skip
            wide = room * count / total.schools
            _piece(made, x, y, wide, answer, str(count), font)
            x += wide
    return made


def availability(schools: Sequence[tuple[str, float]], width: float, font: str) -> Drawing:
    """The least available schools, the worst first, on a scale that begins where the worst one is."""
    shown = schools[:MOST_BARS]
    height = (ROW - 5) * len(shown) + 22
    made = Drawing(width, height)
    left, room = width * NAMES, width * (1 - NAMES) - 58
    least = min(0.99, int(shown[0][1] * 20) / 20)
    for number, (name, share) in enumerate(shown):
        y = height - 16 - (ROW - 5) * (number + 1)
        made.add(_name(name, left - 6, y + 1, font))
        wide = room * max(0.0, share - least) / (1 - least)
        made.add(Rect(left, y, wide, 9, fillColor=colors.HexColor("#2f6fa8"), strokeColor=None))
        made.add(_string(left + wide + 4, y + 1, f"{100 * share:.3f} %", font, 7.5, TEXT))
    for mark in (least, (least + 1) / 2, 1.0):
        x = left + room * (mark - least) / (1 - least)
        made.add(Line(x, 0, x, height - 14, strokeColor=colors.HexColor("#c9d0da"), strokeWidth=0.5))
        made.add(_string(x - 8, height - 10, f"{100 * mark:g} %", font, 7, GREY))
    return made


def _piece(made: Drawing, x: float, y: float, wide: float, answer: Answer, text: str, font: str) -> None:  # noqa: PLR0917
    if wide <= 0:
        return
    made.add(Rect(x, y, wide, BAR, fillColor=FILLS[answer], strokeColor=colors.white, strokeWidth=0.5))
    if answer is Answer.UNKNOWN:
        step = 5
        for at in range(1, int(wide // step) + 1):
            end = x + at * step
            made.add(Line(max(x, end - 4), y, end, y + BAR, strokeColor=colors.HexColor("#b89b3c"),
                          strokeWidth=0.3))  # fmt: skip
    if wide >= LEAST_WIDTH:
        label = _string(x + wide / 2, y + 3, text, font, 8, INK[answer])
        label.textAnchor = "middle"
        if answer is Answer.UNKNOWN:
            made.add(Rect(x + wide / 2 - 6, y + 1, 12, BAR - 2, fillColor=FILLS[answer], strokeColor=None))
        made.add(label)


def _legend(made: Drawing, labels: Mapping[Answer, str], y: float, font: str) -> None:
    x = made.width * NAMES
    for answer, label in labels.items():
        _piece(made, x, y - 2, 10, answer, "", font)
        made.add(_string(x + 14, y, label, font, 8, TEXT))
        x += 26 + stringWidth(label, font, 8)


def _name(text: str, right: float, y: float, font: str) -> String:
    """Right-aligned and cut to fit."""
    while len(text) > 1 and stringWidth(text, font, 8) > right:
        text = f"{text[:-2]}…"
    made = _string(right, y, text, font, 8, TEXT)
    made.textAnchor = "end"
    return made


def _string(x: float, y: float, text: str, font: str, size: float, colour: colors.Color) -> String:  # noqa: PLR0917
    return String(x, y, text, fontName=font, fontSize=size, fillColor=colour)
