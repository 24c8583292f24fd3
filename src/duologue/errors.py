"""Every error that duologue raises on purpose. Each says what was seen, what was wanted and what to do.

DuologueError
├── InputError              text, audio, a script or an option that can't be used
│   ├── AudioError          unreadable, empty, wrong rate, clipped, silent
│   ├── VoiceError          a voice whose prompt or transcript can't serve
│   └── ContextTooLong      the conversation doesn't fit into the model's positions
├── WeightsError
│   ├── WeightsNotFound     no such file, repository or revision; gated; offline
│   ├── WeightsDamaged      truncated, checksum differs, not a weight file
│   └── LayoutMismatch      missing, unexpected or misshapen tensors
├── SpeechError             the model's output can't be used
│   ├── EmptySpeech         nothing, or only silence
│   ├── CutSpeech           ended long before the text could have been spoken
│   └── Runaway             looped or never ended
├── Cancelled               the caller stopped it
└── BackendUnavailable      an engine, device or optional package is missing
"""

from __future__ import annotations

from collections.abc import Iterable


class DuologueError(Exception):
    """Base of all deliberate errors. `hint` tells the user what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InputError(DuologueError):
    """Text, audio, a script or an option that can't be used; `field` names it."""

    exit_code = 2


class AudioError(InputError):
    """Audio that can't be read or used."""


class VoiceError(InputError):
    """A voice whose prompt audio or transcript can't serve."""


class ContextTooLong(InputError):
    """The conversation doesn't fit into the model's positions."""


class WeightsError(DuologueError):
    """Weights that can't be used."""

    exit_code = 3


class WeightsNotFound(WeightsError):
    """No such file, repository or revision, no permission, or no network."""


class WeightsDamaged(WeightsError):
    """Truncated, altered, or not a weight file at all."""


class LayoutMismatch(WeightsError):
    """Tensors are missing, unexpected or misshapen."""

    @classmethod
    def of_keys(cls, where: str, missing: Iterable[str] = (), unexpected: Iterable[str] = ()) -> LayoutMismatch:
        """Name the first five keys of each kind, with counts."""
        parts = []
        for kind, keys in (("missing", sorted(missing)), ("unexpected", sorted(unexpected))):
            if keys:
                more = ", …" if len(keys) > 5 else ""
                parts.append(f"{len(keys)} {kind}: {', '.join(keys[:5])}{more}")
        return cls(
            f"The tensors in {where} don't fit: {'; '.join(parts)}.",
            hint="Check that file and config belong together; `duologue inspect FILE` shows what it holds.",
        )


class SpeechError(DuologueError):
    """The model's output can't be used, after the retries that were allowed."""

    exit_code = 4


class EmptySpeech(SpeechError):
    """Nothing was spoken, or only silence."""


class CutSpeech(SpeechError):
    """Speech ended long before the text could have been spoken."""


class Runaway(SpeechError):
    """Speech looped or never ended."""


class Cancelled(DuologueError):
    """The caller stopped the work."""

    exit_code = 130


class BackendUnavailable(DuologueError):
    """An engine, device or optional package is missing; the hint says how to get it."""

    exit_code = 5
