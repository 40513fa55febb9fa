"""Of a password nothing is shown or sent on, wherever libpq takes it to end: not a single letter of it."""

import pickle

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ray_import.destinations.base import NEWEST_CHUNK
from ray_import.destinations.postgres.address import shown_address, split_password
from ray_import.destinations.postgres.connect import error_of_words, shown_line
from ray_import.destinations.postgres.psycopg import PostgresDatabase
from ray_import.destinations.postgres.servers import PostgresDestination, postgres_of_environment
from ray_import.destinations.registry import parse_destination
from ray_import.errors import ConfigError, ImporterError, SinkError
from ray_import.source.address import without_secrets

LETTERS = "xzjж"
"""Which occur in nothing else that is shown."""
PASSWORDS = st.text(":@/#%?[]&= \\'.,;12" + LETTERS, min_size=1, max_size=12)
WHERE = [
    "db.host/chats",
    "db.host:5432/chats",
    "db.host",
    "db.host/chats?sslmode=require",
    "[::1]:5432/chats",
    "/chats",
]


def quoted(password: str) -> str:
    """As a value in libpq's form of key=value."""
    return "'" + password.replace("\\", "\\\\").replace("'", "\\'") + "'"


ADDRESSES = st.one_of(
    st.builds("postgresql://ada:{}@{}".format, PASSWORDS, st.sampled_from(WHERE)),
    st.builds("postgres://ada:{}@{}".format, PASSWORDS, st.sampled_from(WHERE)),
    st.builds("postgresql://:{}@{}".format, PASSWORDS, st.sampled_from(WHERE)),
    PASSWORDS.map(lambda password: f"host=db.host user=ada dbname=chats password={quoted(password)}"),
)


def shown_of(address: str) -> str:
    """All that is shown, or sent on, of an address that is given with --to or in DATABASE_URL."""
    try:
        conninfo, password = split_password(address)
    except ConfigError as error:
        return str(error)
    destination = PostgresDestination(shown_address(conninfo), conninfo, password)
    carried = pickle.dumps(destination).decode("latin-1")
    look = destination.query_hint().replace(NEWEST_CHUNK, "")
    return "".join((conninfo, destination.url, repr(destination), look, carried))


@given(address=ADDRESSES)
@example(address="postgresql://ada:x@zj@db.host/chats")
@example(address="postgresql://ada:12/xzj@db.host/chats")
@example(address="postgresql://ada:1?user=x@db.host/chats")
@example(address="postgresql://ada%3Axzj@db.host/chats")
@example(address="postgresql://ada:\udc80xzj@db.host/chats")
def test_split_password_shows_no_letter_of_a_password_when_libpq_tears_it(address: str) -> None:
    assert not set(shown_of(address)) & set(LETTERS)


@given(address=ADDRESSES, option=st.sampled_from(["", "--to="]))
@example(address="postgresql://ada:1@x?z@db.host/chats", option="")
def test_parse_destination_and_command_lines_show_no_letter_when_a_password_is_torn(address: str, option: str) -> None:
    try:
        told = parse_destination(address).url
    except ConfigError as error:
        told = str(error)
    assert not set(told) & set(LETTERS)
    if "://" in address:
        assert not set(without_secrets(option + address)) & set(LETTERS)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql:/ada:xzj@h/db", "ada:xzj@h/db", "mysql://ada:xzj/db", "mysql://ada:1@x/zj", "postgresql+x://ada:xzj@h",
        "host=h password=xzj", "sqlite://ada:xzj@h/db", "ada@xzj", "?xzj", "//xzj@h",
    ],
)  # fmt: skip
def test_parse_destination_shows_no_password_when_the_scheme_is_unknown(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_destination(address)
    assert not {"j", "z"} & set(str(caught.value))


@pytest.mark.parametrize(
    "source",
    ["https://ada:x/zj@h/x.zip", "https://ada:xj#zj@h/x.zip", "http://ada:xz?zj@h/x.zip", "https://ada:xzj"],
)
def test_without_secrets_shows_no_password_when_it_ends_before_the_host(source: str) -> None:
    assert not set(without_secrets(source)) & set("zj")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ada:p%40ss@h/db", "postgresql://ada@h/db", "postgresql://h:5432/db", "postgresql:///db",
        "postgresql://ada:p?s#s&=[]@h/db", "postgresql:///db?host=/run/postgresql", "postgresql://h/db?user=ada@tenant",
        "postgresql://ada:pw@one:5432,two:5433/db", "host=h user=ada@tenant password='p@ss/w' dbname=db",
    ],
)  # fmt: skip
def test_split_password_takes_an_address_when_it_can_be_told_where_its_password_ends(address: str) -> None:
    conninfo, _ = split_password(address)
    assert psycopg.conninfo.conninfo_to_dict(conninfo).get("dbname") == "db"


