"""A codec's round trip, a dialogue's voices, the page: figures of real sound through a real (if senseless) model."""

import json

import numpy as np
import pytest
import soundfile

from duologue.errors import BackendUnavailable, InputError
from duologue.evaluation import codec, dialogue_voices, floor, page
from duologue.evaluation.clips import Clip, figures
from duologue.evaluation.reading_clips import judge_words, judge_words_again, lost
from duologue.evaluation.sentences import held_out, trained_on
from duologue.evaluation.wer import WordErrors
from tests.training.toy_speech import write_toy_shards

from .test_sound_judges import SPEECH


class Faithful:
    """A codec that gives back what it was given, or half as many samples' worth of noise."""

    def __init__(self, noise=0.0):
        self.noise, self.heard = noise, None

    def encode(self, samples):
        self.heard = samples
        return np.array([[0, 1, 2, 1]])

    def decode(self, codes):
        return self.heard + self.noise * np.random.default_rng(0).standard_normal(len(self.heard)).astype(np.float32)


class OneByOne(Faithful):
    """Keeps every clip, so that clips can be encoded first and decoded later."""

    def __init__(self, noise=0.0):
        super().__init__(noise)
        self.kept = []

    def encode(self, samples):
        self.kept.append(samples)
        return super().encode(samples)

    def decode(self, codes):
        self.heard = self.kept.pop(0)
        return super().decode(codes)


def test_a_round_trip_is_measured():
    clips = [Clip("Words.", "reader", SPEECH[n * 72_000 : (n + 1) * 72_000]) for n in (0, 3)]
    same, worse = (codec.measure(OneByOne(noise), clips, None, entries=4) for noise in (0.0, 0.05))
    assert same["pitch_within_10_percent"] == 1 and same["log10_mel_distance"]["mean"] == 0
    assert same["pesq_wb"]["mean"] > 4 > worse["pesq_wb"]["mean"] and worse["pitch_within_10_percent"] < 1
    assert same["codebooks"] == [{"used": 3, "perplexity": pytest.approx(2.8)}]
    assert worse["decoded"]["dnsmos"]["mean"] < worse["original"]["dnsmos"]["mean"]


def test_held_out_turns_only(tmp_path):
    shards = write_toy_shards(tmp_path)
    clips = codec.held_out_turns(shards, 9)
    assert len(clips) == 2 and all(len(clip.samples) >= 24_000 for clip in clips)
    listing = shards / "00000.jsonl"
    listing.write_text(listing.read_text().replace('"validation"', '"train"'))
    with pytest.raises(InputError, match="held-out"):
        codec.held_out_turns(shards, 9)


def test_ten_turns_of_two_voices(tiny_model):
    told = dialogue_voices.measure(tiny_model, ["one", "two"])
    assert [row["voice"] for row in told["turns"]] == ["one", "two"] * 5
    assert 0 <= told["right_voice_percent"] <= 100 and np.isfinite(told["slope_per_turn"])
    with pytest.raises(InputError, match="two voices"):
        dialogue_voices.measure(tiny_model, ["one"])


class LosesWindows:
    """Reads one clip after the other, `lost` of its answers excepted, of which it hears nothing."""

    def __init__(self, answers, lost=()):
        self.answers, self.lost, self.asked = answers, lost, 0

    def transcribe(self, window):
        self.asked += 1
        return "" if self.asked - 1 in self.lost else self.answers[self.asked - 1]


TEXTS = ["one big apple", "green pears taste well"]
TWO = [" ".join(TEXTS[::-1]), " ".join(TEXTS)]  # what is heard of the windows, backwards and forwards


def said(texts=TEXTS):
    return [Clip(text, "one", SPEECH[:48_000]) for text in texts]


def test_a_lost_window_is_read_again():
    clips = said()
    judge_words_again(clips, LosesWindows([*TWO, *TEXTS], lost=(0, 1)))
    told = figures(clips)
    assert told["wer_percent"] == told["wer_percent_reversed"] == 100 and told["wer_percent_reread"] == 0
    assert told["clips_of_lost_windows"] == 2 and told["understood_percent"] == 100
    assert figures([Clip("x", "one", SPEECH[:48_000])])["wer_percent_reread"] is None


