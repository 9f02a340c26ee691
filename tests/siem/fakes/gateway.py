"""A gateway before a real server on this machine: it passes requests on as they are, and faults happen on the way."""

from http.client import HTTPConnection
from typing import Final

from tests.siem.fakes.http import FakeServer, Reply, Request

_OF_THE_CONNECTION: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "expect"})
_PATIENCE: Final = 60.0


class Gateway(FakeServer):
    """What is before the server at ``address`` (host:port)."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def handle(self, request: Request) -> Reply:
        connection = HTTPConnection(self._address, timeout=_PATIENCE)
        try:
            # The name that the request was signed for is the gateway's, and stays.
            headers = {name: value for name, value in request.headers.items() if name not in _OF_THE_CONNECTION}
            connection.request(request.method, request.path, request.body, headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        dropped = _OF_THE_CONNECTION if request.method == "HEAD" else _OF_THE_CONNECTION | {"content-length"}
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
        return Reply(answer.status, body, tuple(kept))
