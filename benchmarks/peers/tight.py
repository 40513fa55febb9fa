"""One tight process: our own reader and workers' code, without Ray."""

from benchmarks.peers.job import Job, Phases, Rules, take_part
from ray_import.pipeline.sources import open_sources
from ray_import.settings import ReadLimits


def import_export(job: Job) -> Phases:
    """Reads a batch, works on it, reads on."""
    yield
    Rules(job).take(open_sources([job.export], ReadLimits()).conversations())
    yield


if __name__ == "__main__":
    take_part(import_export)