def test_all_clips_of_a_lost_window_are_read_again():
    clips = said()
    judge_words_again(clips, LosesWindows([TWO[0], "one big", "one big ample", TEXTS[1]]))
    assert [clip.errors.errors for clip in clips] == [1, 4]
    assert [clip.readings["reread"].errors for clip in clips] == [1, 0]
    assert clips[0].readings["reread"].differences == (("apple", "ample"),)


def test_a_whole_window_is_not_read_again():
    clips = said()
    judge_words_again(clips, LosesWindows([*TWO]))  # a further reading would find no answer
    assert [clip.readings["reread"].errors for clip in clips] == [0, 0]
    assert figures(clips)["clips_of_lost_windows"] == 0


def test_every_clip_can_be_read_alone():
    clips = said()
    judge_words_again(clips, LosesWindows([*TWO, TEXTS[0], "green bears taste well"]), alone=True)
    told = figures(clips)
    assert told["wer_percent"] == 0 and told["wer_percent_alone"] == pytest.approx(100 / 7, abs=0.01)
    assert told["understood_percent"] == 50


def test_single_words_that_vanish_in_a_row_make_a_lost_window():
    clips = said(["Bread.", "Cheese.", "Butter.", "Milk."])
    judge_words(clips, LosesWindows(["bread cheese milk"]))
    assert not lost(clips, range(4))
    judge_words(clips, LosesWindows(["bread"]))
    assert lost(clips, range(4))


def test_the_page_holds_everything_itself(tmp_path):
    said = Clip("Fish & <chips>.", "one", SPEECH[:24_000], errors=WordErrors(2, 1, 0, 0, (("chips", "ships"),)))
    gone = Clip("Fish & <chips>.", "two", np.zeros(0, np.float32), failure="Runaway: it looped")
    page.write_page(tmp_path / "page.html", "A <voice>", {"one": [said], "two": [gone]})
    text = (tmp_path / "page.html").read_text()
    assert "data:image/png;base64," in text and "data:audio/mpeg;base64," in text and "http" not in text
    assert "<del>chips</del> <ins>ships</ins>" in text and "Runaway: it looped" in text and "<chips>" not in text


def test_the_page_marks_the_best_and_shows_every_part(tmp_path):
    texts = [f"Sentence {number}." for number in range(30)]
    good = [Clip(text, "one", SPEECH[:12_000], errors=WordErrors(2, 0, 0, 0)) for text in texts]
    bad = [Clip(text, "two", SPEECH[:12_000], errors=WordErrors(2, 1, 0, 0)) for text in texts]
    parts = {"early": texts[:20], "late": texts[20:]}
    page.write_page(tmp_path / "page.html", "x", {"one": good, "two": bad}, page.Told("seed 1", {}, parts))
    text = (tmp_path / "page.html").read_text()
    assert "Word errors, joined windows, %</th><td class=best>0</td><td>50</td>" in text and "seed 1" in text
    shown = [number for number in range(30) if f"<h3>Sentence {number}.</h3>" in text]
    assert shown == [0, 1, 2, 3, 4, 5, 20, 21, 22, 23, 24, 25]


def test_programs_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr(floor.shutil, "which", lambda name: None)
    assert floor.installed() == []
    with pytest.raises(BackendUnavailable, match="flite"):
        floor.speak("flite", ["Hello."])


def test_a_program_is_run_and_its_sound_read(monkeypatch, tmp_path):
    soundfile.write(tmp_path / "said.wav", SPEECH[:12_000], 24_000)
    monkeypatch.setitem(floor.PROGRAMS, "cp", ["cp", str(tmp_path / "said.wav"), "{file}"])
    (clip,) = floor.speak("cp", ["Hello {there}."])
    assert clip.sentence == "Hello {there}." and len(clip.samples) == 12_000


def test_sentences_that_were_trained_on_are_found(tmp_path):
    turn = {"text": "the old clock struck nine, as the guests sat down"}
    lines = [{"split": "train", "turns": [turn]}, {"split": "test", "turns": [{"text": held_out("heldout120")[1]}]}]
    (tmp_path / "00000.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert trained_on(held_out("heldout120"), tmp_path) == {
        "The old clock struck nine as the guests sat down.": ["00000"]
    }
