"""extraction.md §6: per thread, nothing truncated, no chunk over its limit, cut where a person would cut."""

from dataclasses import replace
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from msgspec import structs

from ray_import.chunks import chunker
from ray_import.chunks.chunker import chunk_conversation, estimate_tokens
from ray_import.chunks.rendering import rendered_text
from ray_import.errors import ConfigError
from ray_import.records import Chunk, Conversation, Message
from ray_import.settings import ChunkSettings
from tests.support.strategies import START, chunk_settings, kept_conversation, kept_conversations

SMALL = ChunkSettings(target_tokens=50, overlap_tokens=0)
OVERLAPPING = ChunkSettings(target_tokens=50, overlap_tokens=10)


def says(text: str, node_id: str = "m", role: str = "user", thread: str = "main", *attachments: str) -> Message:
    return Message(node_id, None, thread, True, role, float(START), text, attachments)


def talk(*texts: str) -> Conversation:
    """A user and an assistant in turn."""
    roles = ("user", "assistant")
    return kept_conversation(tuple(says(text, f"m{i}", roles[i % 2]) for i, text in enumerate(texts)))


def chunks_of(conversation: Conversation, settings: ChunkSettings = SMALL) -> list[Chunk]:
    return list(chunk_conversation(conversation, settings))


def contents(conversation: Conversation, settings: ChunkSettings = SMALL) -> list[str]:
    return [chunk.content for chunk in chunks_of(conversation, settings)]


# The rules, each checked on any conversation. What a chunk shows is read here anew, from its content and its spans.


def expected_before(message: Message) -> bytes:
    """What is shown of a message and is not its text."""
    attached = f"[attached: {', '.join(message.attachments)}]\n" if message.attachments else ""
    quote = "".join(f"> {line}\n" for line in message.quoted.split("\n")) + "\n" if message.quoted else ""
    return (attached + quote).encode()


def expected_render(message: Message) -> bytes:
    return expected_before(message) + message.text.encode()


def by_id(conversation: Conversation) -> dict[str, Message]:
    return {message.node_id: message for message in conversation.messages}


def header_of(conversation: Conversation, settings: ChunkSettings) -> str:
    """The whole title where it takes a quarter of a chunk at most, else its beginning."""
    header = f"# {conversation.title or 'Untitled'}"
    if len(header.encode()) <= settings.target_tokens:
        return header
    for length in range(len(header), 0, -1):
        cut = header[:length].rstrip() + "…"
        if len(header[:length].encode()) + len("…".encode()) <= settings.target_tokens:
            return cut
    raise AssertionError(header)


def shown_before(chunk: Chunk, header: str) -> list[bytes]:
    """What stands before each span, the label included."""
    content, ends = chunk.content.encode(), [len(header.encode())]
    ends += [span.at + span.end - span.start for span in chunk.spans]
    assert ends[-1] == len(content)
    assert content.startswith(header.encode())
    return [content[end : span.at] for end, span in zip(ends, chunk.spans, strict=False)]


def split_label(gap: bytes, role: str) -> tuple[bool, bytes]:
    """Whether the label says that the message continues, and what is shown behind it."""
    for continued in (True, False):
        label = f"\n\n{role.capitalize()}{' (continued)' if continued else ''}: ".encode()
        if gap.startswith(label):
            return continued, gap.removeprefix(label)
    raise AssertionError(gap)


@given(kept_conversations(), chunk_settings())
def test_chunk_conversation_gives_spans_that_lead_to_the_messages_own_text(
    conversation: Conversation, settings: ChunkSettings
) -> None:
    messages = by_id(conversation)
    for chunk in chunk_conversation(conversation, settings):
        content = chunk.content.encode()
        for span in chunk.spans:
            assert 0 <= span.start <= span.fresh <= span.end
            own = messages[span.node_id].text.encode()[span.start : span.end]
            assert content[span.at : span.at + span.end - span.start] == own
            assert len(own) == span.end - span.start


@given(kept_conversations(), chunk_settings())
def test_a_chunk_shows_its_title_and_its_pieces_labelled_and_nothing_else(
    conversation: Conversation, settings: ChunkSettings
) -> None:
    header, messages = header_of(conversation, settings), by_id(conversation)
    for chunk in chunk_conversation(conversation, settings):
        for span, gap in zip(chunk.spans, shown_before(chunk, header), strict=True):
            before = expected_before(messages[span.node_id])
            continued, shown = split_label(gap, messages[span.node_id].role)
            if span.start > 0:
                assert (continued, shown) == (True, b"")
            elif span.end > 0:
                assert before.endswith(shown)
                assert continued == (shown != before)
            else:
                assert shown in before if continued else before.startswith(shown)


