"""What llama.cpp's Mimi does to sound: the same codes decoded properly, in pieces of 10 s, and without the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..api import Model
from ..audio import Samples
from ..compat.deviating import decode_in_pieces
from ..compat.deviations import PIECE_FRAMES
from ..compat.llama_prompt import PromptTurn
from ..compat.llama_speech import LlamaSpeech, SpokenTurn
from ..mimi.sounding import SoundCodec
from ..speaking import GenerationConfig
from .clips import Clip
from .codec_metrics import mel_distance, pitch_kept
from .quantization_speech import Listening, compared

Codes = npt.NDArray[np.int64]
NEAR_SECONDS = 0.25  # around a seam


def sound_faults(model: Model, codec: SoundCodec, listening: Listening, seed: int) -> dict[str, Any]:
    """Sentences one by one, and all in one stream, decoded in three ways."""
    voices = [listening.voice_of(number) for number in range(len(listening.sentences))]
    spoken = [
        _codes(model, sentence, voice, seed + number)
        for number, (sentence, voice) in enumerate(zip(listening.sentences, voices, strict=True))
    ]
    proper = [codec.decode(codes) for codes in spoken]
    heard = listening.judged(_clips(listening, proper))
    found: dict[str, Any] = {"proper": {"speech": compared(heard, heard)}}
    stream = np.concatenate(spoken, axis=1)
    whole = codec.decode(stream)
    found["stream_frames"] = int(stream.shape[1])
    for name, mask in (("pieces", False), ("mask", True)):
        other = [decode_in_pieces(codec, codes, mask=mask) for codes in spoken]
        found[name] = {
            "sentences": _differences(proper, other),
            "stream": _at_seams(whole, decode_in_pieces(codec, stream, mask=mask), codec.frame_samples),
            "speech": compared(listening.judged(_clips(listening, other)), heard),
        }
    return found


def _codes(model: Model, sentence: str, voice: str | None, seed: int) -> Codes:
    speaker = model.voice(voice).speaker if voice else 0
    speech = LlamaSpeech(model, {speaker: voice} if voice else {}, seed, GenerationConfig())
    (said,) = (part for part in speech.speak([PromptTurn(speaker, sentence)]) if isinstance(part, SpokenTurn))
    return said.codes


def _clips(listening: Listening, sounds: Sequence[Samples]) -> list[Clip]:
    return [
        Clip(sentence, listening.voice_of(number) or "default", sound)
        for number, (sentence, sound) in enumerate(zip(listening.sentences, sounds, strict=True))
    ]


def _differences(proper: Sequence[Samples], other: Sequence[Samples]) -> dict[str, float]:
    """How far two decodings of the same codes are apart, by signal, by spectrum, by pitch."""
    signal = sum(float(np.square(one.astype(np.float64)).sum()) for one in proper)
    noise = sum(float(np.square(a.astype(np.float64) - b).sum()) for a, b in zip(proper, other, strict=True))
    pitches = [pitch_kept(a, b) for a, b in zip(proper, other, strict=True)]
    voiced = sum(count for _, count in pitches)
    kept = sum(share * count for share, count in pitches if count)
    return {
        "signal_to_noise_db": round(10 * float(np.log10(signal / max(noise, 1e-12))), 2),
        "mel_distance": round(float(np.mean([mel_distance(a, b) for a, b in zip(proper, other, strict=True)])), 4),
        "pitch_kept_percent": round(100 * kept / max(1, voiced), 2),
    }


def _at_seams(whole: Samples, other: Samples, frame_samples: int) -> dict[str, float]:
    """Spectral distance around the seams and elsewhere, and the jump from sample to sample at a seam."""
    seams = np.arange(PIECE_FRAMES * frame_samples, len(whole), PIECE_FRAMES * frame_samples)
    near = int(NEAR_SECONDS * 24_000)
    around = [slice(seam - near, seam + near) for seam in seams]
    between = [slice(seam - 20 * near, seam - 18 * near) for seam in seams]
    jumps = {name: np.abs(np.diff(sound)) for name, sound in (("whole", whole), ("pieces", other))}
    return {
        "seams": len(seams),
        "mel_distance_at_seams": round(float(np.mean([mel_distance(whole[a], other[a]) for a in around])), 4),
        "mel_distance_between": round(float(np.mean([mel_distance(whole[a], other[a]) for a in between])), 4),
        "jump_at_seams": round(float(np.mean(jumps["pieces"][seams - 1])), 4),
        "jump_there_without_seam": round(float(np.mean(jumps["whole"][seams - 1])), 4),
        "jump_typical": round(float(np.mean(jumps["whole"])), 4),
    }
