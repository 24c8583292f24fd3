"""Recordings are found in folders, tables and datasets, each with its words and its voice."""

import json

import numpy as np
import pytest
import soundfile

from duologue.corpus.cutting import Piece, Stretch, dialogues, diariser_of, pieces_of
from duologue.corpus.filters import Limits, fault_of_pace, fault_of_sound
from duologue.corpus.recordings import plain_name, recordings
from duologue.errors import InputError
from tests.tiny import speech_like


def write(path, seconds=1.0, channels=1, rate=12_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    wav = np.stack([speech_like(seconds, n)[:: 24_000 // rate] for n in range(channels)], axis=1)
    soundfile.write(path, wav, rate)


def test_a_folder_with_texts_beside(tmp_path):
    write(tmp_path / "anna" / "a.wav")
    write(tmp_path / "ben" / "b.flac")
    (tmp_path / "anna" / "a.txt").write_text("Good\n morning.\n")
    found = recordings(str(tmp_path))
    assert [(each.name, each.voice, each.text) for each in found] == [
        ("anna/a", "anna", "Good morning."),
        ("ben/b", "ben", None),
    ]
    assert {each.voice for each in recordings(str(tmp_path), ["me"])} == {"me"}


def test_tables_of_several_kinds(tmp_path):
    write(tmp_path / "wavs" / "LJ001.wav")
    table = tmp_path / "metadata.csv"
    table.write_text('LJ001|He said "12".|He said "twelve".\n')
    assert [each.text for each in recordings(str(tmp_path))] == ['He said "12".']
    table.write_text('file_name,transcript,speaker\nwavs/LJ001.wav,"Yes, twelve.",Jo Smith\n')
    (found,) = recordings(str(tmp_path))
    assert (found.text, found.voice) == ("Yes, twelve.", "Jo-Smith")
    assert found.channels()[0].shape == (24_000,)
    rows = tmp_path / "mine.jsonl"
    rows.write_text(json.dumps({"audio_filepath": "wavs/LJ001.wav", "text": "Row."}) + "\n")
    assert recordings(str(rows))[0].text == "Row."
    rows.write_text(json.dumps({"audio_filepath": "gone.wav", "text": "Row."}) + "\n")
    with pytest.raises(InputError, match="gone"):
        recordings(str(rows))


def test_a_dataset_on_disk(tmp_path):
    import datasets

    write(tmp_path / "x.wav")
    columns = {"audio": [{"bytes": (tmp_path / "x.wav").read_bytes(), "path": None}], "sentence": ["Set words."]}
    datasets.Dataset.from_dict(columns).save_to_disk(str(tmp_path / "set"))
    (found,) = recordings(str(tmp_path / "set"), ["me"])
    assert (found.text, found.voice, len(found.channels()[0])) == ("Set words.", "me", 24_000)


def test_nothing_is_said_so(tmp_path):
    for source in (tmp_path, tmp_path / "no", "/no/such"):
        with pytest.raises(InputError):
            recordings(str(source))
    assert plain_name(" Jo & Ann/2 ") == "Jo-Ann-2"


def test_bad_sound_has_a_reason():
    good = speech_like(2.0)
    limits = Limits()
    assert fault_of_sound(np.concatenate([good, np.zeros(6_000, np.float32)]), limits) is None
    assert fault_of_sound(good[:6_000], limits) == "too short"
    assert fault_of_sound(np.tile(good, 10), limits) == "too long"
    assert fault_of_sound(np.zeros(24_000, np.float32), limits) == "silent"
    assert fault_of_sound((8 * good).clip(-1, 1), limits) == "clipped"
    assert fault_of_sound(np.pad(good, (0, 120_000)), limits) == "mostly silence"
    noise = 0.1 * np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    assert fault_of_sound(noise, limits) == "noisy"
    assert fault_of_pace("one", 5.0, limits) == "too few words for its length"
    assert fault_of_pace("many words in no time", 0.2, limits) == "too many words for its length"
    assert fault_of_pace("some words", 1.0, limits) is None


def test_two_speakers_become_a_dialogue():
    def piece(voice, start, seconds):
        return Piece(voice, start, np.zeros(int(seconds * 24_000), np.float32))

    groups = dialogues([piece("b", 2.0, 1.0), piece("a", 0.0, 1.5), piece("a", 3.5, 1.0), piece("b", 8.0, 1.0)])
    assert [[each.voice for each in group] for group in groups] == [["a", "b", "a"], ["b"]]


def by_halves(samples, rate_hz):
    """A diariser that says so: one speaker for each half."""
    seconds = len(samples) / rate_hz
    return [Stretch(seconds / 2, seconds, "late"), Stretch(0.0, seconds / 2, "early")]


def test_a_diariser_names_the_voices():
    from tests.evaluation.test_sound_judges import FIRST

    pieces = pieces_of(FIRST, "call", diariser_of("tests.corpus.test_recordings:by_halves"))
    assert {piece.voice for piece in pieces} == {"call-early", "call-late"}
    assert [piece.start for piece in pieces] == sorted(piece.start for piece in pieces)
    with pytest.raises(InputError, match="nothing"):
        diariser_of("tests.corpus.test_recordings:nothing")
