"""Is somebody speaking? Silero's voice activity network, run by onnxruntime. Knows no turns and no words.

The network reads 16 kHz in windows of 32 ms; sound comes in at the house's 24 kHz in pieces of any length. Source of
the network: Silero VAD v6 (MIT), as faster-whisper packages it.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailable, WeightsDamaged
from ..timebase import RATE_HZ

WINDOW_SAMPLES = 768  # at 24 kHz: 32 ms, one probability
WINDOW_SECONDS = WINDOW_SAMPLES / RATE_HZ
HINT = 'pip install "duologue[talk]"'
_OVERLAP = 64  # samples of the window before, at 16 kHz, that the network wants to see again
_TAPS = 96  # of the low-pass between the rates, at their common 48 kHz
_HISTORY = _TAPS // 2
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class VadState:
    """All that the network remembers of one microphone. Arrays are never changed in place, so a state can be kept."""

    pending: Samples  # (n,) 24 kHz samples that don't fill a window yet
    history: Samples  # (48,) 24 kHz samples before them, for the low-pass
    overlap: Samples  # (64,) the last 16 kHz samples of the window before
    hidden: Samples  # (1, 1, 128)
    cell: Samples  # (1, 1, 128)


class SileroVad:
    """Voice activity of 24 kHz sound. One network serves any number of microphones, each with its own state."""

    def __init__(self, path: Path | None = None) -> None:
        """Load the network; `path` None is faster-whisper's. Raises BackendUnavailable, WeightsDamaged."""
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendUnavailable("Hearing when somebody speaks needs onnxruntime.", hint=HINT) from error
        source = path or bundled_network()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._network: Any = onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen types of its own
            raise WeightsDamaged(f"{source} is not a network that onnxruntime reads: {error}", hint=HINT) from error
        self._filter = _low_pass()

    def new_state(self) -> VadState:
        """Silence has been heard so far."""
        memory = np.zeros((1, 1, 128), np.float32)
        return VadState(_zeros(0), _zeros(_HISTORY), _zeros(_OVERLAP), memory, memory)

    def step(self, samples: Samples, state: VadState) -> tuple[list[float], VadState]:
        """Hear more sound (N,), float32 in [-1, 1] at 24 kHz; one probability for every 32 ms that are now whole.

        The k-th probability since the new state is about samples 768 k to 768 (k + 1), whatever pieces they came in.
        """
        heard = np.concatenate([state.pending, np.asarray(samples, np.float32)])
        whole = len(heard) // WINDOW_SAMPLES * WINDOW_SAMPLES
        if not whole:
            return [], VadState(heard, state.history, state.overlap, state.hidden, state.cell)
        known = np.concatenate([state.history, heard[:whole]])
        slow = np.concatenate([state.overlap, self._to_16_khz(known)])
        probabilities, hidden, cell = [], state.hidden, state.cell
        for first in range(0, len(slow) - _OVERLAP, 512):
            window = slow[None, first : first + 512 + _OVERLAP]
            found, hidden, cell = self._network.run(None, {"input": window, "h": hidden, "c": cell})
            probabilities.append(float(found.reshape(-1)[0]))
        return probabilities, VadState(heard[whole:].copy(), known[-_HISTORY:], slow[-_OVERLAP:], hidden, cell)

    def _to_16_khz(self, known: Samples) -> Samples:
        """(48 + 3 n,) samples at 24 kHz to the (2 n,) that follow the first 48, at 16 kHz."""
        even, odd = self._filter[0::2], self._filter[1::2]  # every other sample at 48 kHz is a zero: leave them out
        slow = np.empty((len(known) - _HISTORY) * 2 // 3, np.float32)
        slow[0::2] = np.convolve(known, even, "valid")[1::3]
        slow[1::2] = np.convolve(known, odd, "valid")[2::3]
        return slow


def bundled_network() -> Path:
    """The network's file in faster-whisper's package, which is looked up but not imported."""
    spec = importlib.util.find_spec("faster_whisper")
    places = spec.submodule_search_locations if spec else None
    for file in sorted(Path(places[0], "assets").glob("silero_vad*.onnx")) if places else []:
        return file
    raise BackendUnavailable("Hearing when somebody speaks needs the network in faster-whisper.", hint=HINT)


def _zeros(count: int) -> Samples:
    return np.zeros(count, np.float32)


def _low_pass() -> Samples:
    """A windowed sinc at 48 kHz that ends at 8 kHz; its gain of 2 makes up for the zeros in between."""
    places = np.arange(_TAPS) - (_TAPS - 1) / 2
    taps = np.sinc(places / 3) * np.kaiser(_TAPS, 6.0)
    return (2 * taps / taps.sum()).astype(np.float32)
