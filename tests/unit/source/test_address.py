from pathlib import Path

import pytest

from ray_import.errors import ConfigError
from ray_import.source.address import HttpAddress, address_of, label_of, without_secrets

TOKEN = "xyzzy"


def http(source: str) -> HttpAddress:
    address = address_of(source)
    assert isinstance(address, HttpAddress)
    return address


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://abc.supabase.co/")
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", f"sb_secret_{TOKEN}")


@pytest.mark.parametrize(
    "path", ["export.zip", "~/export.zip", "./https://x", "/a//b", "https:/x", "a?b#c", "caf\udce9.json", "C:/x"]
)
def test_what_has_no_scheme_is_a_path(path: str) -> None:
    assert address_of(path) == Path(path)


@pytest.mark.parametrize("source", ["", " ", "\t\n"])
def test_address_is_refused_when_it_is_empty(source: str) -> None:
    with pytest.raises(ConfigError, match="A source is empty"):
        address_of(source)


def test_a_path_is_a_path_whatever_is_in_it() -> None:
    assert address_of(Path("https://x")) == Path("https:/x")


@pytest.mark.parametrize(
    ("source", "label", "name", "url"),
    [
        ("https://h/a/x.zip?token=xyzzy", "https://h/a/x.zip", "x.zip", "https://h/a/x.zip?token=xyzzy"),
        ("HTTPS://H/x.zip#xyzzy", "HTTPS://H/x.zip", "x.zip", "https://h/x.zip"),
        ("http://h:8080/a%20b.json", "http://h:8080/a%20b.json", "a b.json", "http://h:8080/a%20b.json"),
        ("https://ada:xyzzy@h/x.zip?a=b@c", "https://…", "x.zip", "https://h/x.zip?a=b@c"),
        ("https://h?token=xyzzy", "https://h", "h", "https://h?token=xyzzy"),
        ("http://[::1]:80/x", "http://[::1]:80/x", "x", "http://[::1]:80/x"),
    ],
)
def test_an_address_is_called_by_scheme_host_and_path(source: str, label: str, name: str, url: str) -> None:
    address = http(source)
    assert (address.label, address.name, address.url) == (label, name, url)
    assert label_of(source) == label
    assert TOKEN not in repr(address)


@pytest.mark.usefixtures("project")
def test_an_object_of_the_project_is_asked_for_with_the_projects_key() -> None:
    address = http("supabase://exports/of ada/x+1?.zip")
    assert (address.label, address.name) == ("supabase://exports/of ada/x+1?.zip", "x+1?.zip")
    assert address.url == "https://abc.supabase.co/storage/v1/object/authenticated/exports/of%20ada/x%2B1%3F.zip"
    key = f"sb_secret_{TOKEN}"
    assert address.credentials == (("apikey", key), ("Authorization", f"Bearer {key}"))
    assert TOKEN not in repr(address)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    "source",
    [
        "supabase://", "supabase://bucket", "supabase://bucket/", "supabase:///x.zip", "supabase://bucket//x.zip",
        "supabase://bucket/../../rest/v1/users", "supabase://../x", "supabase://bucket/./x",
    ],
)  # fmt: skip
def test_what_names_no_object_of_a_bucket_is_refused(source: str) -> None:
    with pytest.raises(ConfigError, match="does not name an object"):
        address_of(source)


@pytest.mark.parametrize(
    "source",
    [
        "ftp://ada:xyzzy@h/x.zip?xyzzy", "s3://bucket/x?xyzzy", "file:///x?xyzzy", "https://?token=xyzzy", "https://",
        "https://[::1/x?token=xyzzy", "https://h:port/x?token=xyzzy", "https://h/x?a b=xyzzy", "https://h/\x1b?xyzzy",
        "https://h/caf\udce9?xyzzy",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_telling_its_secrets(source: str) -> None:
    with pytest.raises(ConfigError) as raised:
        address_of(source)
    assert TOKEN not in str(raised.value)
    assert str(raised.value).isprintable() or "\n" in str(raised.value)
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("https://h/x.zip?token=xyzzy", "https://h/x.zip"),
        ("https://h/a b.zip?token=xyzzy and more", "https://h/a b.zip"),
        ("https://h/x.zip#xyzzy", "https://h/x.zip"),
        ("https://ada:xyzzy@h/x?y=ada@h", "https://…"),
        ("https://ada:@xy/zzy@h/x", "https://…"),
        ("https://ada:12/xyzzy@h/x", "https://ada…"),
        ("https://ada:12#xyzzy@h/x", "https://ada…"),
        ("https://ada:12?xyzzy@h/x", "https://ada…"),
        ("https://h/a,https://ada:xy/zzy@h/b", "https://h/a,https://ada…"),
        ("--to=postgresql://ada:xyzzy@h/db?password=xyzzy", "--to=postgresql://h/db"),
        ("https://h/a,https://ada:xyzzy@h/b?xyzzy", "https://h/a,https://h/b"),
        ("https://ada:xy zzy@h/x", "https://h/x"),
        ("https://h?token=xyzzy@h", "https://h"),
        ("postgresql://ada:xy?zzy@h/db", "postgresql://…"),
        ("--to=postgres://ada:xy#zzy@h/db", "--to=postgres://…"),
        ("postgresql://ada:xy/zzy@h/db", "postgresql://h/db"),
        ("postgresql://ada:xy@zzy@h/db", "postgresql://h/db"),
        ("postgresql://h/db?user=ada&password=xy@zzy", "postgresql://…"),
        ("postgresql+psycopg://ada:xyzzy@h/db", "postgresql+psycopg://h/db"),
        ("sqlite:////data/ada@h/chunks.db", "sqlite:////data/ada@h/chunks.db"),
        ("sqlite:///chunks.db", "sqlite:///chunks.db"),
        ("what?.json", "what?.json"),
        ("--user-id", "--user-id"),
        ("ada@example.org", "ada@example.org"),
        ("line\nhttps://h/x?token=\nxyzzy", "line\nhttps://h/x"),
    ],
)
def test_an_argument_that_others_may_read_has_no_secrets(argument: str, shown: str) -> None:
    assert without_secrets(argument) == shown
    assert without_secrets(shown) == shown