@given(kept_conversations(), chunk_settings())
def test_the_new_pieces_of_a_threads_chunks_give_back_its_messages_exactly(
    conversation: Conversation, settings: ChunkSettings
) -> None:
    messages = by_id(conversation)
    new = dict.fromkeys(messages, b"")
    for chunk in chunk_conversation(conversation, settings):
        for span in chunk.spans:
            if span.end > span.fresh:
                assert len(new[span.node_id]) == span.fresh
                new[span.node_id] += messages[span.node_id].text.encode()[span.fresh : span.end]
    assert new == {message.node_id: message.text.encode() for message in conversation.messages}


@given(kept_conversations(), chunk_settings())
def test_attachments_and_quoted_words_are_shown_whole_when_chunks_cut_them(
    conversation: Conversation, settings: ChunkSettings
) -> None:
    settings = ChunkSettings(settings.target_tokens, 0)
    messages = by_id(conversation)
    shown = dict.fromkeys(messages, b"")
    for chunk in chunk_conversation(conversation, settings):
        for span, gap in zip(chunk.spans, shown_before(chunk, header_of(conversation, settings)), strict=True):
            shown[span.node_id] += split_label(gap, messages[span.node_id].role)[1]
    assert shown == {message.node_id: expected_before(message) for message in conversation.messages}


@given(kept_conversations(), chunk_settings())
def test_no_chunk_is_larger_than_its_target_and_its_tokens_are_its_bytes_by_four(
    conversation: Conversation, settings: ChunkSettings
) -> None:
    for chunk in chunk_conversation(conversation, settings):
        size = len(chunk.content.encode())
        assert size <= settings.target_tokens * 4
        assert (chunk.tokens - 1) * 4 < size <= chunk.tokens * 4


@given(kept_conversations(), chunk_settings())
def test_a_chunk_never_mixes_threads_and_a_threads_chunks_are_numbered(
    conversation: Conversation, settings: ChunkSettings
) -> None:
    threads = {message.node_id: message.thread for message in conversation.messages}
    chunks = chunks_of(conversation, settings)
    for chunk in chunks:
        assert {threads[span.node_id] for span in chunk.spans if not span.context} == {chunk.thread}
    groups = [(thread, list(group)) for thread, group in groupby(chunks, lambda chunk: chunk.thread)]
    assert [thread for thread, _ in groups] == list(dict.fromkeys(threads.values()))
    for _, group in groups:
        assert [chunk.index for chunk in group] == list(range(len(group)))
        assert {chunk.count for chunk in group} == {len(group)}


@given(kept_conversations(), chunk_settings())
def test_an_overlap_repeats_the_end_of_the_chunk_before_and_keeps_to_its_budget(
    conversation: Conversation, settings: ChunkSettings
) -> None:
    chunks = chunks_of(conversation, settings)
    for before, chunk in pairwise(chunks):
        repeated = [span for span in chunk.spans if span.fresh > span.start and not span.context]
        assert sum(span.fresh - span.start for span in repeated) <= settings.overlap_tokens * 4
        if chunk.index == 0:
            assert repeated == []
        shown_in_it = {span.node_id: span for span in before.spans}
        for span in repeated:
            assert shown_in_it[span.node_id].start <= span.start
            assert shown_in_it[span.node_id].end == span.fresh
        if repeated:
            # Where the text of the last one is still to come, what was shown of it is what stands before that.
            last = [span for span in before.spans if span.end > span.start][-1]
            assert (repeated[-1].node_id, repeated[-1].fresh) == (last.node_id, last.end)
    for chunk in chunks[:1]:
        assert all(span.fresh == span.start for span in chunk.spans)


@given(kept_conversations(), chunk_settings())
def test_every_chunk_has_something_new_and_is_dated_by_it(conversation: Conversation, settings: ChunkSettings) -> None:
    times = {message.node_id: message.create_time for message in conversation.messages}
    for chunk in chunk_conversation(conversation, settings):
        only_before = [span.node_id for span in chunk.spans if span.end == 0]
        new = [span.node_id for span in chunk.spans if span.end > span.fresh]
        assert chunk.node_ids == new + only_before != []
        assert len(only_before) <= 1
        assert chunk.created_at == times[chunk.node_ids[0]]


