"""How a model reads: a text of any length to sentences, a sentence to the ids of that model's alphabet.

Two alphabets exist: the phone units of the embedded voice, and Llama's tokens of Sesame's model. Knows no sound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .csm.config import CsmConfig
from .errors import InputError, LayoutMismatch
from .speaking import Sentence
from .text.lexicon import Accent
from .text.normalize import normalize
from .text.phonemes import Phonemizer
from .text.split import split_sentences
from .text.tokenizer import LlamaTokenizer, find_tokenizer
from .text.units import END, UNITS, speaker_unit, unit_groups, unit_ids, units_of
from .weights.hub import HubAccess, fetch_file
from .weights.load import ModelFiles

if TYPE_CHECKING:
    from .conversation import Reader

ACCENTS: dict[str, Accent] = {"american": "us", "british": "gb"}
MAX_TEXT = 1_000_000  # characters


class _Splitting:
    """What both readers share: normalising, splitting, and one sentence at a time."""

    def sentences(self, text: str, speaker: int, accent: str, normalise: bool) -> list[Sentence]:
        """Split a text into sentences with their ids. Raises InputError if nothing in it can be spoken."""
        pieces = split_sentences(_spoken(text, normalise))
        return [Sentence(piece, self.ids(piece, speaker, accent)) for piece in pieces]

    def turn(self, text: str, speaker: int, accent: str, normalise: bool) -> Sentence:
        """A whole turn in one piece."""
        spoken = _spoken(text, normalise)
        return Sentence(spoken, self.ids(spoken, speaker, accent))

    def ids(self, text: str, speaker: int, accent: str) -> npt.NDArray[np.int64]:
        """The ids (U,) of a text in this model's alphabet."""
        raise NotImplementedError

    def words_of_ids(self, text: str, accent: str) -> npt.NDArray[np.int64] | None:
        """For each id (U,) of a sentence, which word of `text.split()` it belongs to; -1 for marks and edges.

        None if this alphabet can't tell.
        """
        return None


def _spoken(text: str, normalise: bool) -> str:
    if not isinstance(text, str):
        raise InputError(f"The text is {type(text).__name__}, not a string.", field="text")
    if len(text) > MAX_TEXT:
        raise InputError(f"The text has {len(text)} characters; {MAX_TEXT} are the limit.", field="text")
    spoken = normalize(text) if normalise else " ".join(text.split())
    if not any(character.isalnum() for character in spoken):
        raise InputError("There is nothing to speak.", hint="Give at least one word.", field="text")
    return spoken


class PhoneReader(_Splitting):
    """Text as phone units: <speaker n>, phones and marks, <end>."""

    def __init__(self) -> None:
        self._phonemizers: dict[str, Phonemizer] = {}

    def ids(self, text: str, speaker: int, accent: str) -> npt.NDArray[np.int64]:
        """Ids of a text's phones in an accent."""
        units = units_of(self._phonemizer(accent).phonemize(text))
        return np.array(unit_ids([speaker_unit(speaker), *units, END]), np.int64)

    def words_of_ids(self, text: str, accent: str) -> npt.NDArray[np.int64] | None:
        """Which word each phone belongs to."""
        phonemizer = self._phonemizer(accent)
        words = text.split()
        # A word gives as many groups of phones as when it stands alone: one as a rule, none if it is a mere apostrophe.
        groups = [number for number, word in enumerate(words) for _ in phonemizer.phonemize(word).split()]
        phonemes = phonemizer.phonemize(text)
        if len(groups) != len(phonemes.split()):
            return None
        belongs = (-1 if group < 0 else groups[group] for group in unit_groups(phonemes))
        return np.array([-1, *belongs, -1], np.int64)

    def _phonemizer(self, accent: str) -> Phonemizer:
        if accent not in ACCENTS:
            hint = f"Use {' or '.join(ACCENTS)}."
            raise InputError(f"This voice knows no accent {accent!r}.", hint=hint, field="accent")
        if accent not in self._phonemizers:
            self._phonemizers[accent] = Phonemizer(ACCENTS[accent])
        return self._phonemizers[accent]


class LlamaReader(_Splitting):
    """Text as Llama's tokens: BOS, [n]text, EOS. Accents are the voice prompt's business here."""

    def __init__(self, tokenizer: LlamaTokenizer) -> None:
        self._tokenizer = tokenizer
        self.vocabulary = tokenizer.vocabulary

    def ids(self, text: str, speaker: int, accent: str) -> npt.NDArray[np.int64]:
        """Ids of a turn; the accent makes no difference."""
        return self._tokenizer.tokenize(text, speaker)


def reader_for(files: ModelFiles, config: CsmConfig, access: HubAccess) -> Reader:
    """The reader of a model. Raises LayoutMismatch if its alphabet isn't the size that the network was made for."""
    if files.card.text == "phones":
        if config.text_vocab != len(UNITS):
            raise LayoutMismatch(
                f"{files.card.name} was made for {config.text_vocab} phone units; this version has {len(UNITS)}.",
                hint="Use the version of duologue that made the model.",
            )
        return PhoneReader()
    reader = LlamaReader(_llama(files, access))
    if reader.vocabulary > config.text_vocab:
        raise LayoutMismatch(
            f"The tokenizer has {reader.vocabulary} tokens; {files.card.name} knows {config.text_vocab}.",
            hint="Put the tokenizer.json that belongs to the model beside it.",
        )
    return reader


def _llama(files: ModelFiles, access: HubAccess) -> LlamaTokenizer:
    if files.tokenizer is not None:
        return LlamaTokenizer.load(files.tokenizer)
    if files.inside is not None and (raw := files.inside.tokenizer()) is not None:
        return LlamaTokenizer.from_json(raw, str(files.csm))
    return find_tokenizer(lambda repository, name: fetch_file(repository, name, access))
