"""A city above two counties: real collectors on loopback, one of which goes away."""

from __future__ import annotations

from pathlib import Path

from collector.access.permissions import Role
from tests.collector.access.visitor import BY, Visitor, add_user
from tests.collector.running import Running, running, settings_in, wait_until

QUICK = {"memory_mebibytes": 8, "rounds": 1}


def token_of(county: Running, file: Path) -> str:
    user = county.rooms.access.users.add("city", Role.REGIONAL, by=BY)
    _, secret = county.rooms.access.logins.add_token(user, "the city", "read", 1, by=BY)
    file.write_text(f"{secret}\n")
    file.chmod(0o600)
    return secret


def test_a_city_reads_its_counties_and_says_which_it_cannot_reach(tmp_path: Path) -> None:
    access = {"anonymous": "none", "passwords": QUICK}
    plans = {"plans": ("shandan",)}
    with running(settings_in(tmp_path / "a", access=access, verdicts=plans, web={"refresh": 0.0})) as first:
        secret = token_of(first, tmp_path / "a.token")
        (tmp_path / "b.token").write_text("xtu_wrong\n")
        counties = [
            {"id": "a", "name": "甲县", "url": f"http://127.0.0.1:{first.port}",
             "token_file": str(tmp_path / "a.token")},
            {"id": "b", "name": "乙县", "url": f"http://127.0.0.1:{first.port}",
             "token_file": str(tmp_path / "b.token")},
        ]  # fmt: skip
        region = {"counties": counties, "every": 0.2, "timeout": 2.0}
        with running(settings_in(tmp_path / "city", access=access, region=region)) as city:
            add_user(city, "over", Role.REGIONAL)
            visitor = Visitor(city.port)
            visitor.log_in("over")

            def told() -> dict[str, dict]:  # type: ignore[type-arg]
                answer = visitor.ask("GET", "/api/v1/region", "", {"Accept": "application/json"})
                return {each["id"]: each for each in answer.json["counties"]}

            wait_until(lambda: told()["a"]["reached"])
            good = told()["a"]["figures"]
            assert good["schools"] == 2
            share = good["plans"][0]["targets"][0]
            assert share["met"] + share["not_met"] + share["unknown"] == share["schools"]
            wait_until(lambda: told()["b"]["error"] == "answers with status 401")
            assert told()["b"]["figures"] is None
            first.rooms.access.users.disable("city", by=BY)
            wait_until(lambda: not told()["a"]["reached"])
            gone = told()["a"]
            assert gone["figures"]["schools"] == 2, "what was known stays, and how old it is"
            assert gone["age_seconds"] >= 0
            page = visitor.get("/region?lang=en").body.decode()
            assert "Not reached" in page
            assert "Nothing is known of this county yet." in page
            assert secret not in page