@given(kept_conversations(), chunk_settings())
def test_a_message_that_fits_a_chunk_is_not_cut(conversation: Conversation, settings: ChunkSettings) -> None:
    header = header_of(conversation, settings)
    room = settings.target_tokens * 4 - len(f"{header}\n\nAssistant: ".encode())
    messages = by_id(conversation)
    for chunk in chunk_conversation(conversation, settings):
        for span, gap in zip(chunk.spans, shown_before(chunk, header), strict=True):
            message = messages[span.node_id]
            if len(expected_render(message)) <= room and span.node_id in chunk.node_ids:
                assert (span.start, span.fresh, span.end) == (0, 0, len(message.text.encode()))
                assert split_label(gap, message.role) == (False, expected_before(message))


@given(kept_conversations(), chunk_settings())
def test_chunks_are_no_smaller_than_they_must_be(conversation: Conversation, settings: ChunkSettings) -> None:
    """The message after a chunk, where it fits with all that is new in the chunk, is in it."""
    labels = {message.node_id: len(f"\n\n{message.role}: ") for message in conversation.messages}
    sizes = {message.node_id: len(expected_render(message)) for message in conversation.messages}
    for before, after in pairwise(chunks_of(conversation, settings)):
        following = after.node_ids[0]
        if before.thread == after.thread and following not in before.node_ids:
            size = len(before.content.encode()) + labels[following] + sizes[following]
            assert size > settings.target_tokens * 4


@given(kept_conversations(), chunk_settings())
def test_the_same_conversation_gives_the_same_chunks(conversation: Conversation, settings: ChunkSettings) -> None:
    assert chunks_of(conversation, settings) == chunks_of(replace(conversation), settings)


# The context of a side thread


@given(kept_conversations(), chunk_settings())
def test_chunk_conversation_shows_context_once_when_a_side_thread_has_an_ancestor(
    conversation: Conversation, settings: ChunkSettings
) -> None:
    messages = by_id(conversation)
    header = header_of(conversation, settings)
    for chunk in chunk_conversation(conversation, settings):
        first = next(message for message in conversation.messages if message.thread == chunk.thread)
        context = [span for span in chunk.spans if span.context]
        if chunk.index or first.parent_id is None:
            assert context == []
        for span in context:
            ancestor = messages[span.node_id]
            assert span == chunk.spans[0]
            assert span.node_id == first.parent_id
            assert 0 < span.end == span.fresh == len(ancestor.text.encode())
            assert span.node_id not in chunk.node_ids
            gap = shown_before(chunk, header)[0]
            assert len(gap) + span.end - span.start <= settings.overlap_tokens * 4
            continued, shown = split_label(gap, ancestor.role)
            assert continued == (span.start > 0 or shown != expected_before(ancestor))
            assert expected_before(ancestor).endswith(shown)


def answers(ancestor: str, *texts: str, **of_ancestor: object) -> Conversation:
    """A question with an answer on the shown path, and other answers, each of them a side thread."""
    question = structs.replace(says(ancestor, "q"), **of_ancestor)
    shown = structs.replace(says("Shown.", "a", "assistant"), parent_id="q")
    others = [
        structs.replace(says(text, f"s{i}", "assistant", f"s{i}"), parent_id="q", on_active_path=False)
        for i, text in enumerate(texts)
    ]
    return kept_conversation((question, shown, *others))


def test_chunk_conversation_shows_the_whole_question_when_it_fits_the_overlap() -> None:
    conversation = answers("Why?", "Because.", attachments=("a.pdf",), quoted="It is\nso.")
    (side,) = [chunk for chunk in chunks_of(conversation, ChunkSettings(100, 50)) if chunk.thread == "s0"]
    assert side.content == "# Talk\n\nUser: [attached: a.pdf]\n> It is\n> so.\n\nWhy?\n\nAssistant: Because."
    assert [(span.node_id, span.start, span.end, span.context) for span in side.spans] == [
        ("q", 0, 4, True),
        ("s0", 0, 8, False),
    ]
    assert side.node_ids == ["s0"]


def test_chunk_conversation_cuts_context_at_a_word_when_it_exceeds_the_overlap() -> None:
    conversation = answers("So it goes, and so it went, until the very end.", "No.", "Yes.")
    sides = [chunk.content for chunk in chunks_of(conversation, OVERLAPPING) if chunk.thread != "main"]
    assert sides == [
        f"# Talk\n\nUser (continued): until the very end.\n\nAssistant: {text}" for text in ("No.", "Yes.")
    ]


