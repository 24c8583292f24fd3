"""What leaving out Llama 3's scaling does to positions: by arithmetic, and on random weights of real head sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..compat.deviating import with_config
from ..compat.deviations import unscaled
from ..csm.config import CSM_1B, CsmConfig
from ..csm.frames import Segment, lay_out
from ..csm.model import Csm
from ..engine.base import FrameSampling, Sampling
from ..engine.generator import Limits, begin, generate_frames
from ..engine.torch_engine import TorchEngine
from ..nn.llama_config import StackConfig
from ..nn.llama_rope import inverse_frequencies

DISTANCES = (10, 100, 500, 1000, 2000)
GREEDY = FrameSampling(0, Sampling(0.0), Sampling(0.0), Sampling(0.0))


def angles(stack: StackConfig) -> dict[str, Any]:
    """Pairs turned otherwise, and how alike attention scores of random queries and keys still are, by distance."""
    scaled, plain = (
        inverse_frequencies(stack.head_width, stack.rope_base, scaling).double().numpy()
        for scaling in (stack.rope_scaling, None)
    )
    difference = np.abs(plain - scaled)
    return {
        "head_width": stack.head_width,
        "rope_base": stack.rope_base,
        "pairs": len(scaled),
        "pairs_changed": int((difference > 1e-12).sum()),
        "radians_of_the_most_changed_pair": {str(d): round(float(difference.max()) * d, 3) for d in DISTANCES},
        "score_correlation": {str(d): round(float(np.cos(difference * d).mean()), 4) for d in DISTANCES},
    }


def random_model(layers: int = 4) -> CsmConfig:
    """CSM-1B with its head sizes, codebooks and positions, but narrow and of few layers: minutes instead of hours."""
    backbone = replace(CSM_1B.backbone, layers=layers, width=512, heads=8, kv_heads=2, hidden=1024)
    depth = replace(CSM_1B.depth, layers=2, width=256, heads=2, kv_heads=1, hidden=512)
    return replace(CSM_1B, backbone=backbone, depth=depth, text_vocab=1024)


def codes_changed(origins: tuple[int, ...] = (0, 500, 1500), frames: int = 24, seed: int = 0) -> dict[str, Any]:
    """Share of greedy codes that differ without scaling, after so many rows of context; weights are random."""
    torch.manual_seed(seed)
    csm = Csm(random_model())
    with torch.no_grad():
        for name, parameter in csm.named_parameters():
            if ".attn." in name and parameter.ndim > 1:
                parameter.mul_(4.0)  # so that attention is not uniform, as it is in a new network
    engines = [TorchEngine(csm), TorchEngine(with_config(csm, unscaled(csm.config)))]
    shares = {}
    for rows in origins:
        spoken = [_speak(engine, rows, frames, seed) for engine in engines]
        shares[str(rows)] = round(100 * float((spoken[0] != spoken[1]).mean()), 1)
    return {"frames": frames, "codes_changed_percent_by_rows_of_context": shares}


def _speak(engine: TorchEngine, rows: int, frames: int, seed: int) -> np.ndarray:
    """Codes (K,T) behind `rows` rows of random context, greedily; a turn that ends is filled with -1."""
    config, drawn = engine.config, np.random.default_rng(seed)
    text = drawn.integers(0, config.text_vocab, 12)
    past = drawn.integers(1, config.codec_entries, (config.num_codebooks, max(1, rows)))
    segments = [Segment(text, past), Segment(text)] if rows else [Segment(text)]
    prompt = lay_out(config, segments)
    with torch.inference_mode():
        utterance = begin(engine, engine.new_cache(), prompt, text, GREEDY, Limits(frames, min_frames=frames))
        codes = [frame.codes for frame in generate_frames(engine, utterance)]
    return np.stack(codes, axis=1)
