"""What the bundle says of glibc is what its files say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.bundle import elf
from deploy.bundle.elf import needs_of, needs_of_folder


def test_the_running_c_library_allows_this_kernel() -> None:
    """Its note is what file(1) prints as «for GNU/Linux x.y.z»."""
    said = subprocess.run(["ldd", sys.executable], capture_output=True, text=True, check=True).stdout
    library = next(line.split()[2] for line in said.splitlines() if line.strip().startswith("libc.so"))
    kernel = needs_of(Path(library).read_bytes()).kernel
    assert (2, 6) <= kernel < (6,)


@pytest.mark.needs("objdump")
def test_version_needs_agree_with_objdump() -> None:
    data = Path(sys.executable).resolve()
    said = subprocess.run(["objdump", "-p", str(data)], capture_output=True, text=True, check=True).stdout
    needs = said.split("Version References:")[1].split("\n\n")[0]
    found = {
        tuple(map(int, word.removeprefix("GLIBC_").split(".")))
        for word in needs.split()
        if word.startswith("GLIBC_2")
    }
    assert needs_of(data.read_bytes()).glibc == max(found)


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01", b"\x7fELF\x02\x02"])
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no 64-bit"):
        needs_of(data)


def test_a_folder_says_the_newest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("/bin/sh", tmp_path / "sh")
    (tmp_path / "text").write_text("no program")
    every = needs_of_folder(tmp_path)
    assert list(every) == [tmp_path / "sh"]
    assert elf.main([str(tmp_path)]) == 0
    newest = ".".join(map(str, every[tmp_path / "sh"].glibc))
    assert capsys.readouterr().out.startswith(f"glibc {newest}: ")
