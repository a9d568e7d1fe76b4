"""The store of packages by its commands and over HTTP: only what is signed and whole, and bounded."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from collector.access.audit import entries
from collector.access.permissions import Role
from collector.main import main
from collector.packages.keys import make_key, trusted_keys
from collector.settings import CollectorSettings, load_settings
from config.packages import Head, signed_part
from config.settings import SettingsError
from deploy.package.build import signing_key
from tests.collector.access.visitor import BY, add_user
from tests.collector.running import Running, running, settings_in, wait_until


class Desk:
    """A collector's host before the first start."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.file = folder / "collector.yaml"
        self.file.write_text(f"data_directory: {folder / 'data'}\n{more}")
        self.key = folder / "stick" / "packages.key"

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--config", str(self.file)])

    def done(self, *words: str) -> Any:
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return msgspec.json.decode(result.stdout) if "--json" in words else result.stdout

    @property
    def settings(self) -> CollectorSettings:
        return load_settings(self.file)

    def package(self, version: str = "9.0", content: bytes = b"x", **said: object) -> Path:
        payload = gzip.compress(content, mtime=0)
        files = {"x": [len(content), hashlib.sha256(content).hexdigest()]}
        manifest = {
            "name": "agent", "version": version, "machine": "any", "python": "3.11",
            "payload_bytes": len(payload), "files": files,
            "libraries": {"click": "8"}, **said,
        }  # fmt: skip
        encoded = msgspec.json.encode(manifest)
        file = self.folder / f"{version}.package"
        signature = signing_key(self.key).sign(signed_part(encoded))
        file.write_bytes(Head(signature, encoded).encoded() + payload)
        return file


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.done("packages", "key", "--out", str(made.key))
    return made


def test_a_key_is_made_once_and_its_owners_alone(desk: Desk) -> None:
    assert desk.key.stat().st_mode & 0o777 == 0o600
    first = trusted_keys(desk.settings)
    assert len(first) == 1
    refused = desk.run("packages", "key", "--out", str(desk.key))
    assert refused.exit_code == 2
    assert "exists already" in refused.output
    assert trusted_keys(desk.settings) == first
    said = desk.done("packages", "key")
    assert len(trusted_keys(desk.settings)) == 2
    assert trusted_keys(desk.settings)[1] in said
    assert "PRIVATE" not in said
    assert (desk.folder / "data/packages.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["rsa:x", "ed25519:short", "\xff", "ed25519:" + "A" * 43 + "=\n" * 9])
def test_a_file_that_holds_no_keys_is_one_line(desk: Desk, content: str) -> None:
    (desk.folder / "data/packages.pub").write_text(content, encoding="latin-1")
    with pytest.raises(SettingsError) as caught:
        trusted_keys(desk.settings)
    assert str(caught.value).startswith(f"{desk.folder / 'data/packages.pub'}: ")
    assert desk.run("packages", "list").exit_code == 2


def test_packages_are_added_listed_and_removed(desk: Desk) -> None:
    added = desk.done("packages", "add", str(desk.package()), "--json")
    assert (added["file"], added["version"], added["whole"]) == (
        "agent_9.0_any_python3.11.package",
        "9.0",
        False,
    )
    desk.done("packages", "add", str(desk.package()))  # the same again
    desk.done("packages", "add", str(desk.package("9.1", machine="aarch64-musl", libraries={})))
    assert [each["version"] for each in desk.done("packages", "list", "--json")] == ["9.1", "9.0"]
    assert "with libraries" in desk.done("packages", "list")
    desk.done("packages", "remove", added["file"])
    assert [each["version"] for each in desk.done("packages", "list", "--json")] == ["9.1"]
    for name in ("../../collector.yaml", added["file"], ".lock", "*.package"):
        assert desk.run("packages", "remove", name).exit_code == 2
    assert sorted(each.name for each in (desk.folder / "data/packages").iterdir()) == [
        ".lock", "agent_9.1_aarch64-musl_python3.11_whole.package"
    ]  # fmt: skip


def test_what_is_changed_too_large_or_another_of_that_name_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "packages: {max_bytes: 2KiB}\n")
    refused = [(desk.package, "no key")] if desk.key.exists() else []
    assert not refused
    desk.done("packages", "key", "--out", str(desk.key))
    good = desk.package()
    content = good.read_bytes()

    def why(file: Path) -> str:
        result = desk.run("packages", "add", str(file))
        assert result.exit_code == 2
        assert result.output.count("\n") == 1
        return result.output

    other = tmp_path / "other.package"
    for changed, reason in (
        (content[:-5], "ends"), (content + b"x", "not as long"), (b"", "ends too early"),
        (b"#!/bin/sh\n" * 40, "is no package"),
        (content[:50] + bytes(8) + content[58:], "not by a key that is trusted"),
    ):  # fmt: skip
        other.write_bytes(changed)
        assert reason in why(other)
    assert "is larger than all packages together" in why(desk.package("9.2", os.urandom(4000)))
    desk.done("packages", "add", str(desk.package("9.1", os.urandom(1000))))
    assert "has no room: packages.max_bytes allows 2048 bytes" in why(desk.package("9.3", os.urandom(900)))
    desk.done("packages", "add", str(good))
    good.unlink()
    assert "is there already with other contents" in why(desk.package("9.0", b"y"))
    assert "No such file" in why(tmp_path / "nowhere")
    names = sorted(each.name for each in (tmp_path / "data/packages").iterdir())
    assert names == [".lock", "agent_9.0_any_python3.11.package", "agent_9.1_any_python3.11.package"]


