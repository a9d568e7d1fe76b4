"""The JavaScript client of InfluxDB, unmodified, from its own registry."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.collector.running import running, settings_in

CLIENT = "@influxdata/influxdb-client@1.35.0"
CACHE = Path(__file__).parents[3] / ".cache/javascript"
PROGRAM = """
const {InfluxDB, Point} = require('@influxdata/influxdb-client')
const writer = new InfluxDB({url: process.env.URL, token: process.env.TOKEN}).getWriteApi(
  'xiaotong', 'raw', 'ns', {gzipThreshold: 10, maxRetries: 0})
for (let n = 0; n < 50; n++)
  writer.writePoint(new Point('ping').tag('target', 'a b,c=d').tag('family', 'ipv4')
    .intField('sent', n).floatField('rtt_min_seconds', 0.5)
    .timestamp((BigInt(process.env.NOW) + BigInt(n)).toString()))
writer.close().catch((error) => { console.error(error); process.exitCode = 1 })
"""


@pytest.mark.needs("node", "npm")
def test_the_unmodified_javascript_client_of_influxdb(tmp_path: Path) -> None:
    installed = CACHE / "node_modules/@influxdata/influxdb-client"
    if not installed.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [
            "npm",
            "install",
            "--no-save",
            "--ignore-scripts",
            "--no-audit",
            "--prefix",
            str(CACHE),
            CLIENT,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    now = time.time_ns() - 10**9
    with running(settings_in(tmp_path)) as collector:
        environment = {
            **os.environ, "URL": f"http://127.0.0.1:{collector.port}", "TOKEN": collector.tokens["a1"],
            "NOW": str(now), "NODE_PATH": str(CACHE / "node_modules"),
        }  # fmt: skip
        done = subprocess.run(
            ["node", "-e", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert collector.stored() == {now + n: {"sent": n, "rtt_min_seconds": 0.5} for n in range(50)}
