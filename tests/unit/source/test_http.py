"""What the headers of an answer tell of which content it is."""

import pytest

from ray_import.source.http import _told_of_content

EARLIER, LATER = "Sat, 01 Jan 2000 10:00:00 GMT", "Sat, 01 Jan 2000 10:00:01 GMT"


@pytest.mark.parametrize(
    ("modified", "date", "shows_changes"),
    [(EARLIER, LATER, True), (LATER, LATER, False), (LATER, EARLIER, False), (EARLIER, "", False), ("", LATER, False)],
)
def test_date_shows_changes_when_it_is_older_than_the_answer(modified: str, date: str, shows_changes: bool) -> None:
    told = _told_of_content({"last-modified": modified, "date": date})
    assert (told.version, told.modified, told.shows_changes) == (modified, modified, shows_changes)


def test_strong_etag_shows_changes_when_there_is_no_date() -> None:
    told = _told_of_content({"etag": '"one"', "last-modified": LATER, "date": LATER})
    assert (told.version, told.modified, told.shows_changes) == ('"one"', "", True)


def test_weak_etag_does_not_show_changes_when_there_is_no_date() -> None:
    told = _told_of_content({"etag": 'W/"one"', "date": LATER})
    assert (told.version, told.shows_changes) == ('"one"', False)