def test_chunk_conversation_cuts_context_inside_the_quoted_words_when_the_text_is_short() -> None:
    conversation = answers("Why?", "Because.", quoted="The lake is deep. It is cold.")
    (side,) = [chunk for chunk in chunks_of(conversation, ChunkSettings(50, 11)) if chunk.thread == "s0"]
    assert side.content == "# Talk\n\nUser (continued): deep. It is cold.\n\nWhy?\n\nAssistant: Because."
    assert side.content[side.spans[0].at :].startswith("Why?")


def test_chunk_conversation_shows_the_end_of_a_word_when_the_word_is_longer_than_the_overlap() -> None:
    (side,) = [chunk for chunk in chunks_of(answers("漢" * 90, "No."), OVERLAPPING) if chunk.thread == "s0"]
    assert side.content == f"# Talk\n\nUser (continued): {'漢' * 6}\n\nAssistant: No."


@pytest.mark.parametrize(("size", "context"), [(158, "User (continued): it."), (159, ""), (181, "")])
def test_chunk_conversation_shortens_context_when_the_first_message_would_be_cut(size: int, context: str) -> None:
    conversation = answers("So it goes, say they who know it.", "x" * size)
    (side,) = [chunk for chunk in chunks_of(conversation, OVERLAPPING) if chunk.thread == "s0"]
    assert side.content == f"# Talk{context and f'{chr(10)}{chr(10)}{context}'}\n\nAssistant: {'x' * size}"


def test_chunk_conversation_shows_no_context_when_there_is_no_overlap() -> None:
    assert contents(answers("Why?", "Because."))[1] == "# Talk\n\nAssistant: Because."


def test_chunk_conversation_encodes_an_ancestor_once_when_many_threads_begin_below_it() -> None:
    reads = 0

    class Counted(str):
        __slots__ = ()

        def encode(self, *args: str) -> bytes:
            nonlocal reads
            reads += 1
            return super().encode(*args)

    conversation = answers(Counted("word " * 1000), *["No."] * 200)
    assert sum(chunk.thread != "main" for chunk in chunks_of(conversation, OVERLAPPING)) == 200
    assert reads <= 2


# Quoted words


def test_rendered_text_shows_quoted_words_as_a_quote_when_there_are_some() -> None:
    message = structs.replace(says("How deep?"), quoted="Lake Aru is deep.\n\nVery.")
    assert rendered_text(message) == "> Lake Aru is deep.\n> \n> Very.\n\nHow deep?"


def test_chunk_conversation_gives_an_empty_span_when_a_chunk_shows_quoted_words_alone() -> None:
    message = structs.replace(says("How deep?"), quoted="word " * 70 + "end")
    chunks = chunks_of(kept_conversation((message,)))
    assert len(chunks) == 3
    assert [(span.start, span.fresh, span.end) for chunk in chunks for span in chunk.spans] == [
        (0, 0, 0),
        (0, 0, 0) if "How" not in chunks[1].content else (0, 0, 9),
        (0, 0, 9),
    ]
    assert [chunk.node_ids for chunk in chunks] == [["m"]] * 3
    assert {chunk.created_at for chunk in chunks} == {float(START)}


# The form


def test_a_chunk_is_readable() -> None:
    first = says("What is this?", "a", "user", "main", "a.pdf", "b.png")
    answer = says("A plan.\n\nOf a house.", "b", "assistant")
    conversation = kept_conversation((first, answer), "Plans")
    assert contents(conversation) == [
        "# Plans\n\nUser: [attached: a.pdf, b.png]\nWhat is this?\n\nAssistant: A plan.\n\nOf a house."
    ]


def test_a_rendered_message_is_its_attachments_and_its_text() -> None:
    assert rendered_text(says("hi")) == "hi"
    assert rendered_text(says("hi", "m", "user", "main", "a.pdf", "b.png")) == "[attached: a.pdf, b.png]\nhi"


def test_without_messages_there_are_no_chunks() -> None:
    assert contents(kept_conversation(())) == []


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (8000, 2000), (8001, 2001)])
def test_tokens_are_bytes_by_four_rounded_up(size: int, tokens: int) -> None:
    assert estimate_tokens(size) == tokens


def test_the_default_is_2000_tokens_with_200_of_overlap() -> None:
    chunks = chunks_of(talk("An ordinary sentence. " * 2000), ChunkSettings())
    assert all(1900 <= chunk.tokens <= 2000 for chunk in chunks[:-1])
    assert all(700 <= chunk.spans[0].fresh - chunk.spans[0].start <= 800 for chunk in chunks[1:])


