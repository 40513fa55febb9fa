"""Random texts, put together from the pieces of rules §5: marks, frames, fences, data, links, plain words."""

import json
from collections.abc import Callable
from random import Random

Piece = Callable[[Random], str]

WORDS = (
    "the", "river", "cited", "linked", "is", "deep", "entity", "map", "turn", "write", "café", "橋は古い", "重要",
    "한글", "👩\u200d🚀", "a_b", "x*y", "3.5", "(see", "below)", "end.",
    "\ue000", "\uf0c9", "\ue601", "\ue142", "†", "sandbox",
)  # fmt: skip
REFERENCES = ("turn0search1", "turn2news26", "turn5view0", "turn0product3", "turn1file2", "turn12image4")
NAMES = ("Nordwind Glide 2", "Tromsdal", "Café Blå", "橋", "A, B", "M.A.")
GONE_KINDS = ("cite", "filecite", "memcite", "image_group", "map", "forecast")
NAMED_KINDS = ("entity", "product_entity", "product", "business", "hotel", "place", "trail")
FRAME_NAMES = ("writing", "writing", "writing", "contextList", "contextList", "warning", "note", "details")
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def words(rng: Random) -> str:
    """A few plain words."""
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 4)))


def _payload(rng: Random) -> str:
    """A mark's payload that names something, or does not."""
    name, reference = rng.choice(NAMES), rng.choice(REFERENCES)
    value: object = rng.choice(
        (
            [reference, name], [reference, name], {"title": name, "ref": reference}, {"name": name},
            {"title": reference, "name": name}, {"name": reference}, [reference, rng.choice(REFERENCES)],
            [reference], {"title": ""}, {"title": name, "name": "other"},
        )
    )  # fmt: skip
    return json.dumps(value, ensure_ascii=rng.random() < 0.3, separators=rng.choice(((",", ":"), (", ", ": "))))


def _inside(rng: Random, part: str) -> str:
    """Kind and fields of a mark, its fields parted by `part`."""
    choice = rng.randrange(9)
    if choice <= 1:
        kind = rng.choice(GONE_KINDS)
        return kind + "".join(part + reference for reference in rng.choices(REFERENCES, k=rng.randint(1, 3)))
    if choice <= 4:
        return rng.choice(NAMED_KINDS) + part + _payload(rng)
    if choice == 5:
        return f"link_title{part}{rng.choice(NAMES)}{part}{rng.choice(REFERENCES)}"
    if choice == 6:
        first = rng.choice((rng.choice(NAMES), json.dumps({"title": rng.choice(NAMES)}), rng.choice(REFERENCES)))
        return f"{rng.choice(('video', 'navlist'))}{part}{first}{part}{rng.choice(REFERENCES)}"
    if choice == 7:
        return f"products{part}{json.dumps(_products(rng), ensure_ascii=False)}"
    return f"entity{part}" + json.dumps([rng.choice(("company", "place")), rng.choice(NAMES), "hint"])


def _products(rng: Random) -> object:
    items: list[object] = [
        rng.choice(([reference, name], {"name": name}, {"title": name}))
        for reference, name in zip(rng.choices(REFERENCES, k=3), rng.choices(NAMES, k=3), strict=True)
    ]
    items = items[: rng.randint(1, 3)]
    return rng.choice((items, {"selections": items, "tags": ["light"]}))


def mark(rng: Random) -> str:
    """A private-use mark: complete most of the time, of today's encoding most of the time."""
    opener, part, end = rng.choice(
        (("\ue200", "\ue202", "\ue201"),) * 4 + (("\ue600", "\ue602", "\ue601"), ("\ue142", "\ue142", "\ue141"))
    )
    complete = opener + _inside(rng, part) + end
    choice = rng.random()
    if choice < 0.07:
        return complete[:-1] + rng.choice((" ", "\n"))
    if choice < 0.1:
        return f"\ue200cite\ue202{complete}"
    if choice < 0.14:
        return f"\ue203{words(rng)}\ue204"
    return complete


