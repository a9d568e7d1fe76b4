"""Settings of access that would leave a door open are refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.settings import load_settings
from config.settings import SettingsError


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("access: {audit: 179d}", "access.audit: at least 180d"),
        ("access: {anonymous: anyone}", "access.anonymous"),
        ("access: {proxies: [everywhere]}", "access.proxies: 'everywhere' is no address"),
        ("access: {session: 1h, session_idle: 2h}", "access.session: at least"),
        ("access: {passwords: {characters: 4}}", "access.passwords.characters"),
        ("access: {passwords: {command: /bin/sh}}", "access.passwords.command: is unknown"),
        ("access: {oidc: {issuer: 'http://login.example', client_id: x}}", "access.oidc.issuer: https://"),
        ("access: {oidc: {issuer: 'https://a@login.example', client_id: x}}", "access.oidc.issuer: https://"),
        ("access: {oidc: {issuer: 'file:///etc/passwd', client_id: x}}", "access.oidc.issuer: https://"),
        ("access: {oidc: {issuer: 'https://login.example', client_id: ''}}", "access.oidc.client_id"),
        (
            "region: {counties: [{id: a, url: 'http://county.example', token_file: t}]}",
            "region.counties: a: url",
        ),
        ("region: {counties: [{id: '../a', url: 'https://x', token_file: t}]}", "region.counties"),
        (
            "region:\n counties: [" + 2 * "{id: a, url: 'https://x', token_file: t}, " + "]",
            "region.counties: an id twice",
        ),
    ],
)
def test_a_door_left_open_is_refused(tmp_path: Path, text: str, key: str) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text(f"data_directory: x\n{text}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    assert f"key {key}" in str(caught.value)
    assert "\n" not in str(caught.value)
