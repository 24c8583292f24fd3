"""The library's front: load a model, speak, converse. Puts the parts together; holds no method of its own.

model = duologue.load()
model.generate("Hello there.").save("hello.wav")
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .audio import Audio, AudioLike, to_audio
from .conversation import Conversation, Reader, Turn
from .csm.config import CsmConfig
from .csm.frames import Segment
from .engine.base import Engine
from .errors import BackendUnavailable, InputError, VoiceError
from .reading import reader_for
from .speaking import GenerationConfig, Speech
from .spoken_context import HeardTurn, SpokenContext
from .voice import Voice, voice_folder
from .weights.hub import ANYHOW, HubAccess
from .weights.load import ModelCard, ModelFiles, locate, locate_codec

if TYPE_CHECKING:
    from .engine.assembly import AnyCodec

PREFIXES_KEPT = 8  # sets of voice prompts whose keys and values stay in memory
ENGINES = ("auto", "torch", "torch-int4", "native")


class Model:
    """A CSM with its codec, its way of reading text, and its voices. Several threads may use it."""

    def __init__(
        self,
        card: ModelCard,
        engine: Engine,
        codec: AnyCodec,
        reader: Reader,
        voices: Mapping[str, Voice] | None = None,
    ) -> None:
        self.card = card
        self.engine = engine
        self._codec = codec
        self.reader = reader
        self.usual = _usual(card)
        self.voices: dict[str, Voice] = dict(voices or {})
        self._prefixes: OrderedDict[str, SpokenContext] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def codec(self) -> AnyCodec:
        """Sound to codes and back."""
        return self._codec

    @property
    def config(self) -> CsmConfig:
        return self.engine.config

    def generate(
        self,
        text: str,
        *,
        voice: Voice | str | None = None,
        speaker: int | None = None,
        context: Sequence[Turn] = (),
        seed: int | None = None,
        options: GenerationConfig | None = None,
        **changes: Any,
    ) -> Audio:
        """Speak a text of any length. Keyword options are those of GenerationConfig: temperature=0.7, top_k=30, …

        The result carries its seed; the same seed gives the same audio. Raises SpeechError if no attempt was good.
        """
        return self.stream(
            text, voice=voice, speaker=speaker, context=context, seed=seed, options=options, **changes
        ).collect()

    def stream(
        self,
        text: str,
        *,
        voice: Voice | str | None = None,
        speaker: int | None = None,
        context: Sequence[Turn] = (),
        seed: int | None = None,
        options: GenerationConfig | None = None,
        **changes: Any,
    ) -> Speech:
        """Like `generate`, as an iterator of samples; the first ones leave after the first frame."""
        options = _changed(options, changes)
        conversation = self.conversation(voice, speaker=speaker, options=options)
        for turn in context:
            conversation.hear(turn.audio, turn.text, turn.speaker, rate_hz=turn.rate_hz)
        return conversation.stream(text, seed=seed)

    def conversation(
        self,
        voice: Voice | str | Mapping[int, Voice | str] | None = None,
        *,
        speaker: int | None = None,
        options: GenerationConfig | None = None,
        **changes: Any,
    ) -> Conversation:
        """Start a conversation. `voice` is one voice, or one per speaker number; None is the model's own choice."""
        if isinstance(voice, Mapping):
            voices = {number: self.voice(each) for number, each in voice.items()}
        else:
            voices = self._single(voice, speaker)
        return Conversation(self, voices, _changed(options, changes), speaker)

    def _single(self, voice: Voice | str | None, speaker: int | None) -> dict[int, Voice]:
        if voice is None:
            voice = self._default_voice(speaker)
        if voice is None:
            return {}
        found = self.voice(voice)
        return {found.speaker if speaker is None else speaker: found}

    def _default_voice(self, speaker: int | None) -> Voice | None:
        """The named default, or the voice that the model was trained to give this speaker number."""
        if speaker is None:
            return self.voices.get(self.card.default_voice)
        return next((voice for voice in self.voices.values() if voice.speaker == speaker), None)

    def voice(self, voice: Voice | str) -> Voice:
        """A voice by name or file, or the voice itself, encoded for this model. Raises VoiceError naming known ones."""
        if isinstance(voice, str):
            voice = self._named_voice(voice)
        if voice.codes is None or voice.codec != self.codec.fingerprint or len(voice.codes) < self.config.num_codebooks:
            voice = voice.with_codes(self.codec.encode(voice.audio.samples), self.codec.fingerprint)
            if self._is_own(voice):
                self.voices[voice.name] = voice
        return voice

    def _named_voice(self, name: str) -> Voice:
        if name in self.voices:
            return self.voices[name]
        if name.endswith(".safetensors") or "/" in name:
            return Voice.load(name)
        if (added := voice_folder() / f"{name}.safetensors").is_file():
            return Voice.load(added)
        known = ", ".join(self.voices) or "none"
        raise VoiceError(f"There is no voice {name!r}.", hint=f"Known voices: {known}; or give a voice file.")

    def resume(self, path: str | PathLike[str], options: GenerationConfig | None = None) -> Conversation:
        """A conversation that `Conversation.save` wrote, ready to go on."""
        return Conversation.resume(self, path, options)

    def encode(self, sound: AudioLike, rate_hz: int | None = None) -> np.ndarray:
        """Sound as codes (K,T) int64, 12.5 frames a second."""
        return np.asarray(self.codec.encode(to_audio(sound, rate_hz).samples))

    def decode(self, codes: np.ndarray) -> Audio:
        """Codes (K,T) as sound."""
        return Audio(self.codec.decode(np.asarray(codes)))

    def pinned_context(self, voices: Sequence[Voice]) -> SpokenContext:
        """A past that holds these voices' prompts; read once per set of voices, then shared as a copy."""
        turns = [self._prompt(voice) for voice in voices if self.card.pin_voices or not self._is_own(voice)]
        key = _key(turns)
        with self._lock:
            if key not in self._prefixes:
                self._prefixes[key] = SpokenContext(self.engine, turns)
                while len(self._prefixes) > PREFIXES_KEPT:
                    self._prefixes.popitem(last=False)
            self._prefixes.move_to_end(key)
            return self._prefixes[key].fork()

    def _is_own(self, voice: Voice) -> bool:
        own = self.voices.get(voice.name)
        return own is not None and (own.audio is voice.audio or _same_recording(own, voice))

    def _prompt(self, voice: Voice) -> HeardTurn:
        voice = self.voice(voice)
        assert voice.codes is not None
        read = self.reader.turn(voice.transcript, voice.speaker, voice.accent, True)
        codes = voice.codes[: self.config.num_codebooks]
        fitting = voice.pointers is not None and int(voice.pointers.max(initial=0)) < len(read.ids)
        pointers = voice.pointers if fitting and self.config.aligned is not None else None
        return HeardTurn(voice.speaker, read.text, Segment(read.ids, codes, pointers), accent=voice.accent)


