"""Good files of every kind, and who reads them. A reader may answer or raise a DuologueError, nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from duologue.audio import Audio
from duologue.audio_files import read_audio
from duologue.codes_file import read_codes, write_codes
from duologue.conversation_file import read_turns, write_turns
from duologue.engine.base import FrameRequest, FrameSampling
from duologue.engine.native_engine import NativeEngine
from duologue.engine.packed_file import load_part, packed_for_file
from duologue.engine.quantize import PLANS
from duologue.engine.unpacking import unpacked
from duologue.text.script import parse_script
from duologue.training.ctranslate2_file import read_ctranslate2
from duologue.voice import Voice
from duologue.weights.checkpoint import open_checkpoint
from duologue.weights.csm_files import read_csm
from duologue.weights.gguf_llama_csm import write_llama_csm
from duologue.weights.gguf_llama_mimi import write_llama_mimi
from duologue.weights.gguf_models import open_model
from duologue.weights.hub import HubAccess, shard_names
from duologue.weights.load import locate
from duologue.weights.mimi import load_mimi
from duologue.weights.stored_array import as_floats
from duologue.weights.type_policy import named_policy
from duologue.weights.whole_model import read_whole, write_whole
from tests.tiny import speech_like, write_tiny_model
from tests.training.ctranslate2_writer import write_ctranslate2
from tests.weights.gguf_models import codec_part, csm_part, tokenizer_json

from .gguf_mutations import mutate_gguf, mutate_packed
from .mutations import mutate

PACKED = ("float32", "int8", "compact")
SCRIPT = "[0]Hello there. [1]Hi! How are you?\n[0] Fine, thanks; it's 10:30 already."


@dataclass(frozen=True)
class Target:
    """A kind of file: its name, a good example, and its reader."""

    name: str
    seeds: tuple[Path, ...]
    read: Callable[[Path], object]
    mutate: Callable[[bytes, random.Random], bytes] = mutate


def make_targets(folder: Path) -> list[Target]:
    """Write good files into `folder`."""
    model = write_tiny_model(folder / "model")
    plain = write_tiny_model(folder / "plain", aligned=False)
    sound = Audio(speech_like(0.4))
    for ending in ("wav", "flac", "mp3", "opus"):
        sound.save(folder / f"sound.{ending}")
    voice = Voice.from_audio(Audio(speech_like(1.5)), "These are the words.")
    voice = voice.with_codes(np.ones((4, 19), np.int64), "abc")
    voice.save(folder / "voice.safetensors")
    write_turns(folder / "conversation.safetensors", [], {0: voice}, 0, "abc")
    for ending in ("txt", "npy", "safetensors"):
        write_codes(np.arange(40).reshape(4, 10), folder / f"codes.{ending}")
    listener = {"encoder/conv1/weight": np.ones((4, 3, 3), np.float16), "encoder/num_heads": np.array(2, np.int16)}
    write_ctranslate2(folder / "listener.bin", listener)
    (folder / "script.txt").write_text(SCRIPT)
    (folder / "named.txt").write_text("ANNA: Hello.\nBEN: Hi there.\n")
    index = {"metadata": {}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
    (folder / "index.json").write_text(json.dumps(index))
    _write_gguf(folder, plain)
    _write_packed(folder, model)
    return [
        Target("csm weights", (model / "csm.safetensors", plain / "csm.safetensors"), _csm),
        Target("codec weights", (model / "codec.safetensors",), load_mimi),
        Target("gguf model weights", (folder / "whole.gguf", folder / "rounded.gguf"), _gguf, mutate_gguf),
        Target("gguf engine weights", tuple(folder / f"own-{plan}.gguf" for plan in PACKED), _engine, mutate_packed),
        Target("gguf backbone weights", (folder / "backbone.gguf",), _backbone, mutate_gguf),
        Target("gguf codec weights", (folder / "mimi.gguf",), load_mimi, mutate_gguf),
        Target("listener weights", (folder / "listener.bin",), read_ctranslate2),
        Target("model card", (model / "model.json",), _card),
        Target("shard index", (folder / "index.json",), shard_names),
        Target("voice", (folder / "voice.safetensors",), Voice.load),
        Target("conversation", (folder / "conversation.safetensors",), lambda path: read_turns(path, "abc")),
        Target("sound", tuple(folder / f"sound.{e}" for e in ("wav", "flac", "mp3", "opus")), _sound),
        Target("codes", tuple(folder / f"codes.{e}" for e in ("txt", "npy", "safetensors")), _codes),
        Target("script", (folder / "script.txt", folder / "named.txt"), _script),
    ]


def _write_gguf(folder: Path, plain: Path) -> None:
    """Our own file, plain and rounded; and the pull request's three."""
    whole = read_whole(locate(plain))
    write_whole(whole, folder / "whole.gguf")
    write_whole(whole, folder / "rounded.gguf", named_policy("Q8_0", backbone="Q4_0", codec="F16"))
    (folder / "pr").mkdir(exist_ok=True)
    target = folder / "pr" / "m-<component>.gguf"
    write_llama_csm(csm_part(), target, "F16", tokenizer=tokenizer_json())
    (folder / "backbone.gguf").write_bytes((folder / "pr" / "m-backbone.gguf").read_bytes())
    write_llama_mimi(codec_part(), folder / "mimi.gguf", "F32")


