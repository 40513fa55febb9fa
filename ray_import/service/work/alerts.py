"""Messages to ALERT_WEBHOOK about jobs that have ended: numbers, and nobody's name."""

from dataclasses import dataclass, field
from typing import Literal

from ray_import.destinations.service_jobs import JobEnd, QueueStats
from ray_import.pipeline.alerts import post

Notify = Literal["failures", "always"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedJob:
    """A job that has ended, in numbers. `error_type` is the class of its error."""

    job_id: str
    end: JobEnd
    attempts: int
    seconds: float
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class Alerts:
    """Posts to `url`, if it is not empty. With `failures`, posts only jobs that have failed for good."""

    url: str = field(repr=False)
    notify: Notify = "failures"

    def wants(self, end: JobEnd) -> bool:
        """Whether a job with this end is posted."""
        return bool(self.url) and (end == "failed" or self.notify == "always")

    def post(self, ended: EndedJob, stats: QueueStats | None) -> None:
        """Raises nothing, and returns within seconds."""
        post(self.url, message_of(ended, stats))


def message_of(ended: EndedJob, stats: QueueStats | None) -> dict[str, object]:
    """The JSON object; `text` is what Slack shows. `stats` are None where the queue could not be asked."""
    attempts = f"{ended.attempts} attempt{'' if ended.attempts == 1 else 's'}"
    text = f"ray-import: 1 job {ended.end} after {attempts} ({ended.seconds:.0f} s)."
    message: dict[str, object] = {
        "event": f"job_{ended.end}",
        "text": text,
        "job_id": ended.job_id,
        "attempts": ended.attempts,
        "seconds": round(ended.seconds, 3),
    }
    if ended.error_type:
        message["error"] = ended.error_type
    if stats is not None:
        failed = stats.ended.get("failed", 0)
        message["text"] = f"{text} Queued: {stats.queued}, running: {stats.running}, failed within a day: {failed}."
        message["queue"] = {
            "queued": stats.queued,
            "running": stats.running,
            "oldest_queued_seconds": round(stats.oldest_queued_seconds, 3),
            "workers": stats.workers,
            "ended": dict(stats.ended),
        }
    return message
