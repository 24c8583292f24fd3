"""The shipped voice, as a stranger meets it: it loads offline, speaks, stops by itself, and its files are complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import duologue
from duologue.audio_files import read_audio
from duologue.voice import Voice
from duologue.weights import embedded

SENTENCES = ["Good morning, how are you today?", "The train leaves at 10:45.", "No."]


@pytest.fixture(scope="module")
def model() -> duologue.Model:
    return duologue.load(device="cpu", offline=True)


def test_the_package_holds_all_of_it_in_sixty_megabytes() -> None:
    files = [path for path in embedded.FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 60e6
    names = {path.name for path in files}
    assert {"csm.safetensors", "codec.safetensors", "model.json", "MODEL_CARD.md"} <= names
    card = (embedded.FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    for chapter in ("## What it was made from", "## Figures", "## Limits", "Licence"):
        assert chapter in card


def test_it_has_four_voices_ready_for_its_codec(model: duologue.Model) -> None:
    assert set(model.voices) == {"heart", "michael", "emma", "george"}
    for name, voice in model.voices.items():
        assert voice.codec == model.codec.fingerprint and voice.codes is not None and voice.name == name
        assert 3 < voice.seconds < 15 and voice.transcript and voice.licence and voice.source


@pytest.mark.parametrize("text", SENTENCES)
def test_it_speaks_and_stops_by_itself(model: duologue.Model, text: str) -> None:
    audio = model.generate(text, seed=1)
    assert audio.report is not None and audio.report.stop == "end"
    assert 0.2 < audio.seconds < 8 and np.abs(audio.samples).max() <= 1.5


def test_each_voice_sounds_its_own_way(model: duologue.Model) -> None:
    said = {name: model.generate("Hello there, friend.", voice=name, seed=1).samples.tobytes() for name in model.voices}
    assert len(set(said.values())) == 4


def test_a_prompt_of_ones_own_is_pinned(model: duologue.Model) -> None:
    heart = model.voices["heart"]
    own = Voice.from_audio(heart.audio, heart.transcript, name="mine", speaker=0)
    talk = model.conversation(own)
    assert talk.context_seconds == pytest.approx(own.seconds, abs=0.1)
    assert model.conversation("heart").context_seconds == 0
    assert talk.say("Hello there.", seed=1, options=duologue.GenerationConfig(check=False)).seconds > 0


def test_soundfile_and_ffmpeg_read_every_format_that_the_command_writes(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    program = [sys.executable, "-m", "duologue.cli.main", "say", "Good morning.", "--seed", "1", "--json", "-o"]
    done = subprocess.run(
        [*program, "a.wav"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    audio = read_audio(tmp_path / "a.wav")
    assert report["seconds"] == pytest.approx(audio.seconds)
    for ending in ("flac", "mp3", "opus"):
        audio.save(tmp_path / f"a.{ending}")
    for ending in ("wav", "flac", "mp3", "opus"):
        assert soundfile.info(tmp_path / f"a.{ending}").duration == pytest.approx(audio.seconds, abs=0.12)
        command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / f"a.{ending}"), "-f", "s16le", "-ar", "24000", "-"]
        decoded = subprocess.run(command, capture_output=True, check=True, timeout=60)
        assert len(decoded.stdout) / 48_000 == pytest.approx(audio.seconds, abs=0.12) and not decoded.stderr