def test_a_file_that_nobody_trusted_signed_is_not_in_the_store(desk: Desk) -> None:
    added = desk.done("packages", "add", str(desk.package()), "--json")
    stored = desk.folder / "data/packages" / added["file"]
    stored.with_name("agent_8.0_any_python3.11.package").write_bytes(stored.read_bytes())
    assert len(desk.done("packages", "list", "--json")) == 1
    (desk.folder / "data/packages.pub").unlink()
    assert desk.done("packages", "list", "--json") == []
    make_key(desk.folder / "another.key", desk.folder / "data/packages.pub")
    assert desk.done("packages", "list", "--json") == []


def test_an_upgrade_is_ordered_by_command(desk: Desk) -> None:
    schools = desk.folder / "schools.yaml"
    schools.write_text("schools: [{id: s1}, {id: s2}, {id: s3}]\n")
    desk.done("schools", "import", str(schools))
    for school in ("s1", "s2", "s3"):
        desk.done("agents", "add", school, "--token-file", str(desk.folder / school))

    def why(*words: str) -> str:
        result = desk.run("agents", "upgrade", *words)
        assert result.exit_code == 2, result.output
        assert result.output.count("\n") == 1
        return result.output

    assert "9.0: is not in the store; there: none" in why("9.0", "--all")
    desk.done("packages", "add", str(desk.package()))
    assert "no agent would go first" in why("9.0")
    assert "everybody at once, or some first" in why("9.0", "--all", "--schools", "s1")
    assert "school s9: has no agent" in why("9.0", "--schools", "s9")
    assert "allowed is 0% to 100%" in why("9.0", "--share", "200%")
    assert "--after soon" in why("9.0", "--share", "5%", "--after", "soon")
    assert "allowed: --after or --hold" in why("9.0", "--share", "5%", "--after", "1h", "--hold")
    assert "allowed: one of VERSION" in why()
    assert "allowed: one of VERSION" in why("9.0", "--stop")
    assert "no upgrade was ordered yet" in why("--back")
    tried = desk.done("agents", "upgrade", "9.0", "--schools", "s1", "--share", "1%", "--dry-run", "--json")
    assert (tried["state"], len(tried["first"]), tried["settle_seconds"]) == ("first", 2, 86400.0)
    assert "no upgrade was ordered yet" in desk.done("agents", "upgrade", "--status")
    ordered = desk.done("agents", "upgrade", "9.0", "--schools", "s1,s2", "--hold", "--now", "--json")
    assert (ordered["first"], ordered["settle_seconds"], ordered["urgent"]) == (["s1-1", "s2-1"], None, True)
    said = desk.done("agents", "upgrade", "--status")
    assert said.splitlines()[:2] == ["9.0 goes to those that are first", "later: 1, told: 2"]
    order, agents = desk.done("agents", "upgrade", "--status", "--json")
    assert order["order"]["id"] == ordered["id"]
    assert [each["state"] for each in agents] == ["told", "told", "later"]
    assert desk.done("agents", "upgrade", "--continue") == "9.0 goes to all\nfirst: s1-1, s2-1\n"
    assert desk.done("agents", "upgrade", "--stop").startswith("9.0 is stopped")
    assert desk.done("agents", "upgrade", "--back") == "9.0 is left by those that run it\n"


class Api:
    """A county admin's token, or another's."""

    def __init__(self, county: Running, desk: Desk) -> None:
        self.county, self.desk = county, desk
        self.tokens = {}
        for name, role in (("wang", Role.COUNTY_ADMIN), ("li", Role.SCHOOL_ADMIN)):
            add_user(county, name, role, *(["s1"] if role is Role.SCHOOL_ADMIN else []))
            user = county.rooms.access.users.named(name)
            _, self.tokens[name] = county.rooms.access.logins.add_token(user, "t", "full", 1, by=BY)

    def put(self, content: bytes, user: str = "wang") -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        return self.county.request("PUT", "/api/v1/packages", content, agent=None, headers=headers)

    def ask(self, method: str, path: str, content: Any = None, user: str = "wang") -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        body = b"" if content is None else msgspec.json.encode(content)
        return self.county.request(method, f"/api/v1{path}", body, agent=None, headers=headers)


