"""What a CSM in training sounds like: a few held-out turns spoken from their text alone. Knows no training step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from ..csm.frames import Segment, lay_out
from ..csm.model import Csm
from ..engine.base import FrameSampling, Sampling
from ..engine.generator import Limits, Utterance, begin, step
from ..engine.torch_engine import TorchEngine
from ..mimi.codec import Mimi
from ..timebase import RATE_HZ
from .csm_data import Ints, TurnRows

BATCH_TURNS = 8
LONGEST_FRAMES = 188  # 15 s
SAMPLING = FrameSampling(first=Sampling(0.3, 10), depth=Sampling(0.2, 10), advance=Sampling(0.4, 0))


def speak(model: Csm, texts: Sequence[Ints], sampling: FrameSampling = SAMPLING) -> list[Utterance]:
    """Speak texts (U,) without context. Each utterance holds its codes and tells in `ending` why it stopped."""
    engine = TorchEngine(copy.deepcopy(model))
    spoken = []
    for start in range(0, len(texts), BATCH_TURNS):
        group = [_begin(engine, text, sampling) for text in texts[start : start + BATCH_TURNS]]
        while running := [utterance for utterance in group if utterance.ending is None]:
            step(engine, running)
        spoken += group
    return spoken


def _begin(engine: TorchEngine, text: Ints, sampling: FrameSampling) -> Utterance:
    prompt = lay_out(engine.config, [Segment(text)])
    return begin(engine, engine.new_cache(), prompt, text, sampling, Limits(LONGEST_FRAMES))


def write_samples(folder: Path, model: Csm, codec: Mimi, turns: Sequence[TurnRows]) -> int:
    """Write NN.wav (spoken by the model) and NN-codec.wav (the corpus through the codec); returns how many ended."""
    folder.mkdir(parents=True, exist_ok=True)
    spoken = speak(model, [turn.text for turn in turns])
    for number, (turn, utterance) in enumerate(zip(turns, spoken, strict=True)):
        if utterance.codes:
            _write(folder / f"{number:02d}.wav", codec, np.stack(utterance.codes, axis=1))
        _write(folder / f"{number:02d}-codec.wav", codec, turn.codes)
    return sum(utterance.ending == "eos" for utterance in spoken)


@torch.no_grad()
def _write(path: Path, codec: Mimi, codes: Ints) -> None:
    wav = codec.decode(torch.from_numpy(codes)[None])[0, 0].clamp(-1, 1)
    soundfile.write(path, wav.numpy(), RATE_HZ, subtype="PCM_16")
