"""The word search of docs/postgres.md, on a real Postgres."""

import re
from pathlib import Path

import pytest

from tests.support.gateway.postgres import Database

PAGE = (Path(__file__).parents[2] / "docs" / "postgres.md").read_text()
(BY_WORDS,) = (block for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL) if "websearch_to_tsquery" in block)
INDEX, QUERY = (statement.strip() for statement in BY_WORDS.strip().rstrip(";").split(";"))
TEXTS = {
    "call": "Then call `ray.init()` once.",
    "tag": "Put a <Button> there, not a <div class='wide'>.",
    "path": "It lies in docs/images/job.png, I think.",
    "words": "Two tides a day, because of the moon.",
}


@pytest.mark.parametrize(
    ("searched", "title"),
    [
        ("init", "call"),
        ("ray.init", "call"),
        ("button", "tag"),
        ("wide", "tag"),
        ("job", "path"),
        ("moon tide", "words"),
    ],
)
def test_word_search_of_the_docs_finds_words_when_signs_are_around_them(
    database: Database, searched: str, title: str
) -> None:
    with database.connected() as db:
        db.execute("CREATE TABLE conversation_chunks (user_id text, title text, content text, created_at timestamptz)")
        for name, content in TEXTS.items():
            db.execute("INSERT INTO conversation_chunks VALUES ('ada', %s, %s, now())", (name, content))
        db.execute(INDEX.encode())
        found = db.execute(QUERY.replace("moon tides", searched).encode()).fetchall()
        db.execute("SET enable_seqscan = off")
        plan = str(db.execute(f"EXPLAIN {QUERY}".encode()).fetchall())
    assert [row[0] for row in found] == [title]
    assert "conversation_chunks_words" in plan
