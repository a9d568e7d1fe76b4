#!/usr/bin/env python3
"""A small receiver of xiaotong's webhook, to start from: it checks the signature and hands the text on.

Run: sms_gateway.py PORT SECRET_FILE COMMAND [ARGUMENT ...]. Each message starts COMMAND once, with the text
on its standard input: a program of yours that sends an SMS or places a call. It answers 204 when the command
ended well, and 502 otherwise, so that xiaotong tries again. Needs Python 3.11 and nothing else.
"""

import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OLDEST_SECONDS = 300
MOST_BYTES = 256 * 1024
KEYS_KEPT = 1000


def is_genuine(secret: bytes, timestamp: str, signature: str, body: bytes, now: float) -> bool:
    """True for a body that somebody who knows the secret signed within the last five minutes."""
    if not timestamp.isdigit() or abs(now - int(timestamp)) > OLDEST_SECONDS:
        return False
    expected = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={expected}", signature)


def make_handler(secret: bytes, command: list[str]) -> type[BaseHTTPRequestHandler]:
    """What answers requests: each key is handed on once, however often it comes."""
    handed_on: OrderedDict[str, None] = OrderedDict()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            if not 0 < length <= MOST_BYTES:
                return self.answer(413)
            body = self.rfile.read(length)
            timestamp = self.headers.get("X-Xiaotong-Timestamp", "")
            signature = self.headers.get("X-Xiaotong-Signature", "")
            if not is_genuine(secret, timestamp, signature, body, time.time()):
                return self.answer(401)
            message = json.loads(body)
            if message["key"] in handed_on:
                return self.answer(204)
            text = f"{message['title']}\n{message['text']}"
            done = subprocess.run(command, input=text.encode(), timeout=60, check=False)
            if done.returncode == 0:
                handed_on[message["key"]] = None
                while len(handed_on) > KEYS_KEPT:
                    handed_on.popitem(last=False)
            return self.answer(204 if done.returncode == 0 else 502)

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


def main() -> None:
    """Serve on loopback until stopped."""
    port, secret_file, *command = sys.argv[1:]
    secret = Path(secret_file).read_text(encoding="ascii").strip().encode()
    ThreadingHTTPServer(("127.0.0.1", int(port)), make_handler(secret, command)).serve_forever()


if __name__ == "__main__":
    main()
