#!/usr/bin/env bash
# Libpq and urllib read the same database address differently when its password holds @, #, ? or %.
#
# Versions: psycopg[binary] 3.3.9 (its bundled libpq), Python 3.11 to 3.13.
# Guess:    an address that works with psycopg can be masked with urllib.parse.urlsplit: replace `.password`,
#           print the rest. An address that urlsplit cannot read does not work with psycopg either.
# Seen:     - `p@ss`: libpq ends the password at the FIRST @, urlsplit at the LAST. Libpq's error then shows the end
#             of the password as a part of the host name that it cannot resolve.
#           - `p#ss`, `p?ss`: libpq takes them as they are, and the login works. For urlsplit the host is the user name
#             and there is no password at all, so a mask of `.password` prints the address whole.
#           - `p%ss`: urlsplit is content; psycopg raises an error that quotes the password.
# Why:      a log line, an error message or a job's label that masks passwords with urlsplit leaks them in just the
#           cases in which people forget to escape, and psycopg's own messages leak parts of them, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'psycopg[binary]==3.3.9'
"$work/venv/bin/python" - <<'PYTHON'
from urllib.parse import urlsplit

import psycopg


def libpq(url):
    parts = psycopg.conninfo.conninfo_to_dict(url)
    return parts.get("password"), parts["host"]


def urllib(url):
    parts = urlsplit(url)
    return parts.password, parts.hostname


def address(password):
    return f"postgresql://ada:{password}@127.0.0.1:1/chats"


assert libpq(address("p@ss")) == ("p", "ss@127.0.0.1")
assert urllib(address("p@ss")) == ("p@ss", "127.0.0.1")
try:
    psycopg.connect(address("p@ss"), connect_timeout=5)
except psycopg.OperationalError as error:
    assert "ss@127.0.0.1" in str(error), error

for password in ("p#ss", "p?ss"):
    assert libpq(address(password)) == (password, "127.0.0.1")
    assert urllib(address(password)) == (None, "ada")

assert urllib(address("p%ss")) == ("p%ss", "127.0.0.1")
try:
    libpq(address("p%ss"))
except psycopg.ProgrammingError as error:
    assert "p%ss" in str(error), error
else:
    raise AssertionError("libpq has taken an unescaped %")
print("as stated")
PYTHON
