"""A receiver of deliveries in a process of its own: it takes every POST, and tells afterwards how many lines came."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def receiving() -> Iterator[str]:
    """The URL of a receiver, which is gone with the block."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"  # type: ignore[union-attr]
        finally:
            process.kill()


def end_of_run(url: str) -> int:
    """Put aside what came since the last end; return its number."""
    return _ask(url, "end")


def lines_of(url: str, run: int) -> int:
    """How many lines came in a run: counting them is not part of it."""
    return _ask(url, str(run))


def _ask(url: str, what: str) -> int:
    connection = HTTPConnection(url.removeprefix("http://").removesuffix("/"))
    try:
        connection.request("GET", f"/{what}")
        return int(json.loads(connection.getresponse().read()))
    finally:
        connection.close()


def main() -> None:
    runs: list[list[bytes]] = [[]]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

        def do_POST(self) -> None:
            runs[-1].append(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(b"")

        def do_GET(self) -> None:
            if self.path == "/end":
                runs.append([])
                answer = len(runs) - 2
            else:
                answer = sum(gzip.decompress(body).count(b"\n") for body in runs[int(self.path[1:])])
            self.answer(json.dumps(answer).encode())

        def answer(self, body: bytes) -> None:
            self.send_response_only(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
