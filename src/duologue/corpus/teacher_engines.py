"""What runs the teacher: ONNX Runtime for all of it, or torch in bfloat16 for everything after the front.

`choose` says which and why; both give the same durations. Knows nothing of phonemes, voices or levels.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import BackendUnavailable, InputError

ENGINES = ("auto", "onnx", "torch")
STYLE_OF_SOUND = 128  # of 256 numbers of a voice's style; the others are for the front alone


class Engine(Protocol):
    """Tokens (1, S) int64, style (1, 256), speed (1,) -> wav (N,) float32, durations (S,) in 600 samples."""

    def __call__(self, tokens: np.ndarray, style: np.ndarray, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


class OnnxEngine:
    """The whole int8 graph in ONNX Runtime, one thread."""

    def __init__(self, model: Path) -> None:
        self._session = _session(model)

    def __call__(self, tokens: np.ndarray, style: np.ndarray, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wav, durations = self._session.run(None, {"tokens": tokens, "style": style, "speed": speed})
        return wav.ravel().astype(np.float32), durations.ravel()


class TorchEngine:
    """The front in ONNX Runtime, decoder and generator in torch; sets this process's torch to one thread."""

    def __init__(self, model: Path) -> None:
        import torch

        from .teacher_sound import Sound
        from .teacher_weights import cut_front, read_sound

        torch.set_num_threads(1)
        self._front = _session(cut_front(model))
        self._sound = Sound(read_sound(model))

    def __call__(self, tokens: np.ndarray, style: np.ndarray, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        feed = {"tokens": tokens, "style": style, "speed": speed}
        durations, content, pitch, energy, source = self._front.run(None, feed)
        return self._sound(content, pitch, energy, source, style[:, :STYLE_OF_SOUND]), durations.ravel()


def choose(asked: str) -> tuple[str, str]:
    """The engine for "auto", "onnx" or "torch", and a line that says it with the reason."""
    if asked not in ENGINES:
        raise InputError(f"The teacher has no engine {asked!r}.", hint=f"One of {', '.join(ENGINES)}.")
    here = importlib.util.find_spec("torch") is not None
    if asked == "torch" and not here:
        raise BackendUnavailable("The teacher's engine torch needs torch.", hint="pip install torch==2.13.0")
    if asked == "onnx":
        return "onnx", "teacher: onnx, int8, as asked"
    if not here:
        return "onnx", "teacher: onnx, int8; torch, several times as fast with matrix units, is not installed"
    from .teacher_sound import has_matrix_units

    units = has_matrix_units()
    if asked == "torch":
        return "torch", f"teacher: torch, bfloat16, as asked; this CPU has {'' if units else 'no '}matrix units for it"
    if not units:
        return "onnx", "teacher: onnx, int8; this CPU has no bfloat16 matrix units for torch"
    return "torch", "teacher: torch, bfloat16 in this CPU's matrix units; front in onnx"


def load(name: str, model: Path) -> Engine:
    """The engine that `choose` named, for the assembled model."""
    return TorchEngine(model) if name == "torch" else OnnxEngine(model)


def _session(model: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
