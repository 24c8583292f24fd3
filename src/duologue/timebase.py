"""The time base of the whole house: samples, frames, seconds. Knows nothing else.

24 000 samples a second, 1920 samples a frame, so 12.5 frames a second (one frame = 80 ms).
"""

from __future__ import annotations

RATE_HZ = 24_000
FRAME_SAMPLES = 1_920
FRAME_MS = 1_000 * FRAME_SAMPLES // RATE_HZ
FRAMES_PER_SECOND = RATE_HZ / FRAME_SAMPLES


def exact_div(numerator: int, denominator: int) -> int:
    """Divide where a remainder would be a bug. Raises ValueError if there is one."""
    quotient, remainder = divmod(numerator, denominator)
    if remainder:
        raise ValueError(f"{numerator} is not a multiple of {denominator}")
    return quotient


def frames_covering(samples: int) -> int:
    """Number of frames that hold `samples` samples, the last one perhaps partly: ceil(samples / 1920)."""
    return -(-samples // FRAME_SAMPLES)


def frames_to_samples(frames: int) -> int:
    """Number of samples in `frames` whole frames."""
    return frames * FRAME_SAMPLES


def frames_to_seconds(frames: int) -> float:
    """Duration of `frames` frames in seconds."""
    return frames * FRAME_SAMPLES / RATE_HZ


def seconds_to_frames(seconds: float) -> int:
    """Whole frames that fit into `seconds`, rounding down."""
    return int(seconds * RATE_HZ) // FRAME_SAMPLES


def samples_to_seconds(samples: int) -> float:
    """Duration of `samples` samples in seconds."""
    return samples / RATE_HZ


assert exact_div(1_000 * FRAME_SAMPLES, RATE_HZ) == FRAME_MS == 80
