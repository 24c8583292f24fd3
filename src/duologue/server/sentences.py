"""Text that comes in bits, given on in whole sentences. Knows no sound."""

from __future__ import annotations

from ..text.split import split_sentences


class SentenceBuffer:
    """Bits of text in, whole sentences out."""

    def __init__(self) -> None:
        self._text = ""

    def __len__(self) -> int:
        return len(self._text)

    def push(self, text: str) -> list[str]:
        """The sentences that are certainly over: all but the last."""
        self._text += text
        *whole, _ = split_sentences(self._text) or [""]
        if whole:
            self._text = self._text.split(maxsplit=len(" ".join(whole).split()))[-1]
        return whole

    def flush(self) -> list[str]:
        """All that is left."""
        rest, self._text = split_sentences(self._text), ""
        return [piece for piece in rest if any(letter.isalnum() for letter in piece)]
