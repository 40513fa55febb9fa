"""What Ray really exports of a run, and whether the dashboard for Grafana asks for it."""

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ray_import.cluster.metrics import MOST_UNTOLD, PoolTotals, Total
from ray_import.destinations.service_jobs import QueueStats
from ray_import.records import BatchResult, Counts
from ray_import.service.web.health import as_metrics
from tests.cluster.ray_head import free_ports
from tests.support.cluster.reimports import Reimported, reimport
from tests.support.cluster.several_nodes import QUICKLY, several_nodes
from tests.support.user_exports import Users, query_in, write_users
from tests.unit.pipeline.webhook import webhook

DASHBOARD = Path(__file__).parents[2] / "monitoring" / "grafana.json"
WATCHING = Path(__file__).parents[2] / "docs" / "watching.md"
EXPORTED_WITHIN_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Scraped:
    """A run that has ended, what Prometheus would have got of it, and what a webhook was told."""

    users: Users
    database: Path
    run: Reimported
    text: str
    alerts: list[Any]

    @property
    def names(self) -> set[str]:
        """All names of metrics that have a value."""
        return set(re.findall(r"^(\w+)\{", self.text, re.MULTILINE))

    def values(self, name: str, label: str = "SessionName") -> dict[str, float]:
        """The values of a metric, added up by a label."""
        return values_in(self.text, name, label)

    def total(self, name: str) -> float:
        """The sum of a metric's values."""
        return sum(self.values(name).values())


def values_in(text: str, name: str, label: str = "SessionName") -> dict[str, float]:
    """The values of a metric in what Ray exports, added up by a label."""
    found: dict[str, float] = {}
    for labels, value in re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE):
        key = dict(re.findall(r'(\w+)="([^"]*)"', labels))[label]
        found[key] = found.get(key, 0.0) + float(value)
    return found


OF_RUNS = "ray_import_(?!service_)"
"""Beginning of the metrics that a run exports. The web processes of the service export their own."""


