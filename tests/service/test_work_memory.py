"""A worker does not grow from job to job."""

from pathlib import Path

import psutil

from tests.service.test_work import hosts
from tests.service.workers import site
from tests.support.generate import write_export
from tests.support.object_server import object_server


def test_worker_is_at_most_a_tenth_larger_when_it_has_imported_a_hundred_exports(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    write_export(path, 0.3, seed=1)
    with object_server() as server, site(tmp_path, f"sqlite:///{tmp_path}/chunks.db", **hosts(server)) as place:
        url = server.put("export.json", path.read_bytes())
        worker = place.started()
        worker.wait_for("worker_started")
        process = psutil.Process(worker.process.pid)
        sizes = {}
        for number in range(1, 101):
            place.accept(f"user-{number}", url)
            worker.wait_for("job_ended", number)
            sizes[number] = process.memory_info().rss
        assert {event["state"] for event in worker.events("job_ended")} == {"complete"}
        assert sizes[100] <= 1.1 * sizes[5], sizes
        assert worker.stop() == 0