def _same_recording(one: Voice, other: Voice) -> bool:
    """Whether two voices are one recording, of which a saved conversation holds 16 bits a sample."""
    a, b = one.audio.samples, other.audio.samples
    return one.transcript == other.transcript and len(a) == len(b) and bool(np.abs(a - b).max(initial=0) < 2**-14)


def _usual(card: ModelCard) -> GenerationConfig:
    return GenerationConfig(
        card.temperature,
        card.top_k,
        depth_temperature=card.depth_temperature,
        depth_top_k=card.depth_top_k,
        advance_temperature=card.advance_temperature,
        guidance=card.guidance,
    )


def _changed(options: GenerationConfig | None, changes: Mapping[str, Any]) -> GenerationConfig:
    try:
        return replace(options or GenerationConfig(), **changes)
    except TypeError as error:
        known = ", ".join(GenerationConfig.__dataclass_fields__)
        raise InputError(f"Unknown option: {', '.join(changes)}.", hint=f"Known: {known}.", field="options") from error


def _key(turns: Sequence[HeardTurn]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for turn in turns:
        digest.update(np.asarray(turn.segment.text).tobytes() + b"|" + np.asarray(turn.segment.codes).tobytes())
    return digest.hexdigest()


def load(
    source: str | Path | None = None,
    *,
    device: str = "auto",
    engine: str = "auto",
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    offline: bool = False,
) -> Model:
    """Load a model: the embedded voice (None), "owner/name" on the hub, a folder or a .safetensors file.

    `device` is auto, cpu, cuda or mps; `engine` is auto, torch, torch-int4 (torch's own kernel on
    a CPU), native, or native with a weight format, such as native-int8. Raises WeightsNotFound, WeightsDamaged,
    LayoutMismatch, BackendUnavailable.
    """
    if engine not in ENGINES and not engine.startswith("native-"):
        raise InputError(f"There is no engine {engine!r}.", hint=f"Use {', '.join(ENGINES)}.", field="engine")
    files = locate(source, HubAccess(revision, token, cache_dir, offline))
    return build(files, device, engine, HubAccess(None, token, cache_dir, offline))


def load_codec(
    source: str | Path | None = None,
    codebooks: int | None = None,
    device: str = "auto",
    revision: str | None = None,
    token: str | None = None,
    offline: bool = False,
) -> AnyCodec:
    """Load only the codec of a model, or a Mimi checkpoint, for `encode` and `decode`."""
    found = locate_codec(source, HubAccess(revision, token, None, offline))
    with _torch_wanted():
        from .engine.assembly import assemble_codec

        return assemble_codec(found, codebooks, device)


def build(files: ModelFiles, device: str, engine: str, access: HubAccess = ANYHOW) -> Model:
    """Make a model from its files."""
    with _torch_wanted():
        from .engine.assembly import assemble

        network, codec = assemble(files, device, engine)
    reader = reader_for(files, network.config, access)
    inside = (Voice.from_parts(stored.card, stored.arrays, str(files.csm)) for stored in files.stored_voices)
    voices = {voice.name: voice for voice in [*map(Voice.load, files.voices), *inside]}
    return Model(files.card, network, codec, reader, voices)


@contextmanager
def _torch_wanted() -> Iterator[None]:
    """Turn a missing PyTorch into an error that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "torch":
            raise
        hint = 'pip install "duologue[torch]"'
        raise BackendUnavailable("Speaking needs PyTorch, which is not installed.", hint=hint) from error
