"""When a call may be repeated, and after which pause. What is safe to repeat, the catalogue says of each endpoint."""

from __future__ import annotations

import email.utils
import random
import re
import time

from cipp_mcp.connection.wire import Answer, Request

MAX_TRIES = 4
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 20.0

_GATEWAY = (502, 503, 504)
# Azure's front end shows these while a function app starts or restarts.
_COLD_START = re.compile(
    rb"function host is not running|service unavailable|starting up|web app is stopped|your app service app is up",
    re.IGNORECASE,
)


def is_gateway_error(answer: Answer) -> bool:
    """Whether `answer` comes from a gateway before CIPP, or from a host that is still starting."""
    if answer.status in _GATEWAY:
        return not is_own_refusal(answer)
    return is_cold_start(answer)


def is_cold_start(answer: Answer) -> bool:
    """The web page of an Azure function that is not up yet, whatever its status."""
    if "html" not in answer.content_type.lower() or len(answer.content) > 65536:
        return False
    return bool(_COLD_START.search(answer.content))


def is_own_refusal(answer: Answer) -> bool:
    """CIPP's own 503, a text about a feature that is switched off: repeating cannot help."""
    return answer.status == 503 and b"has been disabled" in answer.content[:2000]


def may_repeat(request: Request, answer: Answer) -> bool:
    """Whether `answer` asks for another try: a refusal before anything ran, or an outage where repeating is safe."""
    return answer.status == 429 or (request.repeatable and is_gateway_error(answer))


def pause_after(tries: int, answer: Answer | None = None) -> float:
    """Seconds to wait after so many `tries`: what CIPP asks for, else exponential with full jitter."""
    if answer is not None:
        asked = retry_after(answer.headers.get("retry-after"), answer.headers.get("date"))
        if asked is not None:
            return asked
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (tries - 1)))


def retry_after(value: str | None, date: str | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110 §10.2.3: seconds or a date); None if it asks for none.

    A date counts from `date`, the answer's own Date header, where there is one: this machine's clock may be wrong.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    moment = _timestamp(text)
    if moment is None:
        return None
    now = _timestamp(date) if date else None
    return max(0.0, moment - (time.time() if now is None else now))


def _timestamp(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
