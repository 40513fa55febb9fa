"""One export is one export, wherever it lies: the same conversations, byte for byte, and the same problems."""

import gc
import gzip
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from ray_import.errors import ConfigError, NotAnExport, SourceError, SourceRefused, SourceSlow, SourceUnavailable
from ray_import.settings import AllowedHost, ReadLimits, SourcePace, SourceRules
from ray_import.source.open_export import open_export
from ray_import.source.patience import PATIENCE, RetryPolicy
from ray_import.source.version import version_of
from ray_import.source.waiting import Waiting
from tests.contract.remote_exports import EXPORTS, JSON, SHARDS, Read, read, talks, with_pictures
from tests.support.object_server import STORAGE, Fault, ObjectServer, object_server
from tests.unit.source.exports import written, zipped
from tests.unit.source.test_containers import METHOD, patched

Place = Callable[[str, bytes], str]


@pytest.fixture
def waits() -> list[float]:
    """The seconds that would have been waited between two attempts."""
    return []


@pytest.fixture
def patience(waits: list[float]) -> RetryPolicy:
    return RetryPolicy(connect_seconds=5, read_seconds=0.25, sleep=waits.append)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with object_server() as serving:
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{serving.port}/")
        monkeypatch.setenv("SUPABASE_SERVICE_KEY", serving.key)
        yield serving


@pytest.fixture(params=["ranges", "no ranges", "no size", "no total", "storage"])
def place(request: pytest.FixtureRequest, server: ObjectServer) -> Place:
    """Puts an export where it can be read from; its address."""

    def at_url(name: str, data: bytes) -> str:
        return server.put(f"exports/{name}".replace(" ", "%20"), data)

    def served(name: str, data: bytes) -> str:
        url = at_url(name, data)
        server.put(f"exports/{name}", data)
        return url

    def stored(name: str, data: bytes) -> str:
        server.put(f"{STORAGE[1:]}exports/of ada/{name}", data)
        return f"supabase://exports/of ada/{name}"

    server.ranges = request.param not in ("no ranges", "no size")
    server.total = request.param != "no total"
    server.every = Fault(without_length=True) if request.param == "no size" else None
    return stored if request.param == "storage" else served


# --- the same from everywhere --------------------------------------------------------------------


@cache
def read_here(name: str, folder: Path) -> Read:
    """What it is as a local file."""
    return read(written(folder / name, EXPORTS[name]), PATIENCE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_the_same_wherever_it_lies(name: str, place: Place, patience: RetryPolicy, folder: Path) -> None:
    here = read_here(name, folder)
    there = read(place(name, EXPORTS[name]), patience)
    assert there == here
    assert here.items


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("x.json", b"", "x.json is empty."),
        ("x.json", b"<html>sign in</html>", "x.json is a web page"),
        ("x.zip", zipped({"a.png": b"x"}), "x.zip holds no conversations"),
        ("x.zip", zipped({"conversations.json": JSON})[:60], "x.zip is damaged or cut off"),
        ("x.json", JSON.decode().encode("utf-16-le"), "x.json is UTF-16, which is not read"),
        ("x.json.gz", gzip.compress(JSON.decode().encode("utf-32")), "x.json.gz is UTF-32, which is not read"),
        ("x.zip", patched(zipped({"conversations.json": JSON}), "conversations.json", METHOD, "<H", 9), "by Deflate64"),
    ],
    ids=["empty", "page", "pictures", "cut off", "UTF-16", "UTF-32", "Deflate64"],
)
def test_what_is_no_export_is_told_as_of_a_file(
    name: str, data: bytes, told: str, place: Place, patience: RetryPolicy, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=told) as here:
        open_export(written(tmp_path / name, data))
    with pytest.raises(SourceError, match=told) as there:
        open_export(place(name, data), patience=patience)
    assert type(there.value) is type(here.value)


@pytest.mark.parametrize("real", [True, False], ids=["HTTP 416", "HTTP 400 with 416 in its body"])
def test_an_object_without_a_byte_is_empty_in_both_forms_of_416(
    server: ObjectServer, real: bool, patience: RetryPolicy
) -> None:
    server.real_416 = real
    with pytest.raises(NotAnExport, match=r"empty\.json is empty"):
        open_export(server.put("empty.json", b""), patience=patience)


