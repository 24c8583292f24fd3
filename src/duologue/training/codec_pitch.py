"""Pitch of clean speech, for training targets and for judging a codec. Knows numpy and nothing of networks.

Autocorrelation of Hann-windowed frames divided by the window's own, a small cost against low octaves, and the cheapest
path through the candidates of all frames (the method of Boersma 1993, "Accurate short-term analysis of the fundamental
frequency…", with his costs).
"""

from __future__ import annotations

import numpy as np

from ..timebase import RATE_HZ

HOP = 240  # one value each 10 ms, at samples 120, 360, 600, …
_WINDOW = 1200  # 50 ms: three periods of 60 Hz
_FFT = 4096
_LOW_HZ, _HIGH_HZ = 60.0, 600.0
_CANDIDATES = 4
_VOICED_THRESHOLD, _SILENCE_THRESHOLD = 0.45, 0.03
_OCTAVE_COST, _JUMP_COST, _VOICING_COST = 0.02, 0.35, 0.14
_BLOCK = 4000


def pitch_track(wav: np.ndarray) -> np.ndarray:
    """Pitch in Hz of every hop of float samples (N,), 0 where unvoiced: (N // 240,) float32."""
    hops = len(wav) // HOP
    if hops == 0:
        return np.zeros(0, np.float32)
    left = (_WINDOW - HOP) // 2
    padded = np.pad(wav.astype(np.float32), (left, _WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: hops * HOP : HOP]
    peak = float(np.quantile(np.abs(wav[: hops * HOP].reshape(hops, HOP)).max(1), 0.99)) + 1e-6
    parts = [_candidates(frames[i : i + _BLOCK], peak) for i in range(0, hops, _BLOCK)]
    hertz, strength = (np.concatenate(values) for values in zip(*parts, strict=True))
    return _best_path(hertz, strength)


def _candidates(frames: np.ndarray, peak: float) -> tuple[np.ndarray, np.ndarray]:
    """Candidate 0 is "unvoiced" (0 Hz); the others are the strongest peaks: both (hops, 1 + candidates)."""
    window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    centred = frames - frames.mean(1, keepdims=True)
    low, high = int(RATE_HZ / _HIGH_HZ), int(RATE_HZ / _LOW_HZ) + 2
    own = np.fft.irfft(np.abs(np.fft.rfft(window, _FFT)) ** 2)[: high + 1]
    power = np.abs(np.fft.rfft(centred * window, _FFT)) ** 2
    lags = np.fft.irfft(power)[:, : high + 1]
    r = lags / (lags[:, :1] + 1e-9) / (own / own[0])
    middle = r[:, low:high]
    before, after = r[:, low - 1 : high - 1], r[:, low + 1 : high + 1]
    bend = 2 * middle - before - after
    is_peak = (middle > before) & (middle >= after) & (middle > 0.2)
    shift = np.where(is_peak, 0.5 * (after - before) / np.maximum(bend, 1e-9), 0).clip(-0.5, 0.5)
    height = middle + 0.25 * (after - before) * shift
    hertz = RATE_HZ / (np.arange(low, high) + shift)
    score = np.where(is_peak, height - _OCTAVE_COST * np.log2(_HIGH_HZ / hertz), -9.0)
    best = np.argpartition(-score, _CANDIDATES, axis=1)[:, :_CANDIDATES]
    loudness = np.abs(centred).max(1) / peak
    unvoiced = _VOICED_THRESHOLD + np.maximum(0, 2 - loudness / (_SILENCE_THRESHOLD / (1 + _VOICED_THRESHOLD)))
    return (
        np.concatenate([np.zeros((len(frames), 1)), np.take_along_axis(hertz, best, 1)], axis=1),
        np.concatenate([unvoiced[:, None], np.take_along_axis(score, best, 1)], axis=1),
    )


def _best_path(hertz: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Viterbi: strength along the path less the cost of octave jumps and of voicing changes."""
    voiced = hertz > 0
    octave = np.log2(np.where(voiced, hertz, 1.0))
    total = strength[0]
    back = np.zeros(hertz.shape, np.int64)
    for t in range(1, len(hertz)):
        both = voiced[t - 1][:, None] & voiced[t][None]
        differ = voiced[t - 1][:, None] ^ voiced[t][None]
        cost = _JUMP_COST * np.abs(octave[t - 1][:, None] - octave[t][None]) * both + _VOICING_COST * differ
        score = total[:, None] - cost
        back[t] = score.argmax(0)
        total = score[back[t], np.arange(hertz.shape[1])] + strength[t]
    path = np.zeros(len(hertz), np.int64)
    path[-1] = total.argmax()
    for t in range(len(hertz) - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return hertz[np.arange(len(hertz)), path].astype(np.float32)
