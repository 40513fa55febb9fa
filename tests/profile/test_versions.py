"""The newest version of a profile says what the stored facts of now say."""

from ray_import.profile.front_end import front_end_values
from tests.support.profile.bench import Profiled
from tests.support.profile.chats import chat, fact_of


def test_newest_version_is_of_the_facts_of_now_when_these_were_there_before(profiled: Profiled) -> None:
    former, later = [chat(1, fact_of(1)), chat(2, fact_of(2))], [chat(1, fact_of(1)), chat(2, fact_of(3))]
    for chats in (former, later, former):
        profiled.imported(chats)
        profiled.run()
    newest = profiled.versions()[0]
    assert fact_of(2).value in newest.memory_md
    assert fact_of(3).value not in newest.memory_md
    sections_asked = profiled.paid("sections")
    profiled.api.forget_ledger()
    assert profiled.run().total.requests == 0
    assert sections_asked == 2
    assert len(profiled.versions()) == 4


def test_newest_version_is_empty_when_the_last_fact_is_gone(profiled: Profiled) -> None:
    profiled.imported([chat(1, fact_of(1)), chat(2)])
    profiled.run()
    profiled.imported([chat(1), chat(2)])
    report = profiled.run()
    newest = profiled.versions()[0]
    assert (report.status, newest.kind, newest.sections, newest.memory_md) == ("complete", "full", {}, "")
    assert report.spent["sections"].requests == 0
    published = front_end_values(newest, profiled.facts(), "complete")
    assert fact_of(1).value not in str(published)
    assert published["import_status"] == "complete"
    profiled.run()
    assert len(profiled.versions()) == 3


def test_no_version_is_made_when_there_were_never_any_facts(profiled: Profiled) -> None:
    profiled.imported([chat(1), chat(2)])
    profiled.run()
    assert [version.kind for version in profiled.versions()] == ["quick"]