@pytest.mark.parametrize(("target", "overlap"), [(49, 0), (0, 0), (-1, 0), (50, 26), (50, -1), (2000, 1001)])
def test_sizes_that_leave_no_room_are_refused(target: int, overlap: int) -> None:
    with pytest.raises(ConfigError):
        ChunkSettings(target, overlap)


# Where it is cut


def test_cuts_are_between_messages_where_these_fit() -> None:
    texts = [f"{i} {'word ' * 18}end" for i in range(6)]
    assert contents(talk(*texts)) == [
        f"# Talk\n\nUser: {texts[i]}" if i % 2 == 0 else f"# Talk\n\nAssistant: {texts[i]}" for i in range(6)
    ]


def test_threads_are_cut_each_for_itself() -> None:
    messages = (
        says("q", "q"),
        says("old", "o", "assistant", "o"),
        says("new", "n", "assistant"),
        says("more", "p", "user", "o"),
    )
    assert contents(kept_conversation(messages), OVERLAPPING) == [
        "# Talk\n\nUser: q\n\nAssistant: new",
        "# Talk\n\nAssistant: old\n\nUser: more",
    ]


def test_a_long_message_is_cut_at_paragraphs_and_continued() -> None:
    one, two, three = ("".join(f"{word} " * 24).strip() for word in ("one", "two", "tri"))
    assert contents(talk(f"{one}.\n\n{two}.\n\n{three}.")) == [
        f"# Talk\n\nUser: {one}.\n\n",
        f"# Talk\n\nUser (continued): {two}.\n\n",
        f"# Talk\n\nUser (continued): {three}.",
    ]


def test_a_long_paragraph_is_cut_at_sentences_a_long_sentence_at_words() -> None:
    sentence = "word " * 29 + "word"
    assert contents(talk(f"{sentence}. {sentence}, {'and ' * 20}so on.")) == [
        f"# Talk\n\nUser: {sentence}. ",
        f"# Talk\n\nUser (continued): {sentence}, {'and ' * 5}",
        f"# Talk\n\nUser (continued): {'and ' * 15}so on.",
    ]


def test_what_follows_a_message_that_is_cut_goes_on_in_its_last_chunk() -> None:
    assert contents(talk("word " * 60 + "end", "short"))[-1].endswith("word end\n\nAssistant: short")


def test_a_message_too_long_for_a_chunk_begins_in_the_one_before_unless_little_room_is_left() -> None:
    long = "word " * 70 + "end"
    assert contents(talk("hi", long))[0].startswith("# Talk\n\nUser: hi\n\nAssistant: word word")
    assert contents(talk("hi " * 52, long))[0] == f"# Talk\n\nUser: {'hi ' * 52}"


# The overlap


def test_an_overlap_of_whole_messages_is_the_last_ones_that_fit() -> None:
    texts = ["first " * 15, "second", "third", "fourth " * 18]
    assert contents(talk(*texts), OVERLAPPING) == [
        f"# Talk\n\nUser: {texts[0]}\n\nAssistant: second\n\nUser: third",
        f"# Talk\n\nAssistant: second\n\nUser: third\n\nAssistant: {texts[3]}",
    ]


def test_an_overlap_out_of_a_longer_message_begins_at_a_boundary_and_is_marked_as_continued() -> None:
    texts = ["So it goes on. " * 11 + "And here it ends.", "answer " * 18]
    assert contents(talk(*texts), OVERLAPPING) == [
        f"# Talk\n\nUser: {texts[0]}",
        f"# Talk\n\nUser (continued): And here it ends.\n\nAssistant: {texts[1]}",
    ]


def test_a_chunk_whose_overlap_goes_back_beyond_the_message_it_continues_goes_forward_in_it() -> None:
    begun = "x" * 68 + ". "
    conversation = replace(talk("a" * 37, "hmm!", begun + "y" * 100), title="t" * 48)
    assert contents(conversation, ChunkSettings(50, 25))[1] == (
        f"# {'t' * 48}\n\nAssistant: hmm!\n\nUser: {begun}{'y' * 55}"
    )


