"""Access tokens of Microsoft Entra by client credentials (RFC 6749 section 4.4), kept until shortly before they expire.

Microsoft Learn: "Microsoft identity platform and the OAuth 2.0 client credentials flow".
"""

import json
import re
import time
from threading import Lock
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from lumi_pipeline.siem.answers import Rules
from lumi_pipeline.siem.destination import Outcome, Result
from lumi_pipeline.siem.options import Secret
from lumi_pipeline.siem.transport import Answer, NotAllowed, NotSent, Transport, Unanswered

_EARLY: Final = 300.0
"""Seconds before its end that a token is replaced, or half of its time where that is less."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
_ERROR: Final = re.compile(r"[a-z_]{1,40}")
_NUMBER: Final = re.compile(r"\bAADSTS[0-9]{1,10}\b")
_RULES: Final = Rules(
    delivered=frozenset({200}),
    # A request for a token changes nothing, so one without a known end is only a failed one.
    retry=frozenset({408, 425, 429, 502, 504}),
    ambiguous=frozenset(),
)


class NoToken(Exception):
    """There is no token; ``outcome`` says what that means for what was to be sent: none of it was."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class EntraToken:
    """The token of one application. Threads may share it: one asks for a new one, the others wait for it."""

    def __init__(
        self, transport: Transport, *, login: str, directory: str, client_id: str, key: Secret, scope: str
    ) -> None:
        self._transport = transport
        self._url = f"{login.rstrip('/')}/{quote(directory, safe='')}/oauth2/v2.0/token"
        self._client_id = client_id
        self._key = key
        self._scope = scope
        self._lock = Lock()
        self._token = ""
        self._renew_at = 0.0

    def get(self, refused: str | None = None) -> str:
        """Return a valid token, and another one than ``refused``.

        Raises NoToken, or :class:`~lumi_pipeline.siem.options.SecretUnavailable`.
        """
        with self._lock:
            if not self._token or self._token == refused or time.monotonic() >= self._renew_at:
                self._token = ""
                asked = time.monotonic()
                self._token, seconds = self._ask()
                self._renew_at = asked + seconds - min(_EARLY, seconds / 2)
            return self._token

    def _ask(self) -> tuple[str, float]:
        form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": self._client_id,
                "client_secret": self._key.read(),
                "scope": self._scope,
            }
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            answer = self._transport.post(self._url, form.encode("ascii"), headers)
        except NotAllowed as error:
            raise NoToken(Outcome(Result.BLOCKED, f"no token: {error}")) from None
        except (NotSent, Unanswered) as error:
            raise NoToken(Outcome(Result.RETRY, f"no token: {error}")) from None
        return self._read(answer)

    def _read(self, answer: Answer) -> tuple[str, float]:
        host = urlsplit(self._url).hostname
        outcome = _RULES.judge(answer)
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            content = None
        content = content if isinstance(content, dict) else {}
        if outcome.result is not Result.DELIVERED:
            detail = " ".join([f"no token: {host} {outcome.detail}", *_words(content)])
            raise NoToken(Outcome(outcome.result, detail, status=outcome.status, retry_after=outcome.retry_after))
        token, seconds = content.get("access_token"), content.get("expires_in")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise NoToken(Outcome(Result.RETRY, f"no token: {host} answered 200 without one", status=200))
        # Without a time it is used once.
        return token, float(seconds) if isinstance(seconds, int) and 0 < seconds < 1 << 31 else 0.0


def _words(content: dict[str, object]) -> list[str]:
    """What an error answer says, without what it quotes: the error's name and Microsoft's number for it."""
    name, description = str(content.get("error")), str(content.get("error_description"))
    return [*([name] if _ERROR.fullmatch(name) else []), *_NUMBER.findall(description)[:1]]
