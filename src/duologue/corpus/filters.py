"""Which recordings are good enough to learn from. Knows sound and numbers; every refusal has a name for the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..timebase import RATE_HZ

CLIPPED_AT = 0.995
BLOCK = RATE_HZ // 40  # 25 ms


@dataclass(frozen=True)
class Limits:
    """What is kept. `max_cer` compares a given transcript with what an ASR heard."""

    min_seconds: float = 0.5
    max_seconds: float = 15.0
    max_clipped: float = 0.002  # share of samples
    max_silence: float = 0.6  # share of 25 ms blocks that are 35 dB below the speech
    min_snr_db: float = 12.0  # loud blocks over quiet ones
    max_cer: float = 0.15
    letters_per_second: tuple[float, ...] = (4.0, 30.0)


def fault_of_sound(samples: np.ndarray, limits: Limits) -> str | None:
    """Why a clip (N,) can't be used, or None."""
    seconds = len(samples) / RATE_HZ
    if seconds < limits.min_seconds:
        return "too short"
    if seconds > limits.max_seconds:
        return "too long"
    level = block_levels(samples)
    if level.max() < 1e-3:
        return "silent"
    if float((np.abs(samples) >= CLIPPED_AT).mean()) > limits.max_clipped:
        return "clipped"
    if float((level < level_of_speech(level) * 10 ** (-35 / 20)).mean()) > limits.max_silence:
        return "mostly silence"
    if snr_db(level) < limits.min_snr_db:
        return "noisy"
    return None


def fault_of_pace(text: str, seconds: float, limits: Limits) -> str | None:
    """Whether so many letters can be said in so many seconds."""
    pace = sum(character.isalnum() for character in text) / max(seconds, 1e-3)
    slowest, fastest = limits.letters_per_second
    if pace < slowest:
        return "too few words for its length"
    return "too many words for its length" if pace > fastest else None


def block_levels(samples: np.ndarray) -> np.ndarray:
    """RMS of each 25 ms of (N,)."""
    whole = max(1, len(samples) // BLOCK) * BLOCK
    blocks = np.pad(samples, (0, max(0, whole - len(samples))))[:whole].reshape(-1, BLOCK)
    return np.asarray(np.sqrt(np.mean(blocks.astype(np.float64) ** 2, axis=1)))


def level_of_speech(levels: np.ndarray) -> float:
    """The level that the louder tenth of the blocks reaches."""
    return float(np.quantile(levels, 0.9))


def snr_db(levels: np.ndarray) -> float:
    """How far speech stands above the quietest twentieth; digital silence counts as -100 dB."""
    quiet = max(float(np.quantile(levels, 0.05)), 1e-5)
    return 20 * float(np.log10(max(level_of_speech(levels), 1e-5) / quiet))
