"""Llama's tokenizer, as Sesame's checkpoints read text. Knows how a turn is framed, not where files come from.

A turn of speaker n is tokenised whole as `[n]text` between <|begin_of_text|> and <|end_of_text|> (Sesame's
generator.py; ids 128000 and 128001 of 128,256). The tokenizer.json itself is Meta's, under the Llama Community
License, and not part of this package: it lies beside a checkpoint or comes from one of SOURCES.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ..errors import InputError, WeightsDamaged, WeightsNotFound

SOURCES = ("meta-llama/Llama-3.2-1B", "unsloth/Llama-3.2-1B")  # gated original; the same file without a gate
FILE = "tokenizer.json"
BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"
MAX_BYTES = 64 * 2**20
MAX_SPEAKERS = 1_000


class LlamaTokenizer:
    """Text to ids and back. Read-only after construction; threads may share it."""

    def __init__(self, tokenizer: Tokenizer, name: str) -> None:
        self._tokenizer = tokenizer
        begin, end = tokenizer.token_to_id(BEGIN), tokenizer.token_to_id(END)
        if begin is None or end is None:
            raise WeightsDamaged(
                f"{name} has no {BEGIN} or no {END}: it is not a Llama-3 tokenizer.",
                hint=f"Use {FILE} of {' or '.join(SOURCES)}.",
            )
        self.begin: int = begin
        self.end: int = end
        tokenizer.no_truncation()
        tokenizer.no_padding()

    @classmethod
    def load(cls, path: str | Path) -> LlamaTokenizer:
        """Read a tokenizer.json. Raises WeightsNotFound or WeightsDamaged."""
        path = Path(path)
        if not path.is_file():
            raise WeightsNotFound(f"There is no {path}.", hint=f"It is {FILE} of {' or '.join(SOURCES)}.")
        if path.stat().st_size > MAX_BYTES:
            raise WeightsDamaged(
                f"{path} is larger than {MAX_BYTES >> 20} MB: not a tokenizer.", hint="Fetch it again."
            )
        return cls.from_json(path.read_bytes(), str(path))

    @classmethod
    def from_json(cls, raw: bytes, name: str) -> LlamaTokenizer:
        """Read the content of a tokenizer.json that comes from `name`. Raises WeightsDamaged."""
        try:
            tokenizer = Tokenizer.from_buffer(raw)
        except Exception as error:  # border to Rust: the library raises bare Exception for every parsing fault
            raise WeightsDamaged(f"{name} can't be read as a tokenizer: {error}.", hint="Fetch it again.") from error
        return cls(tokenizer, Path(name).name)

    @property
    def vocabulary(self) -> int:
        """Number of ids, special ones included: 128,256 for Llama 3."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def tokenize(self, text: str, speaker: int) -> npt.NDArray[np.int64]:
        """Ids (U,) of one turn: BOS, `[speaker]text`, EOS. Special tokens written in the text are read as text."""
        if not 0 <= speaker < MAX_SPEAKERS:
            raise InputError(f"Speaker {speaker} doesn't exist.", hint=f"Use 0 to {MAX_SPEAKERS - 1}.", field="speaker")
        ids = self._tokenizer.encode(f"[{speaker}]{_defused(text)}", add_special_tokens=False).ids
        return np.array([self.begin, *ids, self.end], np.int64)

    def text(self, ids: Sequence[int]) -> str:
        """The text behind ids, without BOS and EOS."""
        return str(self._tokenizer.decode([int(i) for i in ids if i not in (self.begin, self.end)]))


def _defused(text: str) -> str:
    """Break up "<|…|>" so that text can't smuggle in special tokens, and drop lone surrogates."""
    return text.encode("utf-8", "ignore").decode().replace("<|", "< |")


def find_tokenizer(fetch: Callable[[str, str], Path], sources: Sequence[str] = SOURCES) -> LlamaTokenizer:
    """Load tokenizer.json from the first source that gives it. `fetch(repository, file)` returns a local path.

    Raises WeightsNotFound that tells what each source answered.
    """
    answers = []
    for repository in sources:
        try:
            return LlamaTokenizer.load(fetch(repository, FILE))
        except WeightsNotFound as error:
            answers.append(f"{repository}: {error}")
    raise WeightsNotFound(
        f"The Llama tokenizer can't be fetched. {' '.join(answers)}",
        hint=f"Or put {FILE} beside the checkpoint.",
    )