def lenticular(rng: Random) -> str:
    """A mark, or words, in lenticular brackets."""
    return rng.choice(
        (
            "【12†source】", "【3:0†source】", "【4†L123-L131】", "【5†a】【6†b】", "【oaicite:0】", "【重要】", "【",
            '【{"image_fetch": "a box"}】', '【{"image_fetch": {"q": ["a", "b"]}}】', "【{not json}】", "【[1]】",
        )
    )  # fmt: skip


def leftover(rng: Random) -> str:
    """What is left of a mark whose private-use characters are lost; or a word that looks like it."""
    return rng.choice(
        (
            "citeturn0search3",
            "fileciteturn1file2",
            "citeturn0search1turn2news26",
            "citeturn",
            "cited",
            "cite turn0search1",
        )
    )


def link(rng: Random) -> str:
    """A link to the sandbox, or to elsewhere."""
    return rng.choice(
        ("[the file](sandbox:/mnt/data/x.csv)", "[x](https://example.org/a)", "[橋](sandbox:/mnt/data/橋.pdf)",
         "sandbox:/mnt/data/y.csv", "[a] (b)", "![plot](sandbox:/mnt/data/p.png)", "[a [b] c](sandbox:/mnt/data/x.csv)",
         "[x](sandbox:/mnt/data/x (1).csv)", "[`x.csv`](sandbox:/mnt/data/x.csv)")
    )  # fmt: skip


def data(rng: Random) -> str:
    """Inline data on one line."""
    run = "".join(rng.choices(BASE64, k=rng.choice((16, 40, 120, 260, 400)))) + rng.choice(("", "=", "=="))
    uri = f"data:{rng.choice(('image/png', 'text/plain', 'font/woff2;charset=utf-8'))};base64,{run}"
    if rng.random() < 0.2:
        uri = uri.replace("/", "\\/")
    return rng.choice(("{}", '<img src="{}">', "url({})", '{{"url":"{}"}}', "see {} there")).format(uri)


def wrapped_data(rng: Random) -> str:
    """Inline data over several lines, wrapped or not, and words behind it."""
    width = rng.choice((40, 60, 64, 76, 128, 130))
    lines = ["".join(rng.choices(BASE64, k=width)) for _ in range(rng.randint(1, 4))]
    last = rng.choice(("", "".join(rng.choices(BASE64, k=rng.randint(3, 39))) + "9=", "End", "done4"))
    if last:
        lines.append(last)
    end = rng.choice(('">', ")", "", "\n", "\nmore words", '" x'))
    return "data:image/png;base64," + rng.choice(("", "\n")) + "\n".join(lines) + end


def code_span(rng: Random) -> str:
    """Inline code with something in it that would go outside."""
    ticks = "`" * rng.choice((1, 1, 1, 2, 3))
    inside = rng.choice((mark, lenticular, leftover, link, words, data))(rng).replace("\n", " ")
    return f"{ticks}{inside}{ticks}" if len(ticks) < 3 else f"a {ticks}{inside}{ticks}"


def odd_characters(rng: Random) -> str:
    """NUL, line ends of other systems, surrogates that stand alone."""
    return rng.choice(
        ("a\0b", "a\r\nb", "\ud83d", "x\ude00y", "😀", "a\u2028b", "\ue200", "\ue201", "\ue206", "`", "~~~")
    )


INLINE: tuple[Piece, ...] = (
    words,
    words,
    words,
    mark,
    mark,
    mark,
    lenticular,
    leftover,
    link,
    code_span,
    data,
    odd_characters,
)


def line(rng: Random) -> str:
    """Inline pieces side by side."""
    text = ""
    for _ in range(rng.randint(1, 4)):
        text += rng.choice((" ", " ", "")) + rng.choice(INLINE)(rng)
    return text.lstrip(" ")


def paragraph(rng: Random) -> str:
    """One to three lines."""
    return "\n".join(line(rng) for _ in range(rng.randint(1, 3)))


