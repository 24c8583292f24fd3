"""How natural does it sound? Two networks that predict listeners' opinion scores (1 to 5). Knows no text.

DNSMOS P.835 (Microsoft, MIT, from the speechmos package; onnxruntime) and DistillMOS (Microsoft, MIT; torch).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BackendUnavailable
from ..timebase import RATE_HZ
from .asr import ASR_RATE_HZ, Samples, trim

DNSMOS_SAMPLES = int(9.01 * ASR_RATE_HZ)  # shorter speech is repeated, as Microsoft's script does
# Microsoft's polynomials from raw network outputs to opinion scores (signal, background, overall).
DNSMOS_POLYNOMIALS = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)


@dataclass(frozen=True)
class Dnsmos:
    """Opinion scores of the speech signal, of the background, and overall."""

    signal: float
    background: float
    overall: float


@functools.cache
def _dnsmos_session() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailable("onnxruntime is not installed.", hint="pip install 'duologue[evaluate]'") from error
    spec = importlib.util.find_spec("speechmos")
    if spec is None or not spec.submodule_search_locations:
        raise BackendUnavailable("speechmos is not installed.", hint="pip install --no-deps speechmos==0.0.1.1")
    path = Path(spec.submodule_search_locations[0]) / "dnsmos_models" / "sig_bak_ovr.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def dnsmos(clip: Samples, rate_hz: int = RATE_HZ) -> Dnsmos | None:
    """Scores of the first nine seconds of a clip; None without sound."""
    speech = trim(clip, rate_hz)
    if not len(speech):
        return None
    repeated = np.resize(speech, DNSMOS_SAMPLES) if len(speech) < DNSMOS_SAMPLES else speech[:DNSMOS_SAMPLES]
    session = _dnsmos_session()
    (raw,) = session.run(None, {session.get_inputs()[0].name: repeated[None].astype(np.float32)})[0]
    scores = [float(np.polyval(polynomial, value)) for polynomial, value in zip(DNSMOS_POLYNOMIALS, raw, strict=True)]
    return Dnsmos(*scores)


@functools.cache
def _distillmos_model() -> Any:
    # distillmos imports torchaudio only for its own command line; a stand-in spares a large dependency.
    if importlib.util.find_spec("torchaudio") is None:
        sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
    try:
        import distillmos
    except ImportError as error:
        raise BackendUnavailable(
            "DistillMOS is not installed.", hint="pip install --no-deps distillmos==0.9.1"
        ) from error
    with contextlib.redirect_stdout(io.StringIO()):  # it announces its file
        return distillmos.ConvTransformerSQAModel().eval()


def distillmos_score(clip: Samples, rate_hz: int = RATE_HZ) -> float | None:
    """DistillMOS of a clip; None without sound."""
    import torch

    speech = trim(clip, rate_hz)
    if not len(speech):
        return None
    with torch.inference_mode():
        return float(_distillmos_model()(torch.from_numpy(speech)[None]))
