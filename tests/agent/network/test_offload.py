"""Flow offload: what the kernel says of flowtables, and what the modules in use say to the unprivileged.

The kernel of this machine may be built without flowtables, so the answer «there is one» is an octet string
made by linux/netfilter/nfnetlink.h; that there is none is asked of the kernel itself.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from agent.network.offload import ask_kernel, bypasses_counters, parse_dump


def answer(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("=IHHII", 16 + len(content), kind, 2, 1, 0) + content


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (answer(0x0A16, b"\x01\x00\x00\x00"), True),
        (answer(0x0003, b"\x00\x00\x00\x00"), False),
        (answer(0x0002, struct.pack("=i", -2)), False),  # ENOENT
        (answer(0x0002, struct.pack("=i", -1)), None),  # EPERM
        (answer(0x0002), None),
        (b"", None),
    ],
)
def test_the_kernels_answer(data: bytes, expected: bool | None) -> None:
    assert parse_dump(data) is expected


@pytest.mark.parametrize(
    ("told", "refcnt", "expected"),
    [(True, None, True), (False, "3", False), (None, "3", True), (None, "0", None), (None, None, None)],
)
def test_who_may_not_ask_looks_at_the_modules(
    tmp_path: Path, told: bool | None, refcnt: str | None, expected: bool | None
) -> None:
    if refcnt is not None:
        module = tmp_path / "module/nf_flow_table_inet"
        module.mkdir(parents=True)
        (module / "refcnt").write_text(f"{refcnt}\n", encoding="ascii")
    assert bypasses_counters(tmp_path, lambda: told) is expected


@pytest.mark.needs_root
def test_this_kernel_answers_and_has_none() -> None:
    assert ask_kernel() in (False, None)