def queries() -> list[str]:
    """What all panels ask for."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def asked(beginning: str = OF_RUNS) -> set[str]:
    """The metrics in all queries whose names begin so."""
    return {name for query in queries() for name in re.findall(rf"{beginning}\w+", query)}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """A run over five users, of whom one lacks its file and one has a damaged conversation."""
    folder = tmp_path_factory.mktemp("metrics")
    database = folder / "chunks.db"
    users = write_users(folder, [60.0] * 5, missing=1, damaged=1, seed=3)
    [port] = free_ports(1)
    soon = {"metrics_report_interval_ms": 500}
    with several_nodes(2, metrics_export_port=port, _system_config=QUICKLY | soon) as cluster, webhook() as hook:
        environment = dict(os.environ) | {"RAY_ADDRESS": cluster.address, "ALERT_WEBHOOK": hook.url, "NO_PROXY": "*"}
        run = reimport(users.manifest, f"sqlite:///{database}", environment=environment)
        yield Scraped(users, database, run, scrape(port), hook.messages())


def scrape(port: int, beginning: str = OF_RUNS) -> str:
    """What is exported once all that the dashboard asks for is there, or after a while."""
    until = time.monotonic() + EXPORTED_WITHIN_SECONDS
    while True:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=10).text
        if all(f"\n{name}{{" in text for name in asked(beginning)) or time.monotonic() > until:
            return text
        time.sleep(0.1)  # between two looks, not instead of one


def test_every_query_adds_up_over_drivers() -> None:
    """Each driver has series of its own, and those of one that has ended stay."""
    of_runs = [query for query in queries() if "ray_import_service_" not in query]
    assert [query for query in of_runs if not re.match(r"(histogram_quantile\([\d.]+, )?sum\b", query)] == []
    assert (len(asked()), len(asked("ray_profile_"))) == (10, 8)
    assert asked("ray_") == asked() | asked("ray_profile_") | asked("ray_import_service_")


def test_query_of_the_service_adds_nothing_up_when_several_web_processes_are_scraped() -> None:
    """Each of them exports the same: what the database says."""
    of_service = [query for query in queries() if "ray_import_service_" in query]
    assert [query for query in of_service if not query.startswith("max")] == []
    exported = as_metrics(QueueStats(queued=0, running=0, oldest_queued_seconds=0.0, workers=0))
    assert asked("ray_import_service_") == set(re.findall(r"^(\w+)[ {]", exported, re.MULTILINE))


def test_the_documentation_has_all_metrics_and_no_others() -> None:
    rows = re.findall(r"^\| `(ray_\w+)` \| (\w+) \|", WATCHING.read_text(), re.MULTILINE)
    told = {f"{name}{part}" for name, kind in rows for part in (["_bucket", "_count"] if kind == "histogram" else [""])}
    assert told == asked("ray_")


def test_a_pool_adds_up_what_batches_tell_and_holds_only_so_many_latencies() -> None:
    totals = PoolTotals()
    totals.add(BatchResult(Counts(), (), 1.0, 0.5, 0.125, 0.25, 3))
    totals.add(BatchResult(Counts(), (), 1.0, 0.25, 0.25, 0.0, 1))
    assert (totals.work_seconds, totals.sink_seconds, totals.sink_retries) == (1.25, 0.75, 4)
    assert (list(totals.look_ups), list(totals.writes)) == ([0.125, 0.25], [0.25])
    for _ in range(MOST_UNTOLD):
        totals.add(BatchResult(Counts(), (), 1.0, 0.5, 0.5, 0.0, 0))
    assert set(totals.look_ups) == {0.5}
    assert len(totals.look_ups) == MOST_UNTOLD


def test_counters_grow_by_what_is_new_begin_with_nothing_and_wait_for_what_is_taken_back() -> None:
    """Here no Ray is up that would export them."""
    told: list[tuple[str, float, object]] = []

    class Recorded(Total):
        def _record(self, value: float, tags: object = None) -> None:
            told.append((self.info["name"], value, tags))

    total = Recorded("import_retries", "", "what")
    for batches, calls in ((0, 0), (2, 0), (1, 3), (4, 3)):
        total.set_total({"batch": batches, "destination": calls})
    assert told == [
        ("import_retries", 0, {"what": "batch"}),
        ("import_retries", 0, {"what": "destination"}),
        ("import_retries", 2, {"what": "batch"}),
        ("import_retries", 3, {"what": "destination"}),
        ("import_retries", 2, {"what": "batch"}),
    ]


@pytest.mark.ray
def test_every_query_names_a_metric_that_is_exported_and_every_metric_is_shown(scraped: Scraped) -> None:
    assert scraped.run.code == 1, scraped.run.said
    assert sorted(asked() - scraped.names) == []
    ours = {name for name in scraped.names if name.startswith("ray_import_")}
    assert sorted(ours - asked()) == ["ray_import_destination_seconds_sum"]


@pytest.mark.ray
def test_the_metrics_say_what_the_report_and_the_database_say(scraped: Scraped) -> None:
    states = {state: count for state, count in scraped.values("ray_import_users", "state").items() if count}
    assert states | {"all": 5} == scraped.run.report["users"] == {"all": 5, "complete": 3, "failed": 1, "partial": 1}
    assert scraped.total("ray_import_read_bytes_total") == scraped.run.report["bytes_read"] > 200_000

    counts = [json.loads(row[0]) for row in query_in(scraped.database, "SELECT counts FROM import_jobs")]
    seen = sum(count["conversations"]["seen"] for count in counts)
    assert scraped.total("ray_import_conversations_total") == seen > 5
    [(chunks,)] = query_in(scraped.database, "SELECT count(*) FROM conversation_chunks")
    assert scraped.total("ray_import_chunks_written_total") == chunks > 5
    assert scraped.total("ray_import_rejects_total") == 1

    assert scraped.values("ray_import_retries_total", "what") == {"batch": 0, "destination": 0}
    answers = scraped.values("ray_import_destination_seconds_count", "call")
    assert answers == {"look_up": 4, "write": 4}  # a batch each of the users who have an export
    seconds = scraped.values("ray_import_stage_seconds_total", "stage")
    assert set(seconds) == {"read", "work", "sink"}
    assert min(seconds.values()) > 0


@pytest.mark.ray
def test_no_label_holds_a_user_or_a_source(scraped: Scraped) -> None:
    assert len(scraped.users.sources) == 5
    for user, source in scraped.users.sources.items():
        assert user not in scraped.text
        assert source not in scraped.text


@pytest.mark.ray
def test_the_webhook_is_told_how_the_run_ended_and_of_nobody(scraped: Scraped) -> None:
    [alert] = scraped.alerts
    seconds = alert.pop("seconds")
    states = {"complete": 3, "failed": 1, "partial": 1}
    run_id = scraped.run.report["run_id"]
    assert alert == {"event": "ended_with_failures", "run_id": run_id, "what": "manifest", "states": states}
    assert seconds == scraped.run.report["seconds"]
