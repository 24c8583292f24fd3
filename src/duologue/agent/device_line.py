"""A line made of this machine's microphone and loudspeaker, through sounddevice (portaudio)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from ..errors import BackendUnavailable
from ..timebase import RATE_HZ
from .parts import Block
from .playback import Playback
from .vad import WINDOW_SAMPLES

FILES = "Talk through files instead: --wav caller.wav --out talk.wav."


def sound_devices(microphone: str | None, speaker: str | None) -> Any:
    """The sounddevice module if sound goes both ways here. Raises BackendUnavailable, which says what is missing."""
    try:
        import sounddevice
    except ImportError as error:
        raise BackendUnavailable(
            "Talking needs the sounddevice package.", hint='pip install "duologue[talk]"'
        ) from error
    except OSError as error:
        hint = f"Install the system's portaudio library (Debian: libportaudio2). {FILES}"
        raise BackendUnavailable(f"The sound library can't be loaded: {error}", hint=hint) from error
    for kind, name in (("input", microphone), ("output", speaker)):
        try:
            sounddevice.query_devices(name, kind)
        except (sounddevice.PortAudioError, ValueError) as error:
            what = "microphone" if kind == "input" else "loudspeaker"
            message = f"No {what} was found{f' by the name {name!r}' if name else ''}."
            raise BackendUnavailable(message, hint=f"`python -m sounddevice` lists them. {FILES}") from error
    return sounddevice


class DeviceLine:
    """Sound devices by name, or the default ones. Ends when its task is cancelled, as Ctrl-C does."""

    def __init__(self, microphone: str | None = None, speaker: str | None = None) -> None:
        self._devices = sound_devices(microphone, speaker)
        self._names = (microphone, speaker)
        self.playback = Playback()
        self.deciding = 0
        self.answering = False

    async def blocks(self) -> AsyncIterator[Block]:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Block] = asyncio.Queue()

        def exchange(heard: np.ndarray, out: np.ndarray, frames: int, times: Any, status: Any) -> None:
            played = self.playback.take(frames)
            out[:, 0] = played
            loop.call_soon_threadsafe(arrived.put_nowait, Block(heard[:, 0].copy(), played))

        try:
            stream = self._devices.Stream(
                samplerate=RATE_HZ, blocksize=WINDOW_SAMPLES, channels=1, dtype="float32", latency="low",
                device=self._names, callback=exchange,
            )  # fmt: skip
        except self._devices.PortAudioError as error:
            raise BackendUnavailable(f"The sound device failed: {error}.", hint=FILES) from error
        with stream:
            while True:
                yield await arrived.get()

    def now(self) -> float:
        return time.monotonic()