@pytest.fixture(params=[4096])
def api(desk: Desk, request: pytest.FixtureRequest) -> Iterator[Api]:
    access = {"anonymous": "none", "passwords": {"memory_mebibytes": 8, "rounds": 1}}
    packages = {"downloads": 1, "download_deadline": 1.0, "max_bytes": request.param}
    with running(settings_in(desk.folder / "data", access=access, packages=packages)) as county:
        yield Api(county, desk)


LOGGED = [
    "packages.remove", *(f"agents.upgrade{what}" for what in (".back", ".stop", ".continue", "")),
    "packages.add",
]  # fmt: skip
FILE = "agent_9.0_any_python3.11.package"
NOT_HIS = [
    ("GET", "/packages"), ("GET", "/upgrade"), ("GET", "/upgrade/agents"), ("POST", "/upgrade"),
    ("POST", "/upgrade/stop"), ("DELETE", f"/packages/{FILE}"),
]  # fmt: skip
WRONG: list[Any] = [
    {"version": "8.0", "everybody": True}, {"version": "9.0"}, {"version": "9.0", "share": 2},
    {"version": "9.0", "schools": ["s9"]}, {"everybody": True}, [],
]  # fmt: skip


def test_an_upgrade_is_ordered_over_the_api(api: Api) -> None:
    content = api.desk.package().read_bytes()
    assert api.put(content, "li").status == 403
    assert api.put(content[:-1]).status == 400
    assert api.put(bytes(5000)).status == 413
    put = api.put(content)
    assert (put.status, put.json["file"]) == (201, FILE)
    assert [each["file"] for each in api.ask("GET", "/packages").json["packages"]] == [FILE]
    assert api.ask("GET", "/upgrade").json == {"order": None, "agents": {}}
    for wrong in WRONG:
        assert api.ask("POST", "/upgrade", wrong).status == 400
    wanted = {"version": "9.0", "schools": ["s1"], "by_hand": True}
    assert api.ask("POST", "/upgrade", wanted).json["first"] == ["a1"]
    assert api.ask("GET", "/upgrade").json["agents"] == {"later": 1, "told": 1}
    page = api.ask("GET", "/upgrade/agents?limit=1").json
    assert ([each["id"] for each in page["agents"]], page["next"]) == (["a1"], "a1")
    told = api.county.request("POST", "/api/v1/heartbeat", beat()).json["upgrade"]
    assert (told["version"], told["leave"], told["urgent"]) == ("9.0", False, False)
    assert "upgrade" not in api.county.request("POST", "/api/v1/heartbeat", beat(), agent="b1").json
    assert api.ask("POST", "/upgrade/continue").json["state"] == "rest"
    assert api.ask("POST", "/upgrade/continue").status == 400
    assert api.ask("POST", "/upgrade/stop").json["state"] == "stopped"
    assert api.ask("POST", "/upgrade/back", {"urgent": True}).json["state"] == "back"
    assert api.ask("DELETE", f"/packages/{FILE}").status == 204
    assert api.ask("DELETE", f"/packages/{FILE}").status == 400
    with api.county.rooms.registry.reading() as connection:
        log = [f"{each.who} {each.action}" for each in entries(connection)]
    assert log[:6] == [f"wang {action}" for action in LOGGED]
    for method, path in NOT_HIS:
        assert api.ask(method, path, {}, "li").status == 403


def beat() -> bytes:
    return msgspec.json.encode(
        {"boot_id": "b", "wall_ns": 1, "monotonic_ns": 1, "uptime_seconds": 1.0, "version": "1.2",
         "state": "running"}
    )  # fmt: skip


@pytest.mark.parametrize("api", [2**26], indirect=True)
def test_agents_fetch_one_at_a_time_and_a_slow_one_is_cut_off(api: Api) -> None:
    path = "/api/v1/agent/package?version=9.0&machine=x86_64-glibc&python=3.11"
    missing = api.county.request("GET", path)
    assert (missing.status, missing.json["reason"]) == (
        404, "the county's store has no package of 9.0 for x86_64-glibc, Python 3.11"
    )  # fmt: skip
    large = api.desk.package(content=os.urandom(24 * 2**20))
    with large.open("rb") as source:
        api.county.rooms.enrolment.packages.add(source)
    whole = api.county.request("GET", path)
    assert (whole.status, whole.body) == (200, large.read_bytes())
    for other in (path.replace("3.11", "3.12"), f"{path}&whole=1", path.replace("9.0", "../9.0")):
        assert api.county.request("GET", other).status == 404
    assert api.county.request("GET", path, agent=None).status == 401
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", api.county.port, timeout=20)) as slow:
        slow.request("GET", path, headers={"Authorization": f"Token {api.county.tokens['a1']}"})
        assert slow.getresponse().status == 200
        busy = api.county.request("GET", path, agent="b1")
        assert (busy.status, busy.headers["retry-after"]) == (503, "60")
        wait_until(lambda: api.county.request("GET", path, agent="b1").status == 200)