def _write_packed(folder: Path, model: Path) -> None:
    """Files in the CPU engine's form."""
    whole = read_whole(locate(model))
    for plan in PACKED:
        packed = packed_for_file(whole.csm.config, whole.csm.arrays, PLANS[plan])
        write_whole(whole, folder / f"own-{plan}.gguf", packed=packed)


def _engine(path: Path) -> object:
    """The engine itself: a past of a few rows, and frames drawn from whatever comes out of the weights."""
    files = locate(path, HubAccess(offline=True))
    if files.packed is None:
        return _gguf(path)
    engine = NativeEngine(load_part(files.packed))
    config, cache = engine.config, engine.new_cache()
    rows = np.full((4, config.columns), -1, np.int64)
    rows[:, : config.num_codebooks] = 1
    engine.prefill(cache, rows[:3], np.arange(3))
    drawn = [engine.frames([FrameRequest(cache, rows[3], 3 + i, i, FrameSampling())]) for i in range(2)]
    codes = np.array([frame.codes for frames in drawn for frame in frames])
    assert ((codes >= 0) & (codes < config.codebook_size)).all(), "a code that does not exist"
    for array in unpacked(engine.packed).values():
        as_floats(array)
    return [Voice.from_parts(voice.card, voice.arrays, "fuzz") for voice in files.stored_voices]


def _gguf(path: Path) -> object:
    """All of a model: its numbers, codec, card, tokenizer and voices."""
    files = locate(path, HubAccess(offline=True))
    whole = read_whole(files)
    for array in (*whole.csm.arrays.values(), *whole.codec.arrays.values()):
        as_floats(array)
    return [Voice.from_parts(voice.card, voice.arrays, "fuzz") for voice in whole.voices]


def _backbone(path: Path) -> object:
    """A backbone's file beside its decoder's, as a program would find them."""
    place = path.parent / "pr" / "m-backbone-case.gguf"
    place.write_bytes(path.read_bytes())
    try:
        parts = open_model(place)
        part = parts.speech_model()
        parts.tokenizer()
        return [as_floats(array) for array in part.arrays.values()]
    finally:
        place.unlink()


def _csm(path: Path) -> object:
    open_checkpoint(path)
    return read_csm(path)


def _card(path: Path) -> object:
    """model.json is read inside a folder of its name, with the weights it belongs to."""
    folder = path.parent / "card"
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_bytes(path.read_bytes())
    for name in ("csm.safetensors", "codec.safetensors"):
        (folder / name).touch()
    return locate(folder)


def _sound(path: Path) -> object:
    return read_audio(path, max_seconds=60.0)


def _codes(path: Path) -> object:
    return read_codes(path, 4)


def _script(path: Path) -> object:
    return parse_script(path.read_bytes().decode("utf-8", "replace"))
