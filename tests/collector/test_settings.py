"""The collector's settings: the example is the defaults, and what cannot be is told in one line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from collector.enrolment.settings import TlsSettings
from collector.settings import CollectorSettings, Listen, VerdictSettings, load_settings
from config.settings import SettingsError

EXAMPLE = Path(__file__).parents[2] / "config" / "examples" / "collector.yaml"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{}", "data_directory: is missing"),
        ("data_directory: ''", "data_directory: is empty"),
        ("data_directory: x\nlisten: {port: 70000}", "listen.port"),
        ("data_directory: x\nlisten: {prt: 1}", "listen.prt: is unknown"),
        ("data_directory: x\nstore: {raw: 3d}", "store.raw: at least"),
        ("data_directory: x\nstore: {five_minutes: 1d}", "store.five_minutes: at least"),
        ("data_directory: x\nstore: {hourly: 30d}", "store.hourly: at least"),
        ("data_directory: x\nstore: {daily: 30d}", "store.daily: at least"),
        ("data_directory: x\nstore: {day_offset: 24h}", "store.day_offset: less than"),
        ("data_directory: x\nstore: {engine: oracle}", "store.engine"),
        ("data_directory: x\njournal: {max_bytes: 1MiB}", "journal.max_bytes: at least twice"),
        (
            "data_directory: x\ningest: {backlog_bytes: 1GiB}",
            "ingest.backlog_bytes: less than journal.max_bytes",
        ),
        ("data_directory: x\njournal: {segment_bytes: 1MiB}", "journal.segment_bytes: at least"),
        ("data_directory: x\nothers_bucket: raw", "others_bucket: another name"),
        (
            "data_directory: x\nresponder: {others: [{id: edu, host: e}, {id: county, host: c}]}",
            "responder.others: an id of its own for each",
        ),
        ("data_directory: x\nresponder: {others: [{id: a b}]}", "responder.others[0].id"),
        ("data_directory: x\nresponder: {others: [{id: edu, share: 2}]}", "responder.others[0].share"),
        ("data_directory: x\nresponder: {others: [{id: edu, at_once: 0}]}", "responder.others[0].at_once"),
        ("data_directory: x\ningest: {max_body_bytes: 5}", "ingest.max_body_bytes"),
        ("data_directory: x\ningest: {max_series_per_agent: 0}", "ingest.max_series_per_agent"),
        ("data_directory: x\ningest: {max_lines: 0}", "ingest.max_lines"),
        ("data_directory: x\npackages: {downloads: 0}", "packages.downloads"),
        ("data_directory: x\npackages: {max_bytes: 5}", "packages.max_bytes"),
        ("data_directory: x\npackages: {key: x}", "packages.key: is unknown"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path: Path, text: str, key: str) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    assert str(caught.value).startswith(f"{file}: key {key}")
    assert "\n" not in str(caught.value)


def test_the_example_is_the_defaults() -> None:
    example = msgspec.structs.replace(load_settings(EXAMPLE), responder=None)
    plans = VerdictSettings(plans=("shandan",))  # which ones are a county's own is the one thing to choose
    assert example == CollectorSettings(data_directory="var/collector", verdicts=plans)


@pytest.mark.parametrize(
    ("public_url", "tls", "address"),
    [
        ("", None, "http://127.0.0.1:8080"),
        ("", TlsSettings(certificate="c.pem", key="k.pem"), "https://127.0.0.1:8080"),
        ("https://net.example.cn/", None, "https://net.example.cn"),
    ],
)
def test_links_lead_where_the_collector_is_reached(
    public_url: str, tls: TlsSettings | None, address: str
) -> None:
    assert CollectorSettings("data", public_url=public_url, listen=Listen(tls=tls)).address == address
