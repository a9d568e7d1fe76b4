"""A package of the agent, built as the handbook says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.versions import Versions
from collector.packages.keys import make_key
from config.packages import ANY_MACHINE, manifest_of, python_minor, read_head, verified
from deploy.environment import PROGRAMS, locked_versions
from deploy.package import build


def test_the_agents_package_holds_our_modules_and_runs(tmp_path: Path) -> None:
    key = make_key(tmp_path / "packages.key", tmp_path / "packages.pub")
    words = ["--key", str(tmp_path / "packages.key"), "--version", "9.0.0", "--python", sys.executable]
    built = []
    for name in ("first", "again"):
        assert build.main([*words, "--out", str(tmp_path / name)]) == 0
        built.append(tmp_path / name / f"agent_9.0.0_any_python{python_minor()}.package")
    assert built[0].read_bytes() == built[1].read_bytes()
    with built[0].open("rb") as stream:
        manifest = verified(read_head(stream), (key,))
        assert (manifest.machine, manifest.libraries) == (ANY_MACHINE, locked_versions(PROGRAMS["agent"]))
        assert not any(name.startswith("collector/") for name in manifest.files)
        modules = [name for name in manifest.files if name.endswith(".py")]
        assert len(modules) == len([name for name in manifest.files if name.endswith(".pyc")])
        stream.seek(0)
        versions = Versions(tmp_path, (key,))
        versions.add(stream, "9.0.0", max_bytes=2**25, spare_bytes=0)
    start = f"import sys; sys.path.insert(0, {str(versions.checked('9.0.0'))!r})"
    command = [sys.executable, "-I", "-c", f"{start}; from agent.main import main; main()", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.strip().endswith("9.0.0")
    assert versions.checked("9.0.0")  # nothing was compiled into it


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--version", "../1"], "--version ../1: allowed is"),
        (["--key", "/nowhere"], "--key /nowhere: No such"),
    ],
)
def test_what_cannot_be_built_is_one_line(
    tmp_path: Path, words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text("none")
    with pytest.raises(SystemExit) as stopped:
        build.main(["--key", str(tmp_path / "key"), *words])
    assert why in f"{stopped.value}{capsys.readouterr().err}"
    with pytest.raises(SystemExit, match="holds no Ed25519 key"):
        build.main(["--key", str(tmp_path / "key")])


def test_what_could_not_be_read_is_not_sealed_and_what_a_desktop_left_is_not_in_it(tmp_path: Path) -> None:
    make_key(tmp_path / "packages.key", tmp_path / "packages.pub")
    key, tree = build.signing_key(tmp_path / "packages.key"), tmp_path / "tree"
    tree.mkdir()
    facts = {"version": "1.0", "machine": "any", "python": "3.11"}
    for name in ("a.py", ".DS_Store"):
        (tree / name).write_text("")
    with build.sealed(tree, tmp_path, key, libraries={}, **facts).open("rb") as stream:
        assert list(manifest_of(read_head(stream).manifest).files) == ["a.py"]
    (tree / "b c.py").write_text("")
    with pytest.raises(SystemExit, match=r"its manifest names 'b c\.py'"):
        build.sealed(tree, tmp_path, key, libraries={}, **facts)
    (tree / "b c.py").unlink()
    (tree / "link.py").symlink_to("a.py")
    with pytest.raises(SystemExit, match="only plain files can be packed"):
        build.sealed(tree, tmp_path, key, libraries={}, **facts)
