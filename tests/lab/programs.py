"""Waiting for programs of the lab: never without a deadline, never past their death."""

from __future__ import annotations

import subprocess
import time

from tests.lab.netns import LabError, Namespace

PORT_WAIT_SECONDS = 30.0


def wait_for_port(
    where: Namespace, host: str, port: int, program: subprocess.Popen[bytes],
    seconds: float = PORT_WAIT_SECONDS,
) -> None:  # fmt: skip
    """Wait until the program listens. Raises LabError when it ended or does not in time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            where.connect(host, port, 1.0).close()
        except OSError:
            if program.poll() is not None:
                raise LabError(f"the program at {host}:{port} ended with {program.returncode}") from None
            if time.monotonic() > deadline:
                raise LabError(f"nothing listens at {host}:{port} after {seconds:g} s") from None
            time.sleep(0.1)
        else:
            return