# --- how much is fetched -------------------------------------------------------------------------


def test_of_an_export_with_pictures_only_the_conversations_are_fetched(
    server: ObjectServer, patience: RetryPolicy
) -> None:
    data = with_pictures(JSON)
    packed = len(zipped({"conversations.json": JSON}))
    assert len(data) > 20 * packed
    assert len(read(server.put("x.zip", data), patience).items) == 200
    assert packed < server.sent < 2 * packed + 3 * 128 * 1024
    assert len(server.asked) <= 6


def test_no_more_is_fetched_of_a_long_member_than_there_is(server: ObjectServer, patience: RetryPolicy) -> None:
    conversations = talks("c", 2500)
    packed = len(zipped({"conversations.json": conversations}))
    assert packed > 3_000_000
    assert len(read(server.put("x.zip", with_pictures(conversations)), patience).items) == 2500
    assert packed < server.sent < packed + 4 * 128 * 1024


def test_a_browsers_export_is_opened_without_fetching_its_pictures(server: ObjectServer, patience: RetryPolicy) -> None:
    data = EXPORTS["browser.zip"]
    assert len(data) > 5_000_000
    assert len(read(server.put("x.zip", data), patience).items) == 5
    assert server.sent < 500_000
    assert len(server.asked) <= 6


def test_a_zip_of_many_files_is_opened_in_few_requests(server: ObjectServer, patience: RetryPolicy) -> None:
    members = {f"files/{i:05}-{'x' * 100}.png": b"x" for i in range(5000)}
    archive = zipped({**members, "conversations.json": JSON})
    open_export(server.put("x.zip", archive), patience=patience)
    assert len(server.asked) <= 5


def test_a_long_file_is_read_in_few_requests_and_no_byte_twice(server: ObjectServer, patience: RetryPolicy) -> None:
    data = talks("c", 2500)
    assert len(data) > 6_000_000
    assert len(read(server.put("x.json", data), patience).items) == 2500
    assert server.sent == len(data)
    assert len(server.asked) <= 6


# --- connections that break ----------------------------------------------------------------------


@pytest.mark.parametrize("ends_early", [False, True], ids=["reset", "closed early"])
def test_a_connection_that_breaks_goes_on_at_the_byte_where_it_broke(
    server: ObjectServer, ends_early: bool, patience: RetryPolicy, waits: list[float]
) -> None:
    url = server.put("x.json", JSON)
    whole = read(url, patience)
    server.asked.clear()
    server.every = Fault(drop_after=10_000, ends_early=ends_early)
    assert read(url, patience) == whole
    ends = {last for _, last in server.spans}
    assert len(server.spans) >= len(JSON) // 10_000
    assert len(ends) <= 4
    assert waits == []
    if ends_early:  # what a reset overtakes comes again
        assert server.sent == len(JSON)
        assert len({first for first, _ in server.spans}) == len(server.spans)


def test_without_ranges_a_broken_download_begins_again(
    server: ObjectServer, patience: RetryPolicy, waits: list[float]
) -> None:
    server.ranges = False
    server.faults = {0: Fault(drop_after=70_000), 1: Fault(drop_after=200_000, ends_early=True)}
    assert len(read(server.put("x.json", JSON), patience).items) == 200
    assert (len(server.asked), len(waits)) == (3, 2)


def test_a_server_that_hangs_is_asked_again(server: ObjectServer, patience: RetryPolicy) -> None:
    server.faults = {0: Fault(hangs_after=0), 1: Fault(hangs_after=5000)}
    assert len(read(server.put("x.json", JSON), patience).items) == 200


