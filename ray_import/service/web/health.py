"""What a platform and Prometheus ask: whether the process lives, whether jobs are executed, and how many wait."""

import time

from fastapi import APIRouter
from starlette.responses import JSONResponse, PlainTextResponse

from ray_import.destinations.postgres.sqlstates import is_not_migrated
from ray_import.destinations.service_jobs import QueueStats
from ray_import.errors import ImporterError, SinkBusy
from ray_import.service.web.errors import AWAY, FAILED, UNAUTHORIZED
from ray_import.service.web.models import Health, Readiness
from ray_import.service.web.routes import Service, ServiceDependency

router = APIRouter()

STATES_ENDED = ("complete", "partial", "failed", "cancelled")
READY_WITHIN_SECONDS = 1.0
"""`/ready` needs no secret, so it asks the database once in this time, however often it is called."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/health")
@router.head("/health", include_in_schema=False)
async def health() -> Health:
    """The process answers. It does not ask the database."""
    return Health(status="ok", service="ray-import")


@router.get(
    "/ready", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready."}, **FAILED}
)
@router.head("/ready", include_in_schema=False)
async def ready(service: ServiceDependency) -> JSONResponse:
    """Whether the database answers and has its tables, and a worker was seen within the last minute."""
    missing = await _missing(service)
    status = "not_ready" if missing else "ready"
    return JSONResponse({"status": status, "missing": missing}, 503 if missing else 200)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {METRICS_TYPE: {}}}, **UNAUTHORIZED, **AWAY, **FAILED},
)
async def metrics(service: ServiceDependency) -> PlainTextResponse:
    """The queue in numbers, in the text format of Prometheus."""
    stats = await service.stores.call(lambda jobs: jobs.stats())
    return PlainTextResponse(as_metrics(stats), media_type=METRICS_TYPE)


def as_metrics(stats: QueueStats) -> str:
    """The text format of Prometheus; no label is a user's."""
    gauges = [
        ("ray_import_service_jobs_queued", "Jobs that wait for a worker.", stats.queued),
        ("ray_import_service_jobs_running", "Jobs that a worker executes.", stats.running),
        ("ray_import_service_oldest_queued_seconds", "Age of the oldest job that waits.", stats.oldest_queued_seconds),
        ("ray_import_service_workers", "Workers seen within the last minute.", stats.workers),
    ]
    lines = [f"# HELP {name} {words}\n# TYPE {name} gauge\n{name} {value:.10g}" for name, words, value in gauges]
    name = "ray_import_service_jobs_ended"
    lines.append(f"# HELP {name} Jobs that ended within the last day, by state.\n# TYPE {name} gauge")
    lines += [f'{name}{{state="{state}"}} {stats.ended.get(state, 0)}' for state in STATES_ENDED]
    return "\n".join(lines) + "\n"


async def _missing(service: Service) -> list[str]:
    seen = service.readiness
    async with seen.lock:
        if time.monotonic() - seen.at > READY_WITHIN_SECONDS:
            seen.missing = await _looked_for(service)
            seen.at = time.monotonic()
        return seen.missing


async def _looked_for(service: Service) -> list[str]:
    try:
        stats = await service.stores.call(lambda jobs: jobs.stats())
    except SinkBusy:
        return ["database"]
    except ImporterError as error:
        return ["migrations" if is_not_migrated(error) else "database"]
    return [] if stats.workers else ["worker"]