def words_of(address: str) -> str:
    """What libpq says of an address that is taken as it is."""
    try:
        psycopg.connect(address, connect_timeout=5).close()
    except psycopg.Error as error:
        return str(error)
    raise AssertionError(address)


TORN = [
    "x@zj", "1@zj", "xz@j@", "x@z\"j", "x@z'j", "x@'z\"j", "1/xzj", "12/zj", "xz/j", "x@[zj", "x?z@j", "x#z@j,zz",
    "x@zj\nzj", "1@x,zj:1", "1@zj:99999", "1/?host=zj", "1/?port=zj", "1/?sslmode=zj", "1/?service=zj", "x@zj zj",
]  # fmt: skip


@pytest.mark.parametrize("password", TORN)
@pytest.mark.parametrize("place", ["127.0.0.1:1/chats", "localhost:1", "[::1]:1/chats"])
def test_shown_line_has_no_letter_of_a_password_when_libpq_tears_it(password: str, place: str) -> None:
    """Such addresses are refused before; the words are masked all the same."""
    words = words_of(f"postgresql://ada:{password}@{place}")
    for line in words.splitlines():
        assert not {"z", "j"} & set(shown_line(line, {"user": "ada"}))
    assert not {"z", "j"} & set(error_of_words(words, {"user": "ada"}).message)


@given(password=PASSWORDS, place=st.sampled_from(["127.0.0.1:1/chats", "localhost:1", "[::1]:1/chats"]))
def test_connection_error_shows_no_letter_of_a_password_wherever_libpq_ends_it(password: str, place: str) -> None:
    address = f"postgresql://ada:{password}@{place}"
    try:
        conninfo, found = split_password(address)
    except ConfigError as error:
        told = str(error)
    else:
        parts = psycopg.conninfo.conninfo_to_dict(conninfo)
        secret = found.get_secret_value() if found else ""
        told = error_of_words(words_of(address), parts, secret).message
    assert not set(told) & set(LETTERS)


def failure_of(address: str) -> ImporterError:
    """What opening a connection to it raises."""
    with pytest.raises(ImporterError) as caught:
        PostgresDatabase(*split_password(address)).call("ray_import_version", {})
    return caught.value


@pytest.mark.parametrize("password", ["x?zj", "x#zj", "x:zj", "[xzj]", "x%40zj", "x&z=j", "жzj", "x'zj", "x\\zj"])
@pytest.mark.parametrize("place", ["127.0.0.1:1/chats", "no-such-place.invalid/chats", "[::1]:1"])
def test_connection_error_shows_no_password_when_the_server_is_not_reached(password: str, place: str) -> None:
    error = failure_of(f"postgresql://ada:{password}@{place}")
    assert isinstance(error, SinkError)
    assert not set(error.message) & set(LETTERS)


@pytest.mark.parametrize("password", ["x@zj", "1/xzj", "xz/j", "x%zj", "x zj", "x@z@j"])
def test_environment_address_shows_no_password_when_it_is_torn(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ada:{password}@127.0.0.1:1/chats")
    with pytest.raises(ConfigError) as caught:
        postgres_of_environment()
    assert not set(str(caught.value)) & set(LETTERS)
