"""Answers with the citation marks of both generations of search, and the metadata that resolves them."""

from random import Random

from tests.support.synthetic.prose import Prose

CITE, SEPARATOR, END = "\ue200", "\ue202", "\ue201"
HIGHLIGHT, HIGHLIGHT_END = "\ue203", "\ue204"
Reference = dict[str, object]


def webpage(rng: Random, prose: Prose) -> dict[str, object]:
    """Title, address and snippet of a made-up page; the first key is `title`, as in real files."""
    site = f"www.example-{rng.randrange(900)}.org"
    return {
        "title": rng.choice(prose.sentences)[:60],
        "url": f"https://{site}/{rng.getrandbits(48):x}?utm_source=chatgpt.com",
        "pub_date": None,
        "snippet": rng.choice(prose.sentences),
        "attribution": site,
    }


def private_use_answer(rng: Random, prose: Prose) -> tuple[str, dict[str, object]]:
    """Text with U+E200 marks, and its `content_references` and `search_result_groups`.

    Offsets count code points, as in real files. `attribution` references cover visible words.
    """
    text, references = "", list[Reference]()
    for index in range(rng.randint(2, 6)):
        sentence = rng.choice(prose.sentences)
        if rng.random() < 0.1:
            sentence = f"{CITE}entity{SEPARATOR}{[*'ab']!r}{END} {sentence}".replace("'", '"')
        if rng.random() < 0.1:
            sentence = f"{HIGHLIGHT}{sentence}{HIGHLIGHT_END}"
        if index % 3 == 1:
            references.append(_reference("attribution", sentence, len(text)))
        text += sentence + " "
        mark = f"{CITE}cite{SEPARATOR}turn0search{index}{SEPARATOR}turn0news{index}{END}"
        page = webpage(rng, prose)
        cited = _reference("grouped_webpages", mark, len(text))
        cited |= {
            "alt": f"([{page['attribution']}]({page['url']}))",
            "items": [page | {"supporting_websites": []}],
        }
        references.append(cited)
        text += mark + "\n\n"
    references.append(_reference("sources_footnote", " ", len(text)))
    groups = [
        {"type": "search_result_group", "domain": page["attribution"], "entries": [_entry(page, index)]}
        for index, page in enumerate(webpage(rng, prose) for _ in range(rng.randint(2, 6)))
    ]
    return text + " ", {"content_references": references, "search_result_groups": groups, "citations": []}


def lenticular_answer(rng: Random, prose: Prose) -> tuple[str, dict[str, object]]:
    """Text with marks such as 【3†source】, and its `citations`."""
    text, citations = "", list[Reference]()
    for index in range(rng.randint(1, 5)):
        text += rng.choice(prose.sentences)
        mark = rng.choice((f"【{index}†source】", f"【{index}:0†source】", f"【{index}†L{index}-L{index + 9}】"))
        citations.append(
            {
                "start_ix": len(text),
                "end_ix": len(text) + len(mark),
                "citation_format_type": "tether_og",
                "metadata": webpage(rng, prose)
                | {"type": "webpage", "text": rng.choice(prose.paragraphs), "extra": None},
            }
        )
        text += mark + " "
    return text, {"citations": citations, "content_references": []}


def _reference(kind: str, matched_text: str, start: int) -> Reference:
    return {
        "matched_text": matched_text,
        "start_idx": start,
        "end_idx": start + len(matched_text),
        "safe_urls": [],
        "refs": [],
        "alt": "",
        "prompt_text": None,
        "type": kind,
        "invalid": False,
    }


def _entry(page: dict[str, object], index: int) -> dict[str, object]:
    reference = {"turn_index": 0, "ref_type": "search", "ref_index": index}
    return {"type": "search_result", **page, "ref_id": reference}