def fence(rng: Random) -> str:
    """Fenced code with something in it that would go outside; seldom without its end."""
    ticks = rng.choice(("```", "```", "~~~", "````"))
    inside = [rng.choice((line, words, frame_line, wrapped_data))(rng) for _ in range(rng.randint(0, 3))]
    lines = [ticks + rng.choice(("", "python", " js"))]
    lines += [one for one in "\n".join(inside).split("\n") if not one.lstrip().startswith(("```", "~~~"))]
    if rng.random() < 0.85:
        lines.append(ticks)
    return "\n".join(lines)


def frame_line(rng: Random) -> str:
    """A single line of a frame, out of its place."""
    return rng.choice((":::", "::::", ":::writing", ":::contextList", ":::warning", ":: :"))


def _attributes(rng: Random) -> str:
    values = {
        "variant": "email", "id": "12345", "subject": rng.choice(("Order 4711", 'Say \\"hi\\" now', "a } b", "")),
        "recipient": "shop@example.org", "title": rng.choice(("Note", "橋")),
    }  # fmt: skip
    names = rng.sample(sorted(values), k=rng.randint(0, 4))
    return "{" + " ".join(f'{name}="{values[name]}"' for name in names) + "}"


def frame(rng: Random, depth: int = 0) -> str:
    """A frame with a body; seldom without its end; other frames may be in it."""
    colons = ":" * rng.choice((3, 3, 3, 4, 5))
    name = rng.choice(FRAME_NAMES)
    opening = colons + name
    if name == "writing" and rng.random() < 0.7:
        opening += _attributes(rng)
    if rng.random() < 0.2:
        opening += " same line words"
    body = [rng.choice((paragraph, closed_fence, words))(rng) for _ in range(rng.randint(0, 2))]
    if depth < 2 and rng.random() < 0.3:
        body.insert(rng.randint(0, len(body)), frame(rng, depth + 1))
    lines = [opening, *body]
    if rng.random() < 0.85:
        lines.append(colons + rng.choice(("", "", ":", "   ")))
    return rng.choice(("\n", "\n\n")).join(lines) if rng.random() < 0.3 else "\n".join(lines)


def closed_fence(rng: Random) -> str:
    """A fence with its end."""
    return f"```\n{line(rng)}\n:::\n```".replace("\n~~~", "\n").replace("\n```\n```", "\n```")


CONTAINERS = (("- ", "  "), ("1. ", "   "), ("> ", "> "), ("  - ", "    "), ("> - ", ">   "), ("* a\n  ", "  "))


def in_container(rng: Random) -> str:
    """A block in a list item or a quote, and seldom a line right behind it that is in neither."""
    block = rng.choice((fence, fence, paragraph, frame, wrapped_data))(rng)
    first, rest = rng.choice(CONTAINERS)
    text = first + block.replace("\n", "\n" + rest)
    return text + "\n" + line(rng) if rng.random() < 0.4 else text


def bullets(rng: Random) -> str:
    """A list of which some items are a mark alone."""
    return "\n".join(f"- {rng.choice((mark, line))(rng)}" for _ in range(rng.randint(1, 4)))


def heading(rng: Random) -> str:
    """A heading."""
    return "## " + line(rng)


BLOCKS: tuple[Piece, ...] = (
    paragraph, paragraph, paragraph, paragraph, fence, frame, frame, in_container, wrapped_data, bullets, heading,
    frame_line,
)  # fmt: skip


def text(rng: Random) -> str:
    """A message's text."""
    choice = rng.random()
    if choice < 0.3:
        return words(rng)
    if choice < 0.36:
        return rng.choice(("", " ", "\n", mark(rng), lenticular(rng), "\0"))
    blocks = [rng.choice(BLOCKS)(rng) for _ in range(rng.randint(1, 4))]
    return rng.choice(("\n\n", "\n\n", "\n")).join(blocks)


def title(rng: Random) -> object:
    """A title: usually of inline pieces."""
    choice = rng.random()
    if choice < 0.1:
        return rng.choice((None, "", 7, [], "a" * 301, "x " * 200, "a\nb\r\n c"))
    pieces = (rng.choice((words, words, mark, lenticular, leftover, link))(rng) for _ in range(rng.randint(1, 3)))
    return " ".join(piece.rstrip() for piece in pieces)