def test_a_server_that_is_slow_but_does_not_stop_is_waited_for(server: ObjectServer, patience: RetryPolicy) -> None:
    data = talks("c", 1)[:500]
    server.every = Fault(drips=True)
    found = read(server.put("x.json", data), patience)
    assert [problem.kind for problem in found.problems] == ["truncated"]
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, headers={"Retry-After": "7"}),
        Fault(503),
        Fault(502, b"<html>xyzzy-body</html>"),
        Fault(400, b'{"statusCode":"544","error":"DatabaseTimeout","message":"xyzzy-body"}'),
        Fault(400, b'{"statusCode":"423","error":"lock","message":"xyzzy-body"}'),
        Fault(400, b'{"statusCode":"503","error":"LockTimeout","message":"xyzzy-body"}'),
    ],
    ids=["429", "503", "HTML 502", "400 means 544", "400 means 423", "400 means 503"],
)
def test_what_passes_is_waited_for(
    server: ObjectServer, fault: Fault, patience: RetryPolicy, waits: list[float]
) -> None:
    server.faults = {0: fault, 1: fault, 3: fault}
    assert len(read(server.put("x.json", JSON), patience).items) == 200
    assert len(waits) == 3
    assert min(waits) >= (7 if fault.headers else 0)


def test_no_wait_is_longer_than_patience_allows(
    server: ObjectServer, patience: RetryPolicy, waits: list[float]
) -> None:
    server.faults = {
        0: Fault(503, headers={"Retry-After": "86400"}),
        1: Fault(503, headers={"Retry-After": "Fri, 31 Dec 2199 23:59:59 GMT"}),
    }
    read(server.put("x.json", JSON), patience)
    assert waits == [60.0, 60.0]


def test_where_it_does_not_pass_the_source_is_unavailable(
    server: ObjectServer, patience: RetryPolicy, waits: list[float]
) -> None:
    server.every = Fault(503)
    with pytest.raises(SourceUnavailable, match=r"/x\.json cannot be read at the moment: the server answers 503"):
        open_export(server.put("x.json", JSON), patience=patience)
    assert (len(server.asked), len(waits)) == (6, 5)


def test_a_server_that_is_not_there_is_unavailable(patience: RetryPolicy, waits: list[float]) -> None:
    with object_server() as gone:
        url = gone.url("x.json")
    with pytest.raises(SourceUnavailable, match="the server cannot be reached"):
        open_export(url, patience=patience)
    assert len(waits) == 5


# --- servers that are slow -----------------------------------------------------------------------

DRIPS = {
    "body": Fault(drips=True),
    "header": Fault(header_drips=True),
    "refusal": Fault(404, b"x" * 100_000, drips=True),
    "redirects": Fault(302, headers={"Location": "/x.json"}, header_drips=True),
}


def in_a_hurry(patience: RetryPolicy, *, gives_up: bool = False, **pace: float) -> RetryPolicy:
    """With a deadline that `patience` does not have by itself; a read alone may take as long as it likes."""
    limits = ReadLimits(pace=SourcePace(**pace))  # type: ignore[arg-type]
    return replace(patience, read_seconds=60, waiting=Waiting("http://host/x.json", limits, gives_up=gives_up))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
@pytest.mark.parametrize("fault", DRIPS.values(), ids=DRIPS)
def test_reading_ends_at_the_deadline_when_a_server_drips(
    server: ObjectServer, fault: Fault, ranges: bool, patience: RetryPolicy, waits: list[float]
) -> None:
    server.every, server.ranges = fault, ranges
    with pytest.raises(SourceRefused, match=r"x\.json is too slow: [0-9,]+ bytes arrived in \d+ s") as raised:
        read(server.put("x.json", JSON), in_a_hurry(patience, deadline_seconds=0.4))
    assert not raised.value.retry
    assert "--source-deadline-seconds" in raised.value.hint
    assert (len(server.asked), waits) == (1, [])


@pytest.mark.timeout(30)
def test_version_ends_at_the_deadline_when_a_server_drips(server: ObjectServer, patience: RetryPolicy) -> None:
    server.every = Fault(header_drips=True)
    with pytest.raises(SourceRefused, match="is too slow"):
        version_of(server.put("x.json", JSON), in_a_hurry(patience, deadline_seconds=0.4))


