"""The kinds of turn a conversation is made of: a prompt, what the tools did, an answer.

Every kind is a function that hangs its messages under a node and returns the key of the last one.
Their shares follow a census of a real account.
"""

from collections.abc import Callable
from itertools import accumulate

from tests.support.synthetic.scene import Scene, text_content

Turn = Callable[[Scene, str], str]


def chat(scene: Scene, parent: str) -> str:
    """A prompt and its answer; now and then the answer was generated twice."""
    asked = scene.ask(parent)
    if scene.chance(0.06):
        scene.answer(asked)
    return scene.answer(asked)


def search(scene: Scene, parent: str) -> str:
    """A web search of 2025: a call, a result without text, an answer with U+E200 marks."""
    called = scene.call(scene.ask(parent), "web.run", f'{{"search_query":[{{"q":"{scene.words()}"}}]}}')
    found = scene.result(called, "web.run", text_content(""))
    text, metadata = scene.pick(scene.stock.searched)
    return scene.answer(found, text + scene.pick(scene.prose.paragraphs), metadata)


def browse(scene: Scene, parent: str) -> str:
    """A web search of 2023: a result page, quotes, an answer with lenticular marks."""
    shown = scene.result(
        scene.call(scene.ask(parent), "browser", f'search("{scene.words()}")'),
        "browser",
        {
            "content_type": "tether_browsing_display",
            "result": scene.pick(scene.prose.pages),
            "summary": None,
            "assets": None,
            "tether_id": None,
        },
    )
    text, metadata = scene.pick(scene.stock.browsed)
    return scene.answer(scene.quote(shown, "browser", "https://www.example.org/page"), text, metadata)


def uploaded_file(scene: Scene, parent: str) -> str:
    """A question about files, whose contents appear as quotes of the tool."""
    last = scene.ask(parent, metadata=scene.pick(scene.stock.with_files))
    for _ in range(scene.count(1, 7)):
        last = scene.quote(last, "myfiles_browser", "file-id://file-abc")
    return scene.answer(last, scene.pick(scene.prose.answers) + " \ue200filecite\ue202turn0file0\ue202L1-L9\ue201")


def python(scene: Scene, parent: str) -> str:
    called = scene.call(scene.ask(parent), "python", scene.pick(scene.prose.answers))
    output: dict[str, object] = {
        "content_type": "execution_output",
        "text": scene.pick(scene.prose.paragraphs),
    }
    ran = scene.result(called, "python", output, scene.pick(scene.stock.execution))
    return scene.answer(ran, f"[Download it](sandbox:/mnt/data/out.csv)\n\n{scene.pick(scene.prose.paragraphs)}")


def thinking(scene: Scene, parent: str) -> str:
    """A model that reasons: hidden thoughts and a recap before the answer."""
    thought = {"summary": scene.pick(scene.prose.sentences), "content": scene.pick(scene.prose.paragraphs)}
    step = thought | {"chunks": [], "finished": True}
    metadata = scene.pick(scene.stock.thinking)
    thoughts: dict[str, object] = {"content_type": "thoughts", "thoughts": [step] * scene.count(1, 3)}
    last = scene.tree.add(scene.ask(parent), "assistant", thoughts, metadata)
    recap: dict[str, object] = {"content_type": "reasoning_recap", "content": "Thought for 12s"}
    return scene.answer(scene.tree.add(last, "assistant", recap, metadata))


def voice(scene: Scene, parent: str) -> str:
    """Spoken turns, whose only text is in `audio_transcription` parts."""
    last = parent
    for role, direction in (("user", "in"), ("assistant", "out")):
        sound = {
            "content_type": "audio_asset_pointer",
            "asset_pointer": scene.file(),
            "format": "wav",
            "size_bytes": 91_244,
        }
        if role == "user":
            sound = {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer": sound}
        spoken = " ".join(scene.pick(scene.prose.sentences) for _ in range(scene.count(1, 4)))
        heard = {
            "content_type": "audio_transcription",
            "text": spoken,
            "direction": direction,
            "decoding_id": None,
        }
        content: dict[str, object] = {"content_type": "multimodal_text", "parts": [heard, sound]}
        last = scene.tree.add(last, role, content, scene.pick(scene.stock.voice))
    return last


def shown_image(scene: Scene, parent: str) -> str:
    """A picture with a question."""
    parts = [scene.image(), scene.words()]
    asked = scene.tree.add(
        parent, "user", {"content_type": "multimodal_text", "parts": parts}, scene.pick(scene.stock.user)
    )
    return scene.answer(asked)


def drawn_image(scene: Scene, parent: str) -> str:
    """A picture that the assistant had drawn."""
    called = scene.call(scene.ask(parent), "dalle.text2im", f'{{"prompt":"{scene.words()}","size":"1024x1024"}}')
    drawn: dict[str, object] = {"content_type": "multimodal_text", "parts": [scene.image()]}
    return scene.answer(scene.result(called, "dalle.text2im", drawn))


def canvas(scene: Scene, parent: str) -> str:
    """A document written beside the chat; it travels in a tool call."""
    document = f'{{"name":"draft","type":"document","content":"{scene.words()}"}}'
    called = scene.call(scene.ask(parent), "canmore.create_textdoc", document)
    done = text_content("Successfully created text document.")
    return scene.answer(scene.result(called, "canmore.create_textdoc", done), scene.words())


def remembered(scene: Scene, parent: str) -> str:
    """A memory being written."""
    called = scene.tree.add(
        scene.ask(parent),
        "assistant",
        text_content(scene.words()),
        scene.pick(scene.stock.call),
        recipient="bio",
    )
    return scene.answer(scene.result(called, "bio", text_content("Model set context updated.")))


SHARES: dict[Turn, float] = {
    chat: 0.695,
    search: 0.08,
    browse: 0.05,
    uploaded_file: 0.035,
    thinking: 0.04,
    python: 0.03,
    voice: 0.025,
    remembered: 0.015,
    shown_image: 0.02,
    drawn_image: 0.01,
    canvas: 0.01,
}
KINDS = tuple(SHARES)
CUMULATIVE_SHARES = tuple(accumulate(SHARES.values()))
