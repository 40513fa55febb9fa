"""Messages to whoever looks after the imports, when a run stalls, dies, or ends with failures."""

import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from ray_import.errors import SinkError

ANSWER_WITHIN_SECONDS = 5.0
"""Of a webhook, name look-up and all. A run waits for it no longer, and that only where it has ended anyway."""

Event = Literal["ended_with_failures", "stalled", "died"]


def alert_of(
    event: Event,
    run_id: str | None,
    what: str,
    states: Mapping[str, int],
    seconds: float,
    more: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, object]:
    """What is told: numbers and the run, no user, no source, no error's text.

    `what` is the kind of list that the users come from; `run_id` is None where the run had not begun.
    """
    return {
        "event": event,
        "run_id": run_id,
        "what": what,
        "states": {state: count for state, count in sorted(states.items()) if count},
        "seconds": round(seconds, 3),
        **more,
    }


def error_of(error: BaseException) -> dict[str, object]:
    """An error as it may be told: its type and, where the destination told one, its code. Its text may hold names."""
    code = error.code if isinstance(error, SinkError) else ""
    return {"error": type(error).__name__, **({"code": code} if code else {})}


def post(url: str, message: Mapping[str, object], within_seconds: float = ANSWER_WITHIN_SECONDS) -> None:
    """Posts one JSON object to `url`, if there is one. What goes wrong with that is only told on standard error."""
    if not url:
        return
    outcome: list[str] = []
    # In a thread, since httpx bounds neither the look-up of a name nor an answer that comes byte by byte.
    thread = threading.Thread(target=lambda: outcome.append(_posted(url, message, within_seconds)), daemon=True)
    thread.start()
    thread.join(within_seconds)
    wrong = outcome[0] if outcome else f"no answer in {within_seconds:g} s"
    if wrong:
        sys.stderr.write(f"The alert could not be sent to ALERT_WEBHOOK ({wrong}).\n")


def _posted(url: str, message: Mapping[str, object], within_seconds: float) -> str:
    """What went wrong; empty where nothing did. Not an error's text: it holds the address, and that is a secret."""
    import httpx  # noqa: PLC0415 - nearly no command needs it

    try:
        httpx.post(url, json=message, timeout=within_seconds).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return type(error).__name__
    return ""
