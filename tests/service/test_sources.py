"""Which exports a request may name."""

from posixpath import normpath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_import.errors import ConfigError
from ray_import.service.web.sources import (
    AllowedSources,
    RequestedSource,
    SourceForbidden,
    SourceInvalid,
    allowed_sources,
)

ALLOWED = allowed_sources("exports, more.exports", "abc.supabase.co,Files.Example.com:8443", "")
REFUSED = (SourceForbidden, SourceInvalid)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("exports/ada/x.zip", "supabase://exports/ada/x.zip"),
        ("supabase://exports/ada/x.zip", "supabase://exports/ada/x.zip"),
        (
            "SUPABASE://more.exports/ada/2026/export 1 (100%).zip",
            "supabase://more.exports/ada/2026/export 1 (100%).zip",
        ),
        ("exports/ada/..x..zip", "supabase://exports/ada/..x..zip"),
        ("https://files.example.com:8443/ada/x.zip?token=t", "https://files.example.com:8443/ada/x.zip?token=t"),
        (
            "https://abc.supabase.co/storage/v1/object/sign/exports/ada/x.zip?token=t#f",
            "https://abc.supabase.co/storage/v1/object/sign/exports/ada/x.zip?token=t",
        ),
        ("https://ABC.supabase.co./ada/x.zip", "https://ABC.supabase.co./ada/x.zip"),
        ("https://abc.supabase.co:443/%61da/x%20y.zip", "https://abc.supabase.co:443/%61da/x%20y.zip"),
    ],
)
def test_source_of_gives_the_source_when_it_is_allowed(path: str, source: str) -> None:
    assert ALLOWED.source_of(path, "ada").source == source


def test_source_of_gives_a_label_without_the_token_when_the_url_is_signed() -> None:
    found = ALLOWED.source_of("https://abc.supabase.co/ada/x.zip?token=t0k3n", "ada")
    assert found == RequestedSource(
        "https://abc.supabase.co/ada/x.zip?token=t0k3n", "https://abc.supabase.co/ada/x.zip"
    )


@pytest.mark.parametrize(
    "path",
    [
        "other/ada/x.zip",
        "exports/bob/x.zip",
        "exports/ada2/x.zip",
        "exports/ad/x.zip",
        "exports/x.zip",
        "exports/ADA/x.zip",
        "exports2/ada/x.zip",
        "Exports/ada/x.zip",
        "https://evil.example.com/ada/x.zip",
        "https://abc.supabase.co.evil.com/ada/x.zip",
        "https://xabc.supabase.co/ada/x.zip",
        "https://abc.supabase.co:8443/ada/x.zip",
        "https://files.example.com/ada/x.zip",
        "https://abc.supabase.co/bob/x.zip",
        "https://abc.supabase.co/storage/v1/object/sign/secret/ada/x.zip",
        "https://abc.supabase.co/storage/v1/object/sign/exports/bob/x.zip",
        "https://abc.supabase.co/storage/v1/object/sign/exports/ada2/x.zip",
        "https://abc.supabase.co/storage/v1/object/list/ada/x.zip",
    ],
)
def test_source_of_forbids_a_source_when_it_is_not_on_the_lists(path: str) -> None:
    with pytest.raises(SourceForbidden):
        ALLOWED.source_of(path, "ada")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "ada",
        "exports/",
        "/exports/ada/x.zip",
        "http://abc.supabase.co/ada/x.zip",
        "file:///exports/ada/x.zip",
        "s3://exports/ada/x.zip",
        "supabase://",
        "supabase:///ada/x.zip",
        "https://",
        "https:///ada/x.zip",
        "https://abc.supabase.co:port/ada/x.zip",
        "https://[::1/ada/x.zip",
        "https://u:p@abc.supabase.co/ada/x.zip",
        "https://abc.supabase.co@evil.com/ada/x.zip",
        "https://evil.com\\@abc.supabase.co/ada/x.zip",
        "https://abc.supabase.co/ada/x y.zip",
        "https://abc.supabase.cо/ada/x.zip",
        "exports/ada/x\x00.zip",
        "exports/ada/x\n.zip",
        "exports/ada/\ud800.zip",
        "exports/ada/\u202egnp.zip",
        "exports/ada/x.zip?token=t",
        "supabase://exports/ada/x.zip#f",
    ],
)
def test_source_of_refuses_a_path_when_it_is_no_source(path: str) -> None:
    with pytest.raises(REFUSED):
        ALLOWED.source_of(path, "ada")


