"""Speech of which one word's place is known: the model says phones that it is given, and its pointer tells when.

Only a model with aligned text can do this. Knows no judges.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import api
from ..errors import InputError
from ..reading import ACCENTS
from ..speaking import GenerationConfig, Sentence, Speech
from ..text.lexicon import Accent
from ..text.phonemes import Phonemizer
from ..text.units import BOUNDARIES, END, speaker_unit, unit_ids, units_of
from ..timebase import frames_to_seconds
from ..voice import Voice
from .asr import Samples

WORD = re.compile(r"[\w']+")
EDGE_MARKS = ".,?!"


@dataclass(frozen=True)
class SaidWord:
    """A sentence (N,) at 24 kHz, and from when to when its word is spoken, in seconds."""

    samples: Samples
    start: float
    end: float


def accent_of(voice: Voice) -> Accent:
    """The lexicon's name for a voice's accent."""
    return ACCENTS[voice.accent]


def place_of(word: str, sentence: str) -> int:
    """The number of the word in the sentence. Raises InputError unless it is there once."""
    words = [found.lower() for found in WORD.findall(sentence)]
    if words.count(word) != 1:
        raise InputError(f"{word!r} is {words.count(word)} times in {sentence!r}, not once.", field="word")
    return words.index(word)


def phones_of(sentence: str, accent: Accent) -> list[str]:
    """Phones of each word, with the marks behind it. Raises InputError unless each word stands for itself."""
    phones = Phonemizer(accent).phonemize(sentence).split()
    if len(phones) != len(WORD.findall(sentence)):
        raise InputError(f"{sentence!r} has words that are not read one for one.", field="sentence")
    return phones


def with_phones(words: Sequence[str], place: int, phones: str) -> list[str]:
    """The same words, one of them said otherwise; its marks stay."""
    old = words[place]
    mark = old[len(old.rstrip(EDGE_MARKS)) :]
    return [*words[:place], phones + mark, *words[place + 1 :]]


def units_of_word(units: Sequence[str], place: int) -> tuple[int, int]:
    """First unit of a word and the one behind its last."""
    owner, word = [], 0
    for unit in units:
        if unit in BOUNDARIES:
            owner.append(-1)
            word += 1
        else:
            owner.append(word)
    inside = [index for index, each in enumerate(owner) if each == place]
    return inside[0], inside[-1] + 1


def say(model: api.Model, voice: Voice, phones: Sequence[str], place: int, seed: int) -> SaidWord:
    """Let a voice say the phones of a sentence's words. Raises InputError for a model without aligned text."""
    if model.config.aligned is None:
        raise InputError(f"{model.name} doesn't know when it says a word.", hint="Use the embedded voice.")
    units = units_of(" ".join(phones))
    ids = np.array(unit_ids([speaker_unit(voice.speaker), *units, END]), np.int64)
    first, behind = (index + 1 for index in units_of_word(units, place))  # behind the speaker's unit
    context = model.pinned_context([voice])
    options = GenerationConfig(check=False, retries=0).over(model.usual)
    sentence = Sentence(" ".join("word" for _ in phones), ids)  # its text only serves for a sane limit of length
    audio = Speech(context, model.codec, [sentence], voice.speaker, seed, options, voice.accent).collect()
    pointers = context.turns[-1].segment.pointers
    assert pointers is not None
    inside = np.flatnonzero((pointers[:-1] >= first) & (pointers[:-1] < behind))
    if not len(inside):  # passed within a frame: the frame that went over it
        inside = np.flatnonzero(pointers[:-1] < first)[-1:]
    return SaidWord(audio.samples, frames_to_seconds(int(inside[0])), frames_to_seconds(int(inside[-1]) + 1))
