"""ray_import itself."""

from benchmarks.import_child import ImportRun
from benchmarks.peers.job import Job, Phases, take_part
from ray_import.cluster.session import ray_session
from ray_import.destinations.registry import parse_destination


def import_export(job: Job) -> Phases:
    """As `ray-import run` does it."""
    with ray_session(job.workers) as session:
        yield
        run = ImportRun(session, [job.export], parse_destination(f"sqlite:///{job.database}"), job.workers)
        run.run()
        yield
        run.close()


if __name__ == "__main__":
    take_part(import_export)
