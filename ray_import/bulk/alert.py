"""A message to whoever looks after the imports, when a run ends with failures."""

import sys

from ray_import.bulk.progress import RunReport

TIMEOUT_SECONDS = 10.0


def alert_of(report: RunReport) -> dict[str, object]:
    """What is told: numbers and the run, no user, no source, no error's text."""
    return {
        "run_id": report.run_id,
        "what": report.what,
        "states": dict(sorted(report.states.items())),
        "seconds": round(report.seconds, 3),
    }


def alert(report: RunReport, url: str) -> None:
    """Posts one JSON object to `url` where a user failed or lacks something. What goes wrong with that is only told:
    the run has ended as it has."""
    if not url or report.exit_code == 0:
        return
    import httpx  # noqa: PLC0415 - nearly no command needs it

    try:
        httpx.post(url, json=alert_of(report), timeout=TIMEOUT_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        # Not the error's text: it holds the address, and such an address is a secret.
        sys.stderr.write(f"ALERT_WEBHOOK could not be told ({type(error).__name__}).\n")
