"""From an HTTP answer, or none, to an outcome: what the vendors' statuses have in common."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from lumi_pipeline.siem.destination import Assurance, Outcome, Result
from lumi_pipeline.siem.options import SecretUnavailable
from lumi_pipeline.siem.transport import Answer, NotAllowed, NotSent, Unanswered

_WORD: Final = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a destination's statuses mean; a status that nobody listed is RETRY above 499 and BLOCKED below.

    ``request_id`` is the header with what the vendor's support asks for.
    """

    delivered: frozenset[int]
    retry: frozenset[int] = frozenset({425, 429})
    ambiguous: frozenset[int] = frozenset({408, 502, 504})
    too_large: frozenset[int] = frozenset({413})
    refused: frozenset[int] = frozenset()
    blocked: frozenset[int] = frozenset({401, 403, 404, 405, 501})
    assurance: Assurance = Assurance.RECEIVED
    request_id: str = "x-request-id"

    def judge(self, answer: Answer) -> Outcome:
        """Say what an answer means; its body is not looked at."""
        status = answer.status
        outcome = Outcome(
            Result.RETRY if status > 499 else Result.BLOCKED,
            f"answered {status}",
            status=status,
            request_id=_word(answer.headers, self.request_id),
            retry_after=answer.retry_after(datetime.now(UTC)),
        )
        if status in self.delivered:
            return replace(outcome, result=Result.DELIVERED, assurance=self.assurance)
        if 300 <= status < 400:
            return replace(outcome, detail=f"answered {status}: it redirects, which is not followed; correct the URL")
        for result, statuses in (
            (Result.RETRY, self.retry),
            (Result.AMBIGUOUS, self.ambiguous),
            (Result.TOO_LARGE, self.too_large),
            (Result.REFUSED, self.refused),
            (Result.BLOCKED, self.blocked),
        ):
            if status in statuses:
                return replace(outcome, result=result)
        return outcome


def attempt(send: Callable[[], Outcome]) -> Outcome:
    """Run what sends a request and judges the answer; what keeps it from an answer is an outcome too."""
    try:
        return send()
    except NotAllowed as error:
        return Outcome(Result.BLOCKED, str(error))
    except NotSent as error:
        return Outcome(Result.RETRY, str(error))
    except Unanswered as error:
        return Outcome(Result.AMBIGUOUS, str(error))
    except SecretUnavailable as error:
        return Outcome(Result.BLOCKED, str(error))


def _word(headers: Mapping[str, str], name: str) -> str | None:
    found = _WORD.fullmatch(headers.get(name, ""))
    return found[0] if found else None
