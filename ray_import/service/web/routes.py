"""The routes that a back end calls: they add jobs to the queue, show them, and cancel them."""

import asyncio
import hashlib
import logging
import math
from dataclasses import dataclass, field
from typing import Annotated, cast
from uuid import uuid4

from fastapi import APIRouter, Depends, Header, Path, Query, Request

from ray_import.destinations.service_jobs import Accepted, NewJob, Refused, ServiceJobs
from ray_import.errors import ConfigError, RowsRefused
from ray_import.service.web.errors import (
    AWAY,
    BODY,
    FAILED,
    FORBIDDEN,
    INVALID,
    NOT_ACCEPTED,
    NOT_FOUND,
    UNAUTHORIZED,
    Refusal,
    invalid,
    refusal_of,
)
from ray_import.service.web.job_stores import JobStores
from ray_import.service.web.models import AcceptedAnswer, ImportRequest, JobAnswer, JobsAnswer, ProfileRequest, UserId
from ray_import.service.web.settings import ServiceSettings
from ray_import.service.web.sources import SourceForbidden, SourceInvalid

log = logging.getLogger(__name__)

MOST_KEY_CHARACTERS = 200
MOST_JOBS = 100


@dataclass(slots=True)
class LastLook:
    """When the service looked what it is missing, and what that was."""

    at: float = -math.inf
    missing: list[str] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes of one web process share."""

    settings: ServiceSettings
    stores: JobStores
    readiness: LastLook = field(default_factory=LastLook)


async def _service(request: Request) -> Service:  # a plain function would be called in a thread
    return cast("Service", request.app.state.service)


ServiceDependency = Annotated[Service, Depends(_service)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=MOST_KEY_CHARACTERS,
        pattern=r"^[!-~]+$",
        description="A request with a key that this user has sent before gets the same job.",
    ),
]
JobId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z-]+$")]
OwnUserId = Annotated[UserId, Query(description="The user whose job it is.")]

router = APIRouter()
_COMMON = {**UNAUTHORIZED, **INVALID, **FAILED, **AWAY}
_ACCEPTING = {**_COMMON, **NOT_ACCEPTED, **BODY}


@router.post("/process-full-v2", status_code=202, responses={**_ACCEPTING, **FORBIDDEN})
@router.post("/import-full", status_code=202, responses={**_ACCEPTING, **FORBIDDEN})
async def import_full(body: ImportRequest, service: ServiceDependency, key: Key = None) -> AcceptedAnswer:
    """Queues the import of an export, and the profile after it."""
    try:
        source = service.settings.sources.source_of(body.storage_path, body.user_id)
    except SourceInvalid as error:
        raise invalid([("storage_path", str(error).removeprefix("storage_path "))]) from None
    except SourceForbidden as error:
        raise Refusal(403, {"error": str(error)}) from None
    job = NewJob(
        id=str(uuid4()),
        user_id=body.user_id,
        stage="import",
        source=source.source,
        source_label=source.label,
        file_type=body.file_type or "",
        idempotency_key=key or "",
        request_hash=_hash("import", body.user_id, source.label, body.file_type or ""),  # a URL may be signed anew
    )
    return await _accept(service, job)


@router.post("/retry-full-pass", status_code=202, responses=_ACCEPTING)
async def retry_full_pass(body: ProfileRequest, service: ServiceDependency, key: Key = None) -> AcceptedAnswer:
    """Queues the profile of a user, from the conversations that are stored."""
    job = NewJob(
        id=str(uuid4()),
        user_id=body.user_id,
        stage="profile",
        source="",
        idempotency_key=key or "",
        request_hash=_hash("profile", body.user_id),
    )
    return await _accept(service, job)


@router.get("/jobs", responses=_COMMON)
async def list_jobs(
    user_id: OwnUserId, service: ServiceDependency, limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = 20
) -> JobsAnswer:
    """The newest jobs of a user."""
    found = await service.stores.call(lambda jobs: jobs.list_jobs(user_id, limit=limit))
    return JobsAnswer(jobs=[JobAnswer.of(job) for job in found])


@router.get("/jobs/{job_id}", responses={**_COMMON, **NOT_FOUND})
async def show_job(job_id: JobId, user_id: OwnUserId, service: ServiceDependency) -> JobAnswer:
    """One job of a user."""
    found = await service.stores.call(lambda jobs: jobs.job(job_id, user_id))
    if found is None:
        raise _no_job()
    return JobAnswer.of(found)


@router.delete("/jobs/{job_id}", responses={**_COMMON, **NOT_FOUND})
async def cancel_job(job_id: JobId, user_id: OwnUserId, service: ServiceDependency) -> JobAnswer:
    """Cancels a queued job, and asks the worker of a running one to stop. One that has ended stays as it is."""
    found = await service.stores.call(lambda jobs: jobs.cancel(job_id, user_id))
    if found is None:
        raise _no_job()
    log.info("job_cancel_requested job=%s state=%s", found.id, found.state)
    return JobAnswer.of(found)


async def _accept(service: Service, job: NewJob) -> AcceptedAnswer:
    per_hour = service.settings.jobs_per_hour
    answer = await service.stores.call(lambda jobs: _accepted(jobs, job, per_hour))
    if answer is None:
        raise invalid([("user_id", "is not accepted by the database")])
    if isinstance(answer, Refused):
        log.info("job_refused reason=%s", answer.reason)
        raise refusal_of(answer)
    log.info("job_accepted job=%s stage=%s is_new=%s", answer.job_id, job.stage, answer.is_new)
    return AcceptedAnswer(
        status="accepted",
        job_id=answer.job_id,
        user_id=job.user_id,
        message="The job is queued." if answer.is_new else "The job was accepted before.",
    )


def _accepted(jobs: ServiceJobs, job: NewJob, per_hour: int) -> Accepted | Refused | None:
    """None where the tables refuse the user, because their column holds uuids or refers to a table of users."""
    try:
        return jobs.accept(job, jobs_per_hour=per_hour)
    except (RowsRefused, ConfigError):
        return None


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _no_job() -> Refusal:
    return Refusal(404, {"error": "This user has no job with this id."})
