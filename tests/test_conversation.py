"""Speaking in conversation, with a whole model of random weights: seeds, streams, memory, interruption, failures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import duologue
from duologue.api import Model
from duologue.audio import Audio
from duologue.conversation import Conversation, Turn
from duologue.errors import AudioError, ContextTooLong, EmptySpeech, InputError, Runaway, SpeechError
from duologue.speaking import GenerationConfig, seed_of

from .tiny import speech_like

TEXT = "Hello there. How are you today? I am fine."
LOOSE = GenerationConfig(check=False)  # noise has no right length


def test_a_seed_gives_the_same_audio_whole_and_streamed(tiny_model: Model) -> None:
    whole = tiny_model.generate(TEXT, seed=11, check=False)
    again = tiny_model.generate(TEXT, seed=11, check=False)
    streamed = np.concatenate(list(tiny_model.stream(TEXT, seed=11, check=False)))
    assert np.array_equal(whole.samples, again.samples)
    assert np.array_equal(whole.samples, streamed)
    assert not np.array_equal(whole.samples, tiny_model.generate(TEXT, seed=12, check=False).samples)


def test_the_seed_is_always_reported_and_repeats_the_speech(tiny_model: Model) -> None:
    first = tiny_model.generate("Hello there.", check=False)
    assert first.seed is not None
    assert np.array_equal(first.samples, tiny_model.generate("Hello there.", seed=first.seed, check=False).samples)


def test_the_first_chunk_is_one_frame(tiny_model: Model) -> None:
    stream = tiny_model.stream(TEXT, seed=1, check=False)
    assert len(next(stream)) == 1920
    stream.close()


def test_the_engines_agree(tiny_folder: Path, tiny_model: Model) -> None:
    plain = duologue.load(tiny_folder, device="cpu", engine="torch")
    assert plain.engine.name == "torch-cpu-float32"
    ours, theirs = (model.generate(TEXT, seed=3, check=False).samples for model in (plain, tiny_model))
    assert len(ours) == len(theirs) and np.abs(ours - theirs).max() < 1e-2


def test_the_report_tells_how_it_went(tiny_model: Model) -> None:
    audio = tiny_model.generate(TEXT, seed=5, check=False)
    report = audio.report
    assert report is not None and report.seed == 5 and report.engine == tiny_model.engine.name
    assert [part.text for part in report.parts] == ["Hello there.", "How are you today?", "I am fine."]
    assert report.parts[0].seed == 5 and len({part.seed for part in report.parts}) == 3
    assert report.seconds == audio.seconds and report.attempts == 3 and report.stop == "end"
    assert 0 < report.first_audio_seconds <= report.elapsed_seconds
    assert report.real_time_factor == report.elapsed_seconds / report.seconds
    assert report.to_dict()["attempts"] == 3


def test_max_seconds_limits_the_whole_speech(tiny_model: Model) -> None:
    audio = tiny_model.generate(TEXT * 4, seed=5, max_seconds=1.0, check=False)
    assert audio.seconds <= 1.0 and audio.report is not None and audio.report.stop == "max_seconds"


def test_own_speech_is_not_encoded_again_and_changes_what_follows(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = tiny_model.conversation("one", options=LOOSE)
    monkeypatch.setattr(type(tiny_model.codec), "encode", lambda *_: pytest.fail("own speech was encoded"))
    conversation.say("Hello there.", seed=1)
    with_past = conversation.say("How are you?", seed=2)
    without = tiny_model.conversation("one", options=LOOSE).say("How are you?", seed=2)
    assert not np.array_equal(with_past.samples, without.samples)
    assert [turn.own for turn in conversation.turns] == [True, True]


def test_what_was_heard_changes_what_is_said(tiny_model: Model) -> None:
    said = []
    for number in (0, 1, None):
        conversation = tiny_model.conversation("one", options=LOOSE)
        if number is not None:
            conversation.hear(Audio(speech_like(2.0, number)), "What is your name?", speaker=1)
        said.append(conversation.say("My name is one.", seed=4).samples.tobytes())
    assert len(set(said)) == 3


def test_a_turn_known_only_by_its_words_can_be_heard(tiny_model: Model) -> None:
    conversation = tiny_model.conversation("one", options=LOOSE)
    conversation.hear(None, "Good morning.", speaker=1)
    assert conversation.turns[0].frames == 0
    assert conversation.say("Good morning to you.", seed=1).seconds > 0


def test_silence_and_wordless_turns_are_not_heard(tiny_model: Model) -> None:
    conversation = tiny_model.conversation("one")
    with pytest.raises(AudioError, match="silent"):
        conversation.hear(np.zeros(24_000, np.float32), "Hello.", rate_hz=24_000)
    with pytest.raises(InputError):
        conversation.hear(Audio(speech_like(1.0)), " … ")
    assert conversation.turns == []


def test_context_turns_and_a_conversation_are_the_same(tiny_model: Model) -> None:
    heard = Audio(speech_like(1.5, 1))
    direct = tiny_model.generate("Fine.", voice="one", context=[Turn(1, "How are you?", heard)], seed=9, check=False)
    conversation = tiny_model.conversation("one", options=LOOSE)
    conversation.hear(heard, "How are you?", 1)
    assert np.array_equal(direct.samples, conversation.say("Fine.", seed=9).samples)


def test_a_voice_is_read_once_and_shared(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_model.conversation("two")
    rows: list[int] = []
    engine, original = tiny_model.engine, tiny_model.engine.prefill
    monkeypatch.setattr(engine, "prefill", lambda cache, new, at: (rows.append(len(new)), original(cache, new, at)))
    first, second = tiny_model.conversation("two"), tiny_model.conversation("two")
    assert rows == []
    first.say("Hello.", seed=1, options=LOOSE)
    assert second.context_seconds == pytest.approx(first.context_seconds - first.turns[0].frames * 0.08)


def test_the_oldest_turns_leave_but_never_the_voice(tiny_model: Model) -> None:
    conversation = tiny_model.conversation("one", options=LOOSE)
    prompt = conversation.context_seconds
    said = []
    for number in range(6):
        conversation.hear(Audio(speech_like(9.0, number)), f"This is turn {number} of many.", speaker=1)
        said.append(conversation.say("Yes.", seed=number))
    assert conversation.dropped and conversation.dropped[0].text.startswith("This is turn zero")
    assert conversation.turns[-1].text == "Yes." and conversation.context_seconds > prompt
    reports = [audio.report for audio in said]
    assert all(report is not None for report in reports)
    remembered = [turn.text for turn in (*conversation.dropped, *conversation.turns)]
    assert remembered == [text for n in range(6) for text in (_numbered(n), "Yes.")]


def _numbered(number: int) -> str:
    from duologue.text.normalize import normalize

    return normalize(f"This is turn {number} of many.")


def test_a_turn_that_can_never_fit_is_refused(tiny_model: Model) -> None:
    conversation = tiny_model.conversation("one", options=LOOSE)
    with pytest.raises(ContextTooLong) as caught:
        conversation.hear(Audio(speech_like(45.0)), "A very long turn.")
    assert caught.value.hint


def test_interruption_keeps_what_was_heard(tiny_model: Model) -> None:
    conversation = tiny_model.conversation("one", options=LOOSE)
    conversation.hear(Audio(speech_like(1.0)), "Go on.", speaker=1)
    audio = conversation.say("One two three four five six seven eight nine ten eleven twelve.", seed=2)
    words = conversation.cut(audio.seconds / 2).split()
    assert 3 <= len(words) <= 9 and words[0] == "One"
    frames = conversation.turns[-1].frames
    assert frames == int(audio.seconds / 2 * 12.5 + 1e-9)
    assert conversation.cut(100.0).split() == words and conversation.turns[-1].frames == frames
    conversation.say("Where was I?", seed=3)
    conversation.cut(0.0)
    assert [turn.text for turn in conversation.turns] == [
        "Go on.",
        *([" ".join(words)] if conversation.turns[1:] else []),
    ]


def test_interrupting_nobody_is_an_error(tiny_model: Model) -> None:
    with pytest.raises(InputError, match="no own turn"):
        tiny_model.conversation("one").cut(1.0)


def test_closing_a_stream_keeps_what_was_spoken(tiny_model: Model) -> None:
    conversation = tiny_model.conversation("one", options=LOOSE)
    speech = conversation.stream(TEXT, seed=1)
    for _ in range(3):
        next(speech)
    speech.close()
    assert conversation.turns[-1].frames >= 3 and speech.report.stop == "closed"
    assert conversation.say("Hello again.", seed=2).seconds > 0


def test_a_saved_conversation_goes_on_as_if_nothing_happened(tiny_model: Model, tmp_path: Path) -> None:
    conversation = tiny_model.conversation({0: "one", 1: "two"}, options=LOOSE)
    conversation.hear(Audio(speech_like(1.0)), "Hello.", speaker=1)
    conversation.say("Hello to you.", seed=1)
    conversation.save(tmp_path / "c.safetensors")
    resumed = tiny_model.resume(tmp_path / "c.safetensors", LOOSE)
    assert isinstance(resumed, Conversation) and [t.text for t in resumed.turns] == [t.text for t in conversation.turns]
    ours, theirs = (each.say("How are you?", seed=2).samples for each in (conversation, resumed))
    assert len(ours) == len(theirs) and np.abs(ours - theirs).max() < 1e-2


def test_a_conversation_of_another_codec_is_refused(tiny_model: Model, tmp_path: Path) -> None:
    from duologue.conversation_file import read_turns

    tiny_model.conversation("one").save(tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="another codec"):
        read_turns(tmp_path / "c.safetensors", "other")


class _Bad:
    """Stands in for the last part of the chain, so that chosen attempts go wrong."""

    def __init__(self, bad: int) -> None:
        self.bad, self.calls = bad, 0

    def __call__(self, *_: object, **__: object) -> None:
        self.calls += 1
        if self.calls <= self.bad:
            raise Runaway("The speech loops.")


def test_a_failed_sentence_is_tried_again_with_a_reported_seed(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = tiny_model.conversation("one")
    monkeypatch.setattr("duologue.speaking.check_speech", _Bad(2))
    audio = conversation.say("Hello there.", seed=6)
    report = audio.report
    assert report is not None and report.attempts == 3 and report.seed == 6
    assert report.parts[0].seed == seed_of(6, 0, 2)
    plain = tiny_model.conversation("one", options=LOOSE).say("Hello there.", seed=report.parts[0].seed)
    assert np.array_equal(audio.samples, plain.samples)
    assert len(conversation.turns) == 1


def test_when_the_retries_are_used_the_error_says_so_and_nothing_is_remembered(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = tiny_model.conversation("one")
    monkeypatch.setattr("duologue.speaking.check_speech", _Bad(99))
    with pytest.raises(Runaway, match=r"loops.*3 attempts; last seed"):
        conversation.say("Hello there.", seed=6, options=GenerationConfig(retries=2))
    assert conversation.turns == []
    monkeypatch.undo()
    clean = tiny_model.conversation("one", options=LOOSE).say("Hello.", seed=1)
    assert np.array_equal(conversation.say("Hello.", seed=1, options=LOOSE).samples, clean.samples)


def test_a_stream_whose_sound_has_left_is_not_tried_again(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duologue.speaking.check_speech", _Bad(99))
    speech = tiny_model.stream("Hello there.", seed=6)
    with pytest.raises(Runaway, match="already left"):
        list(speech)


def test_an_immediate_end_is_empty_speech_not_a_crash(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from duologue.engine.base import Frame, FrameRequest

    config = tiny_model.config
    end = np.array([config.eos_code, *[0] * (config.num_codebooks - 1)])
    calls: list[int] = []

    def frames(requests: list[FrameRequest]) -> list[Frame]:
        calls.append(requests[0].sampling.seed)
        return [Frame(end)] * len(requests)

    monkeypatch.setattr(tiny_model.engine, "frames", frames)
    for stream in (False, True):
        speech = tiny_model.stream("Hello.", seed=1)
        with pytest.raises(EmptySpeech, match="4 attempts"):
            list(speech if stream else speech.checked())
    assert len(calls) == 8 and len(set(calls)) == 4


def test_noise_that_is_no_speech_does_not_pass_the_checks(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = type(tiny_model.codec.decoder())
    monkeypatch.setattr(decoder, "decode", lambda self, codes: np.zeros(1920, np.float32))
    with pytest.raises(SpeechError):
        tiny_model.generate("Hello there.", seed=1, retries=1)


@pytest.mark.parametrize("text", ["", "   ", "…!?", "\n\n"])
def test_nothing_to_speak_is_an_error(tiny_model: Model, text: str) -> None:
    with pytest.raises(InputError):
        tiny_model.generate(text)


def test_options_that_make_no_sense_are_named(tiny_model: Model) -> None:
    for change in ({"temperature": -1.0}, {"top_k": -1}, {"retries": 99}, {"max_seconds": 0.0}, {"depth_top_k": -2}):
        with pytest.raises(InputError) as caught:
            GenerationConfig(**change)  # type: ignore[arg-type]
        assert caught.value.field in change
    with pytest.raises(InputError, match="temperatur"):
        tiny_model.generate("Hi.", temperatur=0.5)
    with pytest.raises(duologue.DuologueError, match="no voice 'nobody'"):
        tiny_model.generate("Hi.", voice="nobody")


def test_greedy_needs_no_seed(tiny_model: Model) -> None:
    first, second = (tiny_model.generate("Hi.", seed=s, temperature=0.0, check=False).samples for s in (1, 2))
    assert np.array_equal(first, second)
