"""The bodies of requests and answers, as the OpenAPI document shows them."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ray_import.destinations.service_jobs import JobStage, JobState, ServiceJob
from ray_import.pipeline.users import MOST_ID_CHARACTERS, what_is_wrong_with_id

MOST_PATH_CHARACTERS = 8192
MOST_COUNT = 2**53 - 1
"""The largest whole number that JSON carries exactly everywhere."""

FileType = Literal["json", "zip"]


def _valid_user_id(user_id: str) -> str:
    if wrong := what_is_wrong_with_id(user_id):
        raise ValueError(wrong)
    return user_id


UserId = Annotated[str, Field(min_length=1, max_length=MOST_ID_CHARACTERS), AfterValidator(_valid_user_id)]
Count = Annotated[int, Field(ge=0, le=MOST_COUNT)]


class ImportRequest(BaseModel):
    """The user and the export that is to be imported for them. Other fields are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    user_id: UserId
    storage_path: str = Field(
        min_length=1,
        max_length=MOST_PATH_CHARACTERS,
        description="`bucket/path`, `supabase://bucket/path`, or an https URL of an allowed host.",
    )
    file_type: FileType | None = None
    conversation_count: Count | None = Field(default=None, description="Ignored.")
    message_count: Count | None = Field(default=None, description="Ignored.")


class ProfileRequest(BaseModel):
    """The user whose profile is to be made anew. Other fields are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    user_id: UserId
    storage_path: str | None = Field(default=None, max_length=MOST_PATH_CHARACTERS, description="Ignored.")
    file_type: FileType | None = Field(default=None, description="Ignored.")


class AcceptedAnswer(BaseModel):
    """The job is queued."""

    status: Literal["accepted"]
    job_id: str
    user_id: str
    message: str


class JobAnswer(BaseModel):
    """One job. Times are ISO 8601 in UTC."""

    job_id: str
    user_id: str
    state: JobState
    stage: JobStage
    source: str = Field(description="Without tokens; '' for a profile alone.")
    file_type: str
    attempts: int
    cancel_requested: bool
    counts: dict[str, Any]
    error: str | None
    error_type: str | None
    created_at: str
    started_at: str | None
    updated_at: str
    finished_at: str | None

    @classmethod
    def of(cls, job: ServiceJob) -> Self:
        """The job without its source, which may be a signed URL."""
        return cls(
            job_id=job.id,
            user_id=job.user_id,
            state=job.state,
            stage=job.stage,
            source=job.source_label,
            file_type=job.file_type,
            attempts=job.attempts,
            cancel_requested=job.cancel_requested,
            counts=job.counts,
            error=job.error,
            error_type=job.error_type,
            created_at=job.created_at,
            started_at=job.started_at,
            updated_at=job.updated_at,
            finished_at=job.finished_at,
        )


class JobsAnswer(BaseModel):
    """The jobs of a user, newest first."""

    jobs: list[JobAnswer]


class Problem(BaseModel):
    """Why a request was refused."""

    error: str


class FieldProblem(BaseModel):
    """What is wrong with one field; its value is not repeated."""

    field: str
    problem: str


class InvalidRequest(Problem):
    """Why a request was not understood."""

    fields: list[FieldProblem]


class ActiveJob(Problem):
    """The job, or import, of this user that is queued or running."""

    status: Literal["processing"]
    job_id: str
    age_seconds: float
    elapsedMinutes: int  # noqa: N815 - as the front end reads it


class Health(BaseModel):
    """The web process answers."""

    status: Literal["ok"]
    service: Literal["ray-import"]


class Readiness(BaseModel):
    """Whether jobs are accepted and executed now; `missing` says what is not there."""

    status: Literal["ready", "not_ready"]
    missing: list[Literal["database", "migrations", "worker"]]