@pytest.mark.timeout(30)
def test_deadline_is_of_the_settings_when_an_import_reads_a_source(server: ObjectServer, patience: RetryPolicy) -> None:
    server.every = Fault(header_drips=True)
    with pytest.raises(SourceRefused, match=r"/x\.json is too slow"):
        open_export(server.put("x.json", JSON), ReadLimits(pace=SourcePace(deadline_seconds=0.4)), patience)


@pytest.mark.timeout(30)
def test_deadline_holds_when_only_public_addresses_and_exempt_hosts_are_allowed(
    server: ObjectServer, patience: RetryPolicy
) -> None:
    server.every = Fault(header_drips=True)
    limits = ReadLimits(
        pace=SourcePace(deadline_seconds=0.4),
        sources=SourceRules(public_only=True, allowed_hosts=(AllowedHost("127.0.0.1"),)),
    )
    with pytest.raises(SourceRefused, match=r"/x\.json is too slow"):
        open_export(server.put("x.json", JSON), limits, replace(patience, read_seconds=60))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("fault", [DRIPS["body"], DRIPS["header"]], ids=["body", "header"])
def test_slow_source_is_given_up_when_its_reader_is_told_so(
    server: ObjectServer, fault: Fault, patience: RetryPolicy
) -> None:
    server.every = fault
    hurry = in_a_hurry(patience, gives_up=True, slow_after_seconds=0.3, slow_bytes_per_second=1_000_000)
    with pytest.raises(SourceSlow, match="is slow"):
        read(server.put("x.json", JSON), hurry)


def test_fast_source_is_read_to_its_end_when_its_reader_would_give_it_up(
    server: ObjectServer, patience: RetryPolicy
) -> None:
    hurry = in_a_hurry(patience, gives_up=True, slow_after_seconds=0.001, slow_bytes_per_second=0)
    assert len(read(server.put("x.json", JSON), hurry).items) == 200


# --- servers that do not tell what changes -------------------------------------------------------


@pytest.mark.parametrize(
    ("etag", "headers", "requests_in_ranges"),
    [
        ("", {}, False),
        ('W/"one"', {}, False),
        ("", {"Last-Modified": "yesterday"}, False),
        ("", {"Last-Modified": "Fri, 31 Dec 2199 23:59:59 GMT"}, False),
        ("", {"Last-Modified": "Sat, 01 Jan 2000 10:00:00 GMT"}, True),
        ('W/"one"', {"Last-Modified": "Sat, 01 Jan 2000 10:00:00 GMT"}, True),
        ('"one"', {"Last-Modified": "Fri, 31 Dec 2199 23:59:59 GMT"}, True),
    ],
    ids=["nothing", "weak ETag", "no date", "date to come", "old date", "weak ETag, date", "ETag"],
)
def test_object_comes_in_one_answer_when_the_server_does_not_show_changes(
    server: ObjectServer, etag: str, headers: dict[str, str], requests_in_ranges: bool, patience: RetryPolicy
) -> None:
    server.etag, server.every = etag, Fault(headers=headers)
    found = read(server.put("x.json", JSON), patience)
    assert len(found.items) == 200
    assert found.problems == []
    whole = [one for one in server.asked if "range" not in one.headers]
    assert len(whole) == (0 if requests_in_ranges else 1)


@pytest.mark.parametrize("changes_before", [1, 2, 3])
def test_two_contents_are_not_mixed_when_an_object_without_a_version_changes_at_the_same_length(
    server: ObjectServer, changes_before: int, patience: RetryPolicy, tmp_path: Path
) -> None:
    before, after = talks("c", 200), talks("d", 200)
    assert len(before) == len(after)
    contents = [read(written(tmp_path / "x.json", data), PATIENCE).items for data in (before, after)]
    server.etag, server.every = "", Fault(drop_after=400_000)  # a download is asked for again, too
    server.faults = {4: Fault(), 5: Fault()}
    server.changes = {changes_before: ("/x.json", after)}
    assert read(server.put("x.json", before), patience).items in contents


