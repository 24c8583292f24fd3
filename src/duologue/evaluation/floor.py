"""Old speech programs (Debian's flite and espeak-ng) saying the same sentences: what a voice has to be better than."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..audio import to_audio
from ..errors import BackendUnavailable
from .clips import Clip

PROGRAMS = {
    "flite": ["flite", "-voice", "slt", "-t", "{text}", "-o", "{file}"],
    "espeak-ng": ["espeak-ng", "-v", "en-us", "-w", "{file}", "--", "{text}"],
}


def installed() -> list[str]:
    """Those of the programs that are here."""
    return [name for name in PROGRAMS if shutil.which(name)]


def speak(name: str, sentences: Sequence[str]) -> list[Clip]:
    """The sentences as that program says them. Raises BackendUnavailable if it is missing or fails."""
    if name not in installed():
        raise BackendUnavailable(
            f"{name} is not installed.",
            hint=f"apt-get install {name}",
        )
    clips = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoken.wav"
        for sentence in sentences:
            words = [word.format(text=sentence, file=path) for word in PROGRAMS[name]]
            try:
                subprocess.run(words, check=True, capture_output=True, timeout=60)
            except subprocess.CalledProcessError as error:
                raise BackendUnavailable(f"{name} failed: {error.stderr.decode()[:200]}") from error
            clips.append(Clip(sentence, name, to_audio(path).samples))
    return clips
