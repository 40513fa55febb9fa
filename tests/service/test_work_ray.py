"""Jobs of the service on a real Ray: imports that join a cluster, and jobs that are submitted to one."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.ray_head import Head, ray_head
from tests.service.test_work import SMALL, at
from tests.service.workers import Site, site

if TYPE_CHECKING:
    from tests.support.gateway.server import Gateway

pytestmark = pytest.mark.ray


@pytest.fixture
def place(tmp_path: Path, supabase: "Gateway") -> Iterator[Site]:
    """A queue in a file, and exports in Storage."""
    supabase.objects.make_bucket("exports")
    supabase.objects.put("exports", "ada/export.json", SMALL)
    with site(tmp_path, f"sqlite:///{tmp_path}/chunks.db", **keys(supabase)) as made:
        yield made


def keys(supabase: "Gateway") -> dict[str, str]:
    return {"SUPABASE_URL": supabase.url, "SUPABASE_SERVICE_KEY": supabase.service_key, "NO_PROXY": "*"}


@pytest.fixture
def head(supabase: "Gateway", monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    """A cluster whose machines have the keys in their environment."""
    for name, value in keys(supabase).items():
        monkeypatch.setenv(name, value)
    with ray_head(token=True) as up:
        yield up


def of_ray(head: Head) -> dict[str, str]:
    return {name: value for name, value in head.environment.items() if name.startswith("RAY_")}


def test_job_is_imported_on_the_cluster_when_one_is_named(place: Site, head: Head) -> None:
    job_id = place.accept("ada", "supabase://exports/ada/export.json")
    worker = place.started("--once", **of_ray(head), RAY_ADDRESS=head.gcs)
    assert worker.ended()[0] == 0, worker.log
    job = place.job(job_id)
    assert (job.state, job.attempts, job.counts["conversations"]["imported"]) == ("complete", 1, 3)
    assert "joining Ray" in worker.log
    later = place.started(**of_ray(head), RAY_ADDRESS=head.gcs)
    second = place.accept("ada", "supabase://exports/ada/export.json")
    place.wait_for(second, "complete")
    assert later.stop() == 0  # Ray has set a handler of its own for SIGTERM meanwhile
    assert later.events("worker_ended")


def test_job_is_executed_by_a_ray_job_when_it_is_submitted(place: Site, head: Head) -> None:
    job_id = place.accept("ada", "supabase://exports/ada/export.json")
    submitter = place.started("--submit", "1", "--json", **of_ray(head), RAY_API_SERVER_ADDRESS=head.dashboard)
    job = place.wait_for(job_id, "complete", "failed", "partial")
    assert (job.state, job.attempts) == ("complete", 1), submitter.log
    submitter.wait_for("job_submitted")
    bad = place.accept("ben", "supabase://exports/ben/none.json")
    assert place.wait_for(bad, "failed").attempts == 1
    assert submitter.stop() == 0
    holders = [row[0] for row in at(place, "SELECT DISTINCT holder FROM service_jobs")]
    assert all(f"/{submitter.process.pid}/" not in (holder or "") for holder in holders)