def test_object_that_changes_is_refused_when_only_its_date_tells(server: ObjectServer, patience: RetryPolicy) -> None:
    server.etag = 'W/"one"'
    server.every = Fault(headers={"Last-Modified": "Sat, 01 Jan 2000 10:00:00 GMT"})
    server.faults = {1: Fault(headers={"Last-Modified": "Sat, 01 Jan 2000 10:00:01 GMT"})}
    with pytest.raises(SourceRefused, match=r"/x\.json changed while it was being read"):
        read(server.put("x.json", JSON), patience)


def test_more_than_may_be_downloaded_is_refused_when_the_server_does_not_show_changes(
    server: ObjectServer, patience: RetryPolicy
) -> None:
    server.etag = ""
    with pytest.raises(
        SourceError,
        match=r"a date that identifies its version, and is larger than the download limit of 100,0",
    ):
        open_export(server.put("x.json", JSON), ReadLimits(max_download_bytes=100_000), patience)


# --- objects that change, refusals ---------------------------------------------------------------


def test_an_object_that_changes_between_two_ranges_is_refused(server: ObjectServer, patience: RetryPolicy) -> None:
    url = server.put("x.json", JSON)
    server.faults = {1: Fault(headers={"ETag": '"two"'})}
    with pytest.raises(SourceRefused, match=r"/x\.json changed while it was being read") as raised:
        read(url, patience)
    assert not raised.value.retry
    assert len(server.asked) == 2


@pytest.mark.parametrize("length", [100_000, 300_000, 1_000_000], ids=["much shorter", "shorter", "longer"])
def test_an_object_whose_length_changes_is_refused(server: ObjectServer, length: int, patience: RetryPolicy) -> None:
    export = open_export(server.put("x.json", JSON), patience=patience)
    server.put("x.json", (JSON * 3)[:length])
    with pytest.raises(SourceRefused, match="changed while it was being read"), export.members[0].open() as stream:
        stream.read()


def test_a_weak_etag_is_the_same_as_a_strong_one(server: ObjectServer, patience: RetryPolicy) -> None:
    server.faults = {1: Fault(headers={"ETag": 'W/"one"'})}
    assert len(read(server.put("x.json", JSON), patience).items) == 200


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(404), "There is no object http://127.0.0.1:{port}/x.json.\nCheck the address."),
        (
            Fault(403),
            "Access to http://127.0.0.1:{port}/x.json was denied (403).\nIf it is a signed URL, it has",
        ),
        (
            Fault(400, b'{"statusCode":"400","error":"InvalidJWT","message":"exp"}'),
            "was denied (403).\nIf it",
        ),
        (Fault(400, b'{"statusCode":"404","error":"not_found"}'), "There is no object"),
        (Fault(400, b"<html>xyzzy-body</html>"), "cannot be read: the server answers 400."),
        (Fault(400, b"[1]"), "cannot be read: the server answers 400."),
        (Fault(206, b"xx", {"Content-Range": "bytes 5-1/9"}), "the server does not say which range it sends"),
    ],
)
def test_a_refusal_is_told_at_once_and_says_what_to_do(
    server: ObjectServer, fault: Fault, told: str, patience: RetryPolicy, waits: list[float]
) -> None:
    server.every = fault
    with pytest.raises(SourceRefused) as raised:
        open_export(server.put("x.json", JSON), patience=patience)
    assert told.format(port=server.port) in str(raised.value)
    assert "xyzzy" not in str(raised.value)
    assert (raised.value.exit_code, len(server.asked), waits) == (3, 1, [])


def test_storage_tells_a_wrong_key_and_a_missing_object_apart(
    server: ObjectServer, patience: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceRefused, match=r"There is no object supabase://exports/x\.json\.\nCheck the bucket"):
        open_export("supabase://exports/x.json", patience=patience)
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", "eyJh.xyzzy.key")
    with pytest.raises(SourceRefused, match=r"was denied \(403\)\.\nCheck that SUPABASE_SERVICE_KEY"):
        open_export("supabase://exports/x.json", patience=patience)
    assert server.asked[-1].headers["authorization"] == "Bearer eyJh.xyzzy.key"