STEPS_OUT = [
    "ada/../bob/x.zip", "ada/./../bob/x.zip", "../bob/x.zip", "ada/..", "ada/.", "ada/", "ada//bob/x.zip",
    "//ada/x.zip",
    "ada/%2e%2e/bob/x.zip", "ada/%2E%2e/bob/x.zip", "ada/.%2e/bob/x.zip", "ada%2f..%2fbob/x.zip", "ada/..%2fbob/x.zip",
    "ada/%252e%252e/bob/x.zip", "ada/%25252e%25252e/bob/x.zip", "ada/%2525252e%2525252e/bob/x.zip", "ada/..\\bob/x.zip",
    "ada\\..\\bob/x.zip", "ada/%5c..%5cbob/x.zip", "ada/x%00.zip", "ada/x%0a.zip", "ada/..;/bob/x.zip",
    "ada/ ../bob/x.zip", "ada/.. /bob/x.zip", "ada/․․/bob/x.zip", "ada/．．/bob/x.zip", "ada/‥/bob/x.zip",
    "ada/．．／bob/x.zip", "ada/%c0%ae%c0%ae/../bob/x.zip",
]  # fmt: skip


@pytest.mark.parametrize("path", STEPS_OUT)
@pytest.mark.parametrize(
    "before",
    [
        "exports/",
        "supabase://exports/",
        "https://abc.supabase.co/",
        "https://abc.supabase.co/storage/v1/object/sign/exports/",
    ],
)
def test_source_of_refuses_a_path_when_it_leads_out_of_the_folder(before: str, path: str) -> None:
    with pytest.raises(REFUSED):
        ALLOWED.source_of(before + path, "ada")


@pytest.mark.parametrize("user_id", ["..", ".", "a/b", "a\\b", "ada/..", "%61da", "a%2fb", "．．", ""])
def test_source_of_refuses_a_user_when_the_id_is_no_folder(user_id: str) -> None:
    for before in ("exports/", "https://abc.supabase.co/"):
        with pytest.raises(REFUSED):
            ALLOWED.source_of(f"{before}{user_id}/x.zip", user_id)


PART = st.sampled_from(
    ["ada", "bob", "..", ".", "", "%2e", "%2f", "/", "\\", "%25", "2e", "x", ";", " ", "?", "#", "ada2"]
)


@given(path=st.lists(PART, max_size=8).map("".join), begins=st.sampled_from(["ada/", ""]))
def test_source_of_stays_below_the_folder_when_a_path_is_made_of_odd_parts(path: str, begins: str) -> None:
    """Held against the plain definition: decoded as often as may be, and resolved, it is still below `ada/`."""
    for before in ("supabase://exports/", "https://abc.supabase.co/"):
        try:
            source = ALLOWED.source_of(f"{before}{begins}{path}", "ada").source
        except REFUSED:
            continue
        rest = urlsplit(source).path[1:] if before.startswith("https") else source.removeprefix(before)
        for _ in range(6):
            assert normpath(rest.replace("\\", "/")).startswith("ada/")
            rest = unquote(rest)


def test_source_of_follows_the_pattern_when_one_is_set() -> None:
    allowed = allowed_sources("exports", "", "users/{user_id}-files")
    assert (
        allowed.source_of("exports/users/ada-files/x.zip", "ada").source == "supabase://exports/users/ada-files/x.zip"
    )
    for path in ("exports/ada/x.zip", "exports/users/ada/x.zip", "exports/users/ada-files2/x.zip"):
        with pytest.raises(SourceForbidden):
            allowed.source_of(path, "ada")


def test_source_of_forbids_everything_when_no_list_is_set() -> None:
    for path in ("exports/ada/x.zip", "https://abc.supabase.co/ada/x.zip"):
        with pytest.raises(SourceForbidden):
            AllowedSources(buckets=frozenset(), hosts=frozenset()).source_of(path, "ada")


@pytest.mark.parametrize(
    ("buckets", "hosts", "pattern"),
    [
        ("a/b", "", ""), ("a b", "", ""), ("*", "", ""), ("", "https://x.com", ""), ("", "x.com/path", ""),
        ("", "*.x.com", ""), ("", "x.com:0", ""), ("", "x.com:99999", ""), ("", "x.com:", ""), ("", "u@x.com", ""),
        ("", "", "exports/"), ("", "", "{user_id}/{user_id}"), ("", "", "../{user_id}"), ("", "", "/{user_id}"),
        ("", "", "{user}/"), ("", "", "a//{user_id}"), ("", "", "%2e/{user_id}"),
    ],
)  # fmt: skip
def test_allowed_sources_raises_when_a_setting_is_not_valid(buckets: str, hosts: str, pattern: str) -> None:
    with pytest.raises(ConfigError):
        allowed_sources(buckets, hosts, pattern)
