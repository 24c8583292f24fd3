"""What a codec loses: pitch, spectrum, intelligibility, and how much of its codebooks it uses. Knows sound and codes.

Pairs of clips are at 24 kHz and aligned, as a codec's round trip is; the longer one is cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from ..errors import BackendUnavailable, InputError
from ..timebase import RATE_HZ
from .asr import ASR_RATE_HZ, Samples

F0_WINDOW, F0_HOP = 1200, 480  # 50 ms every 20 ms
F0_MIN_HZ, F0_MAX_HZ = 60.0, 400.0
VOICED_PERIODICITY, VOICED_POWER = 0.6, 1e-3
F0_TOLERANCE = 0.10
OCTAVE_COST = 0.15
MEL_FFT, MEL_HOP, MEL_BANDS = 1024, 256, 80


@dataclass(frozen=True)
class PitchTrack:
    """Per 20 ms: fundamental frequency in Hz (T,), periodicity 0..1 (T,), mean power (T,)."""

    f0_hz: npt.NDArray[np.float64]
    periodicity: npt.NDArray[np.float64]
    power: npt.NDArray[np.float64]

    @property
    def voiced(self) -> npt.NDArray[np.bool_]:
        return (self.periodicity > VOICED_PERIODICITY) & (self.power > VOICED_POWER)


@dataclass(frozen=True)
class CodebookUse:
    """Of one codebook: entries used at all, and perplexity (the number of entries if all were equally frequent)."""

    used: int
    perplexity: float


def pitch(clip: Samples) -> PitchTrack:
    """Autocorrelation pitch, corrected for the window's own taper. Raises InputError for a clip below 50 ms."""
    if len(clip) < F0_WINDOW:
        raise InputError(f"{len(clip)} samples are too few for a pitch; {F0_WINDOW} are needed.", field="clip")
    shortest, longest = int(RATE_HZ / F0_MAX_HZ), int(RATE_HZ / F0_MIN_HZ)
    frames = np.lib.stride_tricks.sliding_window_view(clip, F0_WINDOW)[::F0_HOP].astype(np.float64)  # (T, 1200)
    frames = frames - frames.mean(axis=1, keepdims=True)
    taper = np.hanning(F0_WINDOW)
    correlation = _autocorrelation(frames * taper)[:, : longest + 1] / _autocorrelation(taper)[: longest + 1]
    correlation = correlation / np.maximum(correlation[:, :1], 1e-12)
    # A periodic sound correlates as well at twice its period: prefer the shorter lag of near-equals.
    preference = 1 - OCTAVE_COST * np.arange(shortest, longest + 1) / longest
    lags = shortest + (correlation[:, shortest : longest + 1] * preference).argmax(axis=1)
    return PitchTrack(RATE_HZ / lags, correlation[np.arange(len(lags)), lags], np.mean(frames**2, axis=1))


def _autocorrelation(frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    spectrum = np.abs(np.fft.rfft(frames, 4096)) ** 2
    return np.fft.irfft(spectrum)


def pitch_kept(original: Samples, decoded: Samples) -> tuple[float, int]:
    """Share of the original's voiced frames whose pitch is within 10 % afterwards, and how many frames those are."""
    shorter = min(len(original), len(decoded))
    before, after = pitch(original[:shorter]), pitch(decoded[:shorter])
    voiced = before.voiced
    near = np.abs(np.log(after.f0_hz / before.f0_hz)) < np.log1p(F0_TOLERANCE)
    return (float(near[voiced].mean()) if voiced.any() else float("nan")), int(voiced.sum())


def mel_distance(original: Samples, decoded: Samples) -> float:
    """Mean absolute difference of log10 mel magnitudes (80 bands, 1024-point windows)."""
    shorter = min(len(original), len(decoded))
    return float(np.abs(_log_mel(original[:shorter]) - _log_mel(decoded[:shorter])).mean())


def _log_mel(clip: Samples) -> npt.NDArray[np.float64]:
    from .speaker import slaney_bands

    padded = np.pad(clip, (0, max(0, MEL_FFT - len(clip))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, MEL_FFT)[::MEL_HOP] * np.hanning(MEL_FFT)
    magnitudes = np.abs(np.fft.rfft(frames)) @ slaney_bands(RATE_HZ, MEL_FFT, MEL_BANDS).T
    return np.log10(np.maximum(magnitudes, 1e-5))


def intelligibility(original: Samples, decoded: Samples) -> dict[str, float]:
    """PESQ wide-band (1 to 4.6), STOI and extended STOI (0 to 1), at 16 kHz."""
    try:
        from pesq import PesqError, pesq
        from pystoi import stoi
    except ImportError as error:
        raise BackendUnavailable(
            "pesq or pystoi is not installed.", hint="pip install pesq==0.0.4 pystoi==0.4.1"
        ) from error
    shorter = min(len(original), len(decoded))
    before, after = (
        soxr.resample(clip[:shorter].astype(np.float32), RATE_HZ, ASR_RATE_HZ) for clip in (original, decoded)
    )
    try:
        quality = float(pesq(ASR_RATE_HZ, before, after, "wb"))
    except PesqError as error:
        raise InputError(
            f"PESQ can't rate this pair: {error}.", hint="Is there speech in both?", field="clip"
        ) from error
    plain, extended = (float(stoi(before, after, ASR_RATE_HZ, extended=flag)) for flag in (False, True))
    return {"pesq_wb": quality, "stoi": plain, "estoi": extended}


def codebook_use(codes: npt.NDArray[np.int64], entries: int) -> list[CodebookUse]:
    """How each of K codebooks is used over codes (K,T)."""
    uses = []
    for row in codes:
        counts = np.bincount(row, minlength=entries).astype(np.float64)
        shares = counts[counts > 0] / max(1.0, counts.sum())
        uses.append(CodebookUse(int((counts > 0).sum()), float(np.exp(-(shares * np.log(shares)).sum()))))
    return uses