def test_a_key_is_quoted_and_nothing_is_asked_for_in_another_coding(
    server: ObjectServer, patience: RetryPolicy
) -> None:
    server.put(f"{STORAGE[1:]}exports/a b/c&d=e?f+.json", JSON)
    read("supabase://exports/a b/c&d=e?f+.json", patience)
    assert {one.path for one in server.asked} == {f"{STORAGE}exports/a%20b/c%26d%3De%3Ff%2B.json"}
    assert {one.headers["accept-encoding"] for one in server.asked} == {"identity"}


@pytest.mark.parametrize("unset", ["SUPABASE_URL", "SUPABASE_SERVICE_KEY"])
def test_without_a_project_there_is_no_storage(
    server: ObjectServer, unset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(unset, "")
    with pytest.raises(ConfigError, match=f"{unset} is not set"):
        open_export("supabase://exports/x.json")
    assert server.asked == []


# --- redirects -----------------------------------------------------------------------------------


def test_a_redirect_to_another_origin_gets_no_key(server: ObjectServer, patience: RetryPolicy) -> None:
    server.put("real.json", JSON)
    server.every = None
    server.faults = {0: Fault(302, headers={"Location": server.url("real.json", "localhost")})}
    open_export("supabase://exports/x.json", patience=patience)
    first, second = server.asked
    assert first.headers["apikey"] == server.key
    assert second.headers["host"].startswith("localhost:")
    assert {"apikey", "authorization"} & set(second.headers) == set()


def test_a_redirect_within_the_origin_keeps_the_user_of_the_url(server: ObjectServer, patience: RetryPolicy) -> None:
    server.put("real.json", JSON)
    server.faults = {0: Fault(307, headers={"Location": "/real.json"})}
    url = server.url("x.json").replace("://", "://ada:p%40ss@")
    assert open_export(url, patience=patience).path == f"http://127.0.0.1:{server.port}/x.json"
    assert {one.headers["authorization"] for one in server.asked} == {"Basic YWRhOnBAc3M="}


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "", "http://ada:pw@127.0.0.1/x"])
def test_a_redirect_leads_to_http_alone(server: ObjectServer, location: str, patience: RetryPolicy) -> None:
    server.every = Fault(302, headers={"Location": location})
    with pytest.raises(SourceRefused, match="is redirected to an address that is not followed"):
        open_export(server.put("x.json", JSON), patience=patience)
    assert len(server.asked) == 1


def test_redirects_in_a_circle_come_to_an_end(server: ObjectServer, patience: RetryPolicy) -> None:
    server.every = Fault(302, headers={"Location": "/x.json"})
    with pytest.raises(SourceRefused, match="redirected more than 5 times"):
        open_export(server.put("x.json", JSON), patience=patience)
    assert len(server.asked) == 6


# --- without ranges ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [None, Fault(without_length=True)], ids=["told", "counted"])
def test_more_than_may_be_downloaded_is_refused(
    server: ObjectServer, fault: Fault | None, patience: RetryPolicy
) -> None:
    server.ranges, server.every = False, fault
    limits = ReadLimits(max_download_bytes=100_000)
    with pytest.raises(SourceError, match=r"larger than the download limit of 100,000 bytes\.\nRaise --max"):
        open_export(server.put("x.json", JSON), limits, patience)


def test_where_there_is_no_room_for_a_download_the_error_names_the_folder(
    server: ObjectServer, patience: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ranges = False
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with pytest.raises(SourceError, match=r"needs [0-9,]+ bytes in TMPDIR") as raised:
        open_export(server.put("x.json", JSON), patience=patience)
    assert "Set TMPDIR" in raised.value.hint


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at /proc")
def test_a_download_has_no_name_and_is_gone_with_the_export(
    server: ObjectServer, patience: RetryPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unnamed() -> list[str]:
        links = (str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink())
        return [link for link in links if link.startswith(str(tmp_path))]

    server.ranges = False
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    export = open_export(server.put("x.zip", zipped(SHARDS)), patience=patience)
    assert (len(unnamed()), list(tmp_path.iterdir())) == (1, [])
    del export
    gc.collect()
    assert unnamed() == []
