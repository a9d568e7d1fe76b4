"""A site that serves a folder, and takes as many callers at once as real ones do: the standard library's own
server lets five wait, and the kernel drops the SYN of the next. Run as a program of its own:

    web.py ADDRESS PORT FOLDER

The address «::» takes IPv4 as well.
"""

from __future__ import annotations

import functools
import socket
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Site(ThreadingHTTPServer):
    """By either family, as its address is written; as many may wait as with nginx."""

    request_queue_size = 511

    def __init__(self, address: str, port: int, folder: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), functools.partial(SimpleHTTPRequestHandler, directory=folder))


def main(argv: list[str]) -> None:
    """Serve until ended."""
    _, address, port, folder = argv
    Site(address, int(port), folder).serve_forever()


if __name__ == "__main__":
    main(sys.argv)