def test_the_overlap_before_a_message_that_would_not_fit_beside_it_is_less() -> None:
    texts = ["So it goes on. " * 10 + "And here it ends. Yes.", "answer " * 25]
    assert contents(talk(*texts), OVERLAPPING) == [
        f"# Talk\n\nUser: {texts[0]}",
        f"# Talk\n\nAssistant: {texts[1]}",
    ]
    shorter = contents(talk(texts[0], "answer " * 21), OVERLAPPING)[1]
    assert shorter.startswith("# Talk\n\nUser (continued): it ends. Yes.\n")


def test_in_prose_every_overlap_begins_where_a_word_begins() -> None:
    text = " ".join(f"word{i}" for i in range(900))
    for chunk in chunks_of(talk(text), OVERLAPPING)[1:]:
        start = chunk.spans[0].start
        assert chunk.spans[0].fresh > start
        assert text[start - 1] == " "


def test_no_overlap_reaches_into_another_thread() -> None:
    messages = tuple(says(f"{i} " + "word " * 25, f"m{i}", "user", f"t{i % 2}") for i in range(8))
    for chunk in chunks_of(kept_conversation(messages), OVERLAPPING):
        assert {int(span.node_id[1]) % 2 for span in chunk.spans} == {int(chunk.thread[1])}


# Hard texts


def pieces_of(text: str, settings: ChunkSettings) -> list[str]:
    """What is new of a single message in each of its chunks."""
    raw = text.encode()
    return [raw[span.fresh : span.end].decode() for chunk in chunks_of(talk(text), settings) for span in chunk.spans]


@pytest.mark.parametrize("settings", [ChunkSettings(), ChunkSettings(50, 25)])
@pytest.mark.parametrize(
    "text",
    [
        "x" * 100_000,
        "漢" * 30_000,
        "🚀" * 25_000,
        "👩\u200d👩\u200d👧\u200d👦" * 4_000,
        "a\u0301" * 30_000,
        "```python\n" + "for i in range(9):\n\tprint(i)\n" * 3_000 + "```",
        "\n" * 100_000 + "end",
        " " * 100_000 + "end",
        "。" * 30_000 + "\n\n" * 1_000,
    ],
    ids=["word", "cjk", "emoji", "joined-emoji", "combining", "code", "newlines", "spaces", "full-stops"],
)
def test_a_text_that_is_hard_to_cut_is_cut_without_loss(text: str, settings: ChunkSettings) -> None:
    pieces = pieces_of(text, settings)
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= settings.target_tokens * 4 for piece in pieces)


def test_a_word_of_five_megabytes_is_cut_without_loss() -> None:
    text = "x" * 5_000_000
    assert "".join(pieces_of(text, ChunkSettings())) == text


# Titles and attachments


@pytest.mark.parametrize(
    ("title", "header"),
    [
        ("Plans", "# Plans"),
        ("", "# Untitled"),
        ("t" * 48, "# " + "t" * 48),
        ("t" * 49, "# " + "t" * 45 + "…"),
        ("漢" * 400, "# " + "漢" * 15 + "…"),
        ("🚀" * 13, "# " + "🚀" * 11 + "…"),
        ("a" * 44 + " word and more", "# " + "a" * 44 + "…"),
    ],
)
def test_the_title_is_on_every_chunk_and_takes_a_quarter_of_it_at_most(title: str, header: str) -> None:
    conversation = replace(talk("word " * 200), title=title)
    found = contents(conversation)
    assert len(found) > 2
    assert {content.split("\n\n")[0] for content in found} == {header}
    assert len(header.encode()) <= SMALL.target_tokens


def test_a_long_list_of_attachments_is_cut_like_text() -> None:
    names = [f"scan {i}.pdf" for i in range(200)]
    message = says("Read these.", "m", "user", "main", *names)
    chunks = chunks_of(kept_conversation((message,)), OVERLAPPING)
    assert len(chunks) > 10
    assert all(any(name in chunk.content for chunk in chunks) for name in names)
    assert chunks[-1].content.endswith("]\nRead these.")
    assert [(span.start, span.fresh, span.end) for chunk in chunks for span in chunk.spans] == [
        *[(0, 0, 0)] * (len(chunks) - 1),
        (0, 0, len("Read these.")),
    ]


@given(kept_conversations(), chunk_settings())
def test_the_chunks_are_the_same_when_a_thread_is_encoded_message_by_message(
    conversation: Conversation, settings: ChunkSettings
) -> None:
    chunks = list(chunk_conversation(conversation, settings))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chunker, "ENCODED_CHARACTERS", 0)
        patched.setattr(chunker, "ENCODED_MESSAGES", 1)
        assert list(chunk_conversation(conversation, settings)) == chunks
