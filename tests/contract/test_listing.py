"""Listings of Storage, over the stand-in: every page of every folder, whatever passes, and what is told of the rest."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ray_import.errors import ConfigError, ImporterError, SourceRefused, SourceUnavailable
from ray_import.source.http import MAX_ANSWER_BYTES
from ray_import.source.patience import RetryPolicy
from ray_import.source.storage import (
    LEAST_PAGE_ENTRIES,
    PAGE_ENTRIES,
    REQUESTS_AT_A_TIME,
    StorageFolder,
    StoredFile,
    files_in,
    storage_folder,
)
from ray_import.source.version import version_of
from tests.support.gateway import faults
from tests.support.gateway.calls import Answer, Call, html_answer, json_answer
from tests.support.gateway.faults import Fault
from tests.support.gateway.server import Gateway, gateway

NOWHERE = "host=/nowhere"  # Storage asks no database
SOON = RetryPolicy(connect_seconds=5, read_seconds=5, attempts=3, longest_wait_seconds=0.01)
LIST = "/object/list/"
HTML = Fault("page", answer=html_answer(200, "Sign in to the network"))


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with gateway(NOWHERE) as made:
        yield made
        assert made.served.failures == []


@pytest.fixture
def project(running: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv("SUPABASE_URL", running.url)
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", running.secret_key)
    for found in running.objects.of("exports"):
        running.objects.remove("exports", found.key)
    running.objects.make_bucket("exports")
    running.faults.clear()
    running.served.clear()
    return running


def put(project: Gateway, *keys: str) -> None:
    for key in keys:
        project.objects.put("exports", key, key.encode())


def listed(address: str = "supabase://exports/users", patience: RetryPolicy = SOON) -> list[StoredFile]:
    return sorted(files_in(storage_folder(address), patience), key=lambda file: file.key)


def keys(address: str = "supabase://exports/users") -> list[str]:
    return [file.key for file in listed(address)]


def refused(address: str = "supabase://exports/users") -> ImporterError:
    """The error of a listing, which is told in two lines and without the key."""
    with pytest.raises(ImporterError) as caught:
        listed(address)
    assert len(str(caught.value).splitlines()) <= 2
    assert os.environ["SUPABASE_SERVICE_KEY"] not in str(caught.value)
    return caught.value


# --- what is listed ------------------------------------------------------------------------------


def test_files_are_found_however_deep_and_only_below_the_folder(project: Gateway) -> None:
    below = ["users/a/2025/05/x.zip", "users/a/x.zip", "users/b c/x&y=z.zip", "users/d.json"]
    put(project, "users.zip", "usersx/a.zip", "other/a.zip", *below)
    assert keys() == keys("supabase://exports/users/") == below
    assert keys("supabase://exports/users/a/2025") == ["users/a/2025/05/x.zip"]
    everything = [found.key for found in project.objects.of("exports")]
    assert keys("supabase://exports") == keys("supabase://exports/") == everything


def test_what_the_listing_tells_of_a_file_is_what_reading_it_would(project: Gateway) -> None:
    put(project, "users/ana/x.zip")
    [file] = listed()
    stored = project.objects.find("exports", "users/ana/x.zip")
    assert stored is not None
    assert (file.size_bytes, file.version) == (15, version_of("supabase://exports/users/ana/x.zip"))
    assert file.updated_at == pytest.approx(stored.modified, abs=0.001)


def test_all_pages_are_asked_for_of_folders_and_of_files(project: Gateway) -> None:
    put(project, *(f"users/{number:04}.zip" for number in range(PAGE_ENTRIES + 1)))
    put(project, *(f"users/many/{number:04}.zip" for number in range(2 * PAGE_ENTRIES)))
    assert keys() == [found.key for found in project.objects.of("exports")]
    # A page of less than 100 is the last one, and an even number of entries takes one more request to know.
    assert project.served.count(LIST) == 2 + 3


@pytest.mark.parametrize("most", [LEAST_PAGE_ENTRIES, 400])
def test_a_server_whose_pages_are_shorter_than_asked_for_loses_nothing(project: Gateway, most: int) -> None:
    put(project, *(f"users/{number:04}/x.zip" for number in range(450)))
    names = [{"name": f"{number:04}"} for number in range(450)]

    def decide(call: Call) -> Fault | None:
        question = json.loads(call.body)
        if question["prefix"] != "users":
            return None
        return Fault("short", answer=json_answer(200, names[question["offset"] :][:most]))

    project.faults.decide = decide
    assert len(keys()) == 450


def test_a_folder_without_a_name_is_told_and_not_looked_into(project: Gateway) -> None:
    put(project, "users//x.zip", "users/a/x.zip")
    assert keys() == ["users//", "users/a/x.zip"]


def test_times_and_sizes_that_are_not_told_are_not_known(project: Gateway) -> None:
    rows = [
        {"name": "a.zip", "id": "1", "created_at": "2026-05-01T00:00:00Z"},
        {"name": "b.zip", "id": "2", "updated_at": "soon", "metadata": {"size": "many", "eTag": '"b"'}},
        {"name": "c.zip", "id": "3", "metadata": {"size": 7, "eTag": 'W/"c"'}},
    ]
    project.faults.add(Fault("rows", answer=json_answer(200, rows)), path=LIST)
    assert listed() == [
        StoredFile("users/a.zip", 1777593600.0),
        StoredFile("users/b.zip"),
        StoredFile("users/c.zip", None, 7, '"c" 7'),
    ]


def test_so_many_requests_are_in_flight_and_no_more(project: Gateway) -> None:
    put(project, *(f"users/{number:03}/x.zip" for number in range(60)))
    lock, together = threading.Lock(), threading.Barrier(REQUESTS_AT_A_TIME)
    in_flight, most = 0, 0

    def meet() -> None:
        """The first of them wait for each other; the others only count."""
        nonlocal in_flight, most
        with lock:
            in_flight += 1
            most = max(most, in_flight)
        with suppress(threading.BrokenBarrierError):
            together.wait(5)
        together.abort()
        with lock:
            in_flight -= 1

    project.faults.decide = lambda call: None if b'"users"' in call.body else faults.doing(meet)
    assert len(keys()) == 60
    assert most == REQUESTS_AT_A_TIME


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        faults.rate_limited(0),
        faults.BAD_GATEWAY,
        faults.STORAGE_TIMEOUT,
        faults.STORAGE_LOCKED,
        faults.STORAGE_SLOW_DOWN,
        faults.RESET_BEFORE,
        faults.RESET_AFTER,
        faults.cut_after(7),
        HTML,
        Fault("object", answer=json_answer(200, {"message": "try again"})),
        Fault("nameless", answer=json_answer(200, [{"id": None}])),
    ],
    ids=lambda fault: fault.name,
)
def test_what_passes_is_asked_again_and_what_does_not_is_told(project: Gateway, fault: Fault) -> None:
    below = [f"users/{number}/x.zip" for number in range(5)]
    put(project, *below)
    project.faults.add(fault, path=LIST, nth=[1, 2, 4])
    assert keys() == below

    project.faults.clear()
    project.faults.add(fault, path=LIST)
    project.served.clear()
    error = refused()
    assert isinstance(error, SourceUnavailable)
    assert "supabase://exports/users cannot be read at the moment" in error.message
    assert error.exit_code == 3
    assert project.served.count(LIST) == SOON.attempts


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(302, b"", {"location": "http://127.0.0.1:9/elsewhere"}), "the server answers 302"),
        (json_answer(200, [{"name": "x" * MAX_ANSWER_BYTES}]), "is larger than 16,777,216 bytes"),
        (json_answer(400, {"statusCode": "404", "error": "Bucket not found"}), "There is no object supabase://exports"),
    ],
)
def test_what_does_not_pass_is_asked_for_once(project: Gateway, answer: Answer, told: str) -> None:
    project.faults.add(Fault("answer", answer=answer), path=LIST)
    error = refused()
    assert told in error.message
    assert (error.exit_code, project.served.count(LIST)) == (3, 1)


def test_where_one_folder_cannot_be_listed_the_others_are_not_waited_for(project: Gateway) -> None:
    put(project, *(f"users/{number:03}/x.zip" for number in range(60)))

    def decide(call: Call) -> Fault | None:
        if b'"users"' in call.body:
            return None
        return faults.BAD_GATEWAY if b"users/059" in call.body else faults.rate_limited(60)

    project.faults.decide = decide
    began = time.monotonic()
    with pytest.raises(SourceUnavailable):
        listed(patience=RetryPolicy(attempts=2, longest_wait_seconds=20.0))
    assert time.monotonic() - began < 15


def test_a_bucket_that_is_not_there_is_told(project: Gateway) -> None:
    error = refused("supabase://missing/users")
    assert isinstance(error, ConfigError)
    assert error.message == "There is no bucket missing in the project."


def test_a_folder_in_which_nothing_is_is_told(project: Gateway) -> None:
    put(project, "users/ana/x.zip")
    error = refused("supabase://exports/user")
    assert isinstance(error, ConfigError)
    assert error.message == "supabase://exports/user is empty or does not exist."


def test_a_key_that_may_not_look_is_told(project: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    put(project, "users/ana/x.zip")
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", project.anon_key)
    assert isinstance(refused(), SourceRefused | ConfigError)
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", "sb_secret_of_another_project")
    error = refused()
    assert "was denied (403)" in error.message
    assert "SUPABASE_SERVICE_KEY" in error.hint


@pytest.mark.parametrize("missing", ["SUPABASE_URL", "SUPABASE_SERVICE_KEY"])
def test_a_project_that_is_not_set_is_told(project: Gateway, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setenv(missing, "")
    with pytest.raises(ConfigError, match=f"{missing} is not set"):
        listed()


@pytest.mark.parametrize(
    "address",
    [
        "exports/users",
        "https://abc.supabase.co/exports",
        "supabase://",
        "supabase:///users",
        "supabase://exports//users",
        "supabase://exports/../other",
        "supabase://exports/a\nb",
    ],
)
def test_what_names_no_folder_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="does not name a folder in a bucket"):
        storage_folder(address)


@pytest.mark.parametrize("address", ["supabase://exports/users", "supabase://exports/users/"])
def test_a_folder_has_one_name(address: str) -> None:
    assert storage_folder(address) == StorageFolder("exports", "users")
    assert str(storage_folder(address)) == "supabase://exports/users"
    assert (
        str(storage_folder("supabase://exports")) == str(storage_folder("supabase://exports/")) == "supabase://exports"
    )
