"""Objects over the stand-in, held against what the real Storage server answers (and, for `s3`, where it lies on S3)."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from storage3.exceptions import StorageApiError

from tests.support.gateway.clients import official, plain
from tests.support.gateway.server import Gateway, gateway

NOWHERE = "host=/nowhere"  # Storage asks no database
BYTES = bytes(range(256)) * 4
PLACE = "/storage/v1/object/authenticated/exports/u1/My Export.zip"
USER = "00000000-0000-0000-0000-000000000001"


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with gateway(NOWHERE) as made:
        yield made
        assert made.served.failures == []


@pytest.fixture
def project(running: Gateway) -> Gateway:
    for found in running.objects.of("exports"):
        running.objects.remove("exports", found.key)
    running.objects.put("exports", "u1/My Export.zip", BYTES, content_type="application/zip")
    running.objects.put("exports", "empty.zip", b"")
    running.objects.put("exports", f"{USER}/own.zip", b"own")
    running.objects.put("open", "hello.txt", b"hello")
    running.objects.make_bucket("open", public=True)
    running.served.clear()
    return running


@pytest.fixture
def http(project: Gateway) -> Iterator[httpx.Client]:
    with plain(project.project, project.service_key) as made:
        yield made


def told(answer: httpx.Response) -> tuple[int, str, str]:
    """HTTP's status, the true one, and the code."""
    body = answer.json()
    assert body.keys() == {"statusCode", "error", "message", "code"}
    return answer.status_code, body["statusCode"], body["code"]


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["", "authenticated/"])
def test_an_object_comes_whole(http: httpx.Client, way: str) -> None:
    address = f"/storage/v1/object/{way}exports/u1/My Export.zip"
    answer, head = http.get(address), http.head(address)
    assert (answer.status_code, answer.content) == (200, BYTES)
    assert answer.headers["etag"] == f'"{hashlib.md5(BYTES).hexdigest()}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["last-modified"].endswith(" GMT")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(BYTES)))
    assert head.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("0-9", 0, 10), ("1000-", 1000, 1024), ("-5", 1019, 1024), ("-5000", 0, 1024), ("1020-5000", 1020, 1024)],
)
def test_a_range_comes_with_its_place(http: httpx.Client, asked: str, start: int, end: int) -> None:
    answer = http.get(PLACE, headers={"Range": f"bytes={asked}"})
    assert (answer.status_code, answer.content) == (206, BYTES[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/1024"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "asked", ["bytes=1024-", "bytes=5-2", "bytes=0-1,4-5", "bytes=", "bytes=-", "lines=0-1", "bytes=-0"]
)
def test_a_range_that_is_not_there_is_a_real_416(http: httpx.Client, asked: str) -> None:
    assert told(http.get(PLACE, headers={"Range": asked})) == (416, "416", "InvalidRange")


def test_no_range_of_an_empty_object_is_there(http: httpx.Client) -> None:
    address = "/storage/v1/object/authenticated/exports/empty.zip"
    assert http.get(address).content == b""
    assert told(http.get(address, headers={"Range": "bytes=0-"})) == (416, "416", "InvalidRange")


def test_on_s3_what_is_not_there_is_a_400_and_what_is_no_range_is_passed_over(tmp_path: Path) -> None:
    with gateway(NOWHERE, s3=True) as g, plain(g.project, g.secret_key) as http:
        g.objects.put("exports", "u1/My Export.zip", BYTES)
        assert told(http.get(PLACE, headers={"Range": "bytes=1024-"})) == (400, "416", "InvalidRange")
        assert http.get(PLACE, headers={"Range": "bytes=0-1,4-5"}).status_code == 200


def test_conditions_but_if_none_match_are_passed_over(http: httpx.Client) -> None:
    ranged = {"Range": "bytes=0-1", "If-Range": '"wrong"', "If-Match": '"wrong"'}
    assert http.get(PLACE, headers=ranged).status_code == 206
    assert http.get(PLACE, headers={"If-Modified-Since": "Wed, 01 Jan 2200 00:00:00 GMT"}).status_code == 200
    same = http.get(PLACE, headers={"If-None-Match": http.head(PLACE).headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("object/authenticated/exports/missing.zip", ("404", "NoSuchKey")),
        ("object/exports/missing.zip", ("404", "NoSuchKey")),
        ("object/authenticated/missing/a.zip", ("404", "NoSuchBucket")),
        ("object/info/authenticated/exports/missing.zip", ("404", "NoSuchKey")),
        ("object/public/exports/empty.zip", ("404", "NoSuchBucket")),
    ],
)
def test_what_is_missing_is_a_400_that_says_404(http: httpx.Client, address: str, expected: tuple[str, str]) -> None:
    assert told(http.get(f"/storage/v1/{address}")) == (400, *expected)
    head = http.head(f"/storage/v1/{address}")
    assert (head.status_code, head.content) == (400, b"")


def test_a_download_goes_on_with_the_old_bytes_when_the_object_is_replaced(
    project: Gateway, http: httpx.Client
) -> None:
    project.objects.put("exports", "large.bin", bytes(30_000_000))
    address = "/storage/v1/object/authenticated/exports/large.bin"
    with http.stream("GET", address) as answer:
        pieces = answer.iter_raw()
        first = next(pieces)
        project.objects.put("exports", "large.bin", b"new")
        assert set(first + b"".join(pieces)) == {0}
    assert http.get(address).content == b"new"
    assert project.served.sent("large.bin") == 30_000_003


def test_a_public_object_needs_no_key(project: Gateway) -> None:
    assert httpx.get(f"{project.url}/storage/v1/object/public/open/hello.txt").content == b"hello"


def test_info_has_the_size_and_a_version_that_changes(project: Gateway, http: httpx.Client) -> None:
    address = "/storage/v1/object/info/authenticated/exports/u1/My Export.zip"
    before = http.get(address).json()
    assert (before["size"], before["name"], before["bucket_id"]) == (1024, "u1/My Export.zip", "exports")
    project.objects.put("exports", "u1/My Export.zip", BYTES)
    assert http.get(address).json()["version"] != before["version"]


# --- who asks ------------------------------------------------------------------------------------


def test_who_is_not_known_is_told_of_a_missing_bucket_or_of_the_token(project: Gateway) -> None:
    expired = project.user_token(USER, expires_in=-10)
    for token in (expired, "garbage"):
        with plain(project.project, project.anon_key, token=token) as http:
            assert told(http.get("/storage/v1/object/exports/empty.zip")) == (400, "404", "NoSuchBucket")
            assert told(http.get("/storage/v1/object/authenticated/exports/empty.zip")) == (400, "403", "AccessDenied")
    nobody = httpx.get(f"{project.url}/storage/v1/object/exports/empty.zip")
    assert told(nobody) == (400, "404", "NoSuchBucket")


def test_a_user_sees_the_own_folder_only(project: Gateway) -> None:
    with plain(project.project, project.anon_key, token=project.user_token(USER)) as http:
        assert http.get(f"/storage/v1/object/authenticated/exports/{USER}/own.zip").content == b"own"
        assert told(http.get(PLACE)) == (400, "404", "NoSuchKey")
        assert [row["name"] for row in http.post("/storage/v1/object/list/exports", json={}).json()] == [USER]
        denied = http.post("/storage/v1/object/exports/u1/mine.zip", content=b"x")
        assert told(denied) == (400, "403", "AccessDenied")


def test_a_signed_address_needs_no_key_and_is_looked_at_when_the_request_begins(
    project: Gateway, http: httpx.Client
) -> None:
    signed = http.post("/storage/v1/object/sign/exports/u1/My Export.zip", json={"expiresIn": "60"})
    address = f"{project.url}/storage/v1{signed.json()['signedURL']}"
    ranged = httpx.get(address, headers={"Range": "bytes=0-2"})
    assert (ranged.status_code, ranged.content) == (206, BYTES[:3])
    assert httpx.head(address).headers["content-length"] == "1024"
    assert told(httpx.get(address[:-4] + "AAAA")) == (400, "400", "InvalidJWT")
    assert told(httpx.get(address.replace("My%20Export", "other"))) == (400, "400", "InvalidSignature")
    expired = http.post("/storage/v1/object/sign/exports/empty.zip", json={"expiresIn": -10}).json()["signedURL"]
    assert told(httpx.get(f"{project.url}/storage/v1{expired}")) == (400, "400", "InvalidJWT")


# --- writing -------------------------------------------------------------------------------------


def test_an_upload_replaces_only_when_it_says_so(http: httpx.Client) -> None:
    address = "/storage/v1/object/exports/new.zip"
    assert http.post(address, content=b"one", headers={"Content-Type": "application/zip"}).status_code == 200
    assert told(http.post(address, content=b"two")) == (400, "409", "KeyAlreadyExists")
    assert http.post(address, content=b"three", headers={"x-upsert": "true"}).json()["Key"] == "exports/new.zip"
    assert http.get(address).content == b"three"


@pytest.mark.parametrize("key", ["ünï.zip", "a%25b", "a%23b"])
def test_keys_have_few_characters(http: httpx.Client, key: str) -> None:
    assert told(http.post(f"/storage/v1/object/exports/{key}", content=b"x")) == (400, "400", "InvalidKey")


# --- the official client -------------------------------------------------------------------------


def test_the_official_client_finds_its_way(project: Gateway) -> None:
    with official(project.project, project.secret_key) as client:
        client.storage.create_bucket("made")
        bucket = client.storage.from_("made")
        content = bytes(range(256)) + b"\r\n--\r\n"
        bucket.upload("u1/a b.zip", content, {"content-type": "application/zip", "cache-control": "60"})
        assert bucket.download("u1/a b.zip") == content
        assert [(row["name"], row["id"]) for row in bucket.list()] == [("u1", None)]
        (entry,) = bucket.list("u1")
        assert (entry["name"], entry["metadata"]["size"]) == ("a b.zip", len(content))
        assert bucket.info("u1/a b.zip")["size"] == len(content)
        assert bucket.exists("u1/a b.zip")
        signed = bucket.create_signed_url("u1/a b.zip", 60)["signedURL"]
        several = bucket.create_signed_urls(["u1/a b.zip", "missing"], 60)
        for address in (signed, several[0]["signedURL"]):
            assert httpx.get(str(address)).content == content
        assert several[1]["error"]
        assert [row["name"] for row in bucket.remove(["u1/a b.zip", "missing"])] == ["u1/a b.zip"]
        with pytest.raises(StorageApiError) as caught:
            bucket.download("u1/a b.zip")
    assert (caught.value.status, caught.value.code) == ("404", "not_found")


def test_a_listing_has_pages_and_an_order(project: Gateway, http: httpx.Client) -> None:
    for number in range(5):
        project.objects.put("exports", f"many/{number}.zip", bytes(number))
    wanted = {"prefix": "many", "limit": 2, "offset": 1, "sortBy": {"column": "name", "order": "desc"}}
    rows = http.post("/storage/v1/object/list/exports", json=wanted).json()
    assert [(row["name"], row["metadata"]["size"]) for row in rows] == [("3.zip", 3), ("2.zip", 2)]


def names(http: httpx.Client, bucket: str = "exports", **wanted: object) -> list[tuple[str, bool]]:
    """The names of a page of a listing, and whether they are of folders."""
    rows = http.post(f"/storage/v1/object/list/{bucket}", json={"prefix": "", **wanted}).json()
    return [(row["name"], row["id"] is None) for row in rows]


def test_a_page_has_100_entries_and_1500_at_the_most(project: Gateway, http: httpx.Client) -> None:
    for number in range(1_600):
        project.objects.put("exports", f"many/{number:04}.zip", b"")
    assert len(names(http, prefix="many")) == 100
    assert len(names(http, prefix="many", limit=5_000)) == 1_500
    assert names(http, prefix="many/", limit=5_000, offset=1_599) == [("1599.zip", False)]
    assert names(http, prefix="many", offset=1_600) == names(http, prefix="man") == []


def test_folders_and_files_are_listed_one_level_deep_and_upper_case_is_as_lower_case(
    project: Gateway, http: httpx.Client
) -> None:
    for key in ("a/Ben/x.zip", "a/ben/y.zip", "a/ben.zip", "a/ana/2025/z.zip", "ab/c.zip"):
        project.objects.put("exports", key, b"")
    assert names(http, prefix="a") == [("ana", True), ("Ben", True), ("ben.zip", False)]
    assert names(http, prefix="A/BEN") == [("x.zip", False), ("y.zip", False)]


def test_a_bucket_that_is_not_there_is_listed_as_one_without_anything(http: httpx.Client) -> None:
    assert names(http, "missing") == []
    assert told(http.get("/storage/v1/bucket/missing")) == (400, "404", "NoSuchBucket")


def test_a_file_can_be_put_there_without_holding_it_in_memory(
    project: Gateway, http: httpx.Client, tmp_path: Path
) -> None:
    (tmp_path / "export.zip").write_bytes(BYTES)
    project.objects.put("exports", "copied.zip", tmp_path / "export.zip")
    (tmp_path / "export.zip").unlink()
    assert http.get("/storage/v1/object/authenticated/exports/copied.zip").content == BYTES
