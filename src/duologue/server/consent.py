"""Whether somebody agreed that their voice is used: what was said, and whether both recordings are of one person.

What can be checked depends on what this server has: words need a recogniser (--asr), the person needs the speaker
network (resemblyzer and torch). Whatever wasn't checked is told to the client and kept with the voice.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib.util
import re
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from ..audio import Audio
from .errors import ApiError
from .talk_parts import Recogniser

CONSENT_PHRASE = "I am the owner of this voice and I consent to this server using it to create a synthetic voice."
WORDS_ALIKE = 0.75  # share of words in common; a recogniser mishears some
TRANSCRIPT_ALIKE = 0.5
SAME_SPEAKER = 0.70  # cosine; clips of 3 s of one reader: 0.68 to 0.90, of two voices: 0.47 to 0.67
Embedding = np.ndarray


class ConsentChecks:
    """The checks that this server can make."""

    def __init__(self, recogniser: Recogniser | None) -> None:
        self._recogniser = recogniser
        self._network = threading.Lock()
        self.knows_speakers = all(importlib.util.find_spec(name) for name in ("torch", "resemblyzer"))

    @property
    def hears_words(self) -> bool:
        return self._recogniser is not None

    async def phrase(self, recording: Audio) -> None:
        """Raise ApiError if the recording says something else than the consent phrase."""
        await self._compare(recording, CONSENT_PHRASE, WORDS_ALIKE, "consent_words_differ", "recording")

    async def transcript(self, sample: Audio, words: str) -> None:
        """Raise ApiError if a sample's transcript isn't what is said in it."""
        await self._compare(sample, words, TRANSCRIPT_ALIKE, "transcript_differs", "ref_text")

    async def _compare(self, sound: Audio, wanted: str, least: float, code: str, param: str) -> None:
        if self._recogniser is None:
            return
        heard = await asyncio.to_thread(self._recogniser.transcribe, sound)
        if alike(wanted, heard) < least:
            message = f"Wanted: {wanted[:200]!r}. Heard: {heard[:200]!r}."
            raise ApiError(400, message, code=code, param=param)

    async def voice_of(self, sound: Audio) -> Embedding | None:
        """Whose voice it is, as an embedding; None without the network."""
        return await asyncio.to_thread(self._embed, sound) if self.knows_speakers else None

    def _embed(self, sound: Audio) -> Embedding:
        from ..evaluation.speaker import embed  # torch

        with self._network:
            return embed(sound.samples)

    async def same_person(self, consent: Embedding | None, sample: Audio) -> None:
        """Raise ApiError if the sample is of somebody else than the consent."""
        voice = await self.voice_of(sample)
        if consent is None or voice is None:
            return
        similarity = float(consent @ voice)
        if similarity < SAME_SPEAKER:
            message = f"The consent and the sample are not of one person (similarity {similarity:.2f})."
            raise ApiError(400, message, code="consent_by_somebody_else", param="audio_sample")


def alike(wanted: str, heard: str) -> float:
    """Share of words that two texts have in common, in order: 0 to 1."""
    return difflib.SequenceMatcher(None, _words(wanted), _words(heard), autojunk=False).ratio()


def same_statement(given: str) -> bool:
    """Whether a written statement is the consent phrase, whatever its case and punctuation."""
    return _words(given) == _words(CONSENT_PHRASE)


def split_checks(done: Mapping[str, bool]) -> tuple[Sequence[str], Sequence[str]]:
    """Names of the checks that were made, and of those that couldn't be."""
    return [name for name, made in done.items() if made], [name for name, made in done.items() if not made]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())
