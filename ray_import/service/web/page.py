"""The operator's page: the newest jobs, their states, progress and errors. It has no script, and refreshes itself."""

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from ray_import.destinations.service_jobs import QueueStats, ServiceJob, ServiceJobs
from ray_import.errors import ImporterError
from ray_import.service.web.routes import ServiceDependency

router = APIRouter()

REFRESH_SECONDS = 5
MOST_JOBS = 100
MOST_CELL_CHARACTERS = 200
MOST_COUNTS = 4
"""Numbers of a job's counts that are shown, per group."""

_RULES = (
    "body{font:15px system-ui,sans-serif;margin:2rem;color:#222}",
    "table{border-collapse:collapse;width:100%}",
    "th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}",
    ".failed{color:#a00}.running{color:#06c}.partial{color:#a60}",
)
_STYLE = "".join(_RULES)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_COLUMNS = ("Job", "User", "State", "Stage", "Source", "Attempts", "Progress", "Created", "Ended", "Error")


@router.get("/", include_in_schema=False)
async def page(service: ServiceDependency) -> HTMLResponse:
    """The page; 503, and it still refreshes itself, where the database is not available."""
    try:
        stats, jobs = await service.stores.call(_stats_and_jobs)
    except ImporterError:
        return HTMLResponse(_document("<p>The database is not available.</p>"), 503, HEADERS)
    return HTMLResponse(_document(f"{_summary(stats)}{_table(jobs)}"), headers=HEADERS)


def _stats_and_jobs(jobs: ServiceJobs) -> tuple[QueueStats, list[ServiceJob]]:
    return jobs.stats(), jobs.list_jobs(limit=MOST_JOBS)


def _document(body: str) -> str:
    head = (
        '<meta charset="utf-8">',
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">',
        '<meta name="viewport" content="width=device-width">',
        '<link rel="icon" href="data:,">',
        "<title>ray-import: jobs</title>",
        f"<style>{_STYLE}</style>",
    )
    return f'<!doctype html><html lang="en"><head>{"".join(head)}</head><body><h1>Jobs</h1>{body}</body></html>'


def _summary(stats: QueueStats) -> str:
    parts = [
        f"{stats.queued:,} queued",
        f"{stats.running:,} running",
        f"{stats.workers:,} workers",
        f"oldest queued for {stats.oldest_queued_seconds:,.0f} s",
        *(f"{count:,} {state} within a day" for state, count in sorted(stats.ended.items())),
    ]
    return f'<p id="queue">{escape(" · ".join(parts))}</p>'


def _table(jobs: list[ServiceJob]) -> str:
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    rows = "".join(_row(job) for job in jobs)
    return f'<table id="jobs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _row(job: ServiceJob) -> str:
    state = f"{job.state} (stopping)" if job.cancel_requested and job.finished_at is None else job.state
    error = f"{job.error_type or ''}: {job.error}" if job.error else job.error_type or ""
    cells = [
        job.id,
        job.user_id,
        state,
        job.stage,
        job.source_label,
        str(job.attempts),
        ", ".join(_progress(job.counts)),
        _minute(job.created_at),
        _minute(job.finished_at),
        error,
    ]
    return f'<tr class="{escape(job.state)}">{"".join(f"<td>{escape(_shortened(cell))}</td>" for cell in cells)}</tr>'


def _progress(counts: dict[str, Any]) -> Iterator[str]:
    """The first numbers of the counts: those of a group under its name."""
    for name, value in counts.items():
        if isinstance(value, dict):
            numbers = [f"{count:,} {what}" for what, count in value.items() if _is_number(count) and count]
            if numbers:
                yield f"{name}: {' '.join(numbers[:MOST_COUNTS])}"
        elif _is_number(value) and value:
            yield f"{name}: {value:,}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_CELL_CHARACTERS else f"{text[:MOST_CELL_CHARACTERS]}…"


def _minute(time: str | None) -> str:
    return (time or "")[:16].replace("T", " ")
