"""Every utterance is heard again; bad ones are noted once, and left out of training."""

import json

import pytest

from duologue.corpus.recheck import check_shards, listen, summary
from duologue.errors import InputError
from duologue.evaluation.wer import character_rate, share_out
from duologue.training.code_shards import load_items
from duologue.training.encode_codes import encode_shards
from tests.tiny import speech_like
from tests.training.toy_speech import TINY_CODEC, write_toy_shards


class Scripted:
    """Says in turn what it was given; counts how often it was asked."""

    name = "scripted"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    def transcribe(self, window):
        self.asked += 1
        return self.answers.pop(0) if self.answers else "la la la"


def test_a_joined_transcript_is_cut_at_the_texts_borders():
    assert share_out(["one big apple", "green pears"], "one apple um green bears") == ["one apple", "green bears"]
    assert share_out(["one", "two"], "") == ["", ""]
    assert character_rate("four", "for") == pytest.approx(0.25)
    assert character_rate("four", "") == 1.0


def test_what_a_joined_window_lost_is_heard_alone():
    clips = [speech_like(1.0), speech_like(1.0)]
    ear = Scripted("hello there", "good bye my friend")  # the window lost its second half
    heard = listen(["Hello there.", "Good bye, my friend."], clips, ear)
    assert [each.cer for each in heard] == [0.0, 0.0] and ear.asked == 2
    heard = listen(["Hello there.", "Good bye, my friend."], clips, Scripted("hello there", "something else"))
    assert heard[0].cer == 0.0 and heard[1].cer > 0.5


def test_a_check_is_kept_and_training_leaves_bad_turns_out(tmp_path):
    shards = write_toy_shards(tmp_path / "shards")
    ear = Scripted("la " * 13)  # fourteen turns of "la": the last one is missing
    (written,) = check_shards(shards, ear)
    bad = json.loads(written.read_text())["bad"]
    assert [(turn["item"], turn["turn"]) for turn in bad] == [(13, 0)] and bad[0]["heard"] != "la"
    asked = ear.asked
    assert check_shards(shards, ear) == [] and ear.asked == asked
    assert summary(shards)["bad"] == 1 and summary(shards)["bad_percent"] == pytest.approx(7.14)
    from duologue.mimi.codec import Mimi

    encode_shards(Mimi(TINY_CODEC).eval(), shards, tmp_path / "codes")
    names = [item.name for item in load_items(tmp_path / "codes", shards)[0]]
    assert len(names) == 13 and "00000/13" not in names


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(InputError, match="no shards"):
        check_shards(tmp_path, Scripted())
