"""Where samples go: a file, a pipe, the sound device. Closing it early leaves what was written playable."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol

from ..audio import Samples, output_device
from ..audio_files import AudioWriter
from ..errors import BackendUnavailable
from ..timebase import RATE_HZ

FALLBACK = "speech.wav"


class Outlet(Protocol):
    """Takes samples as they come."""

    where: str

    def write(self, samples: Samples) -> None: ...

    def close(self) -> None: ...


class FileOutlet:
    """A growing file, or raw samples on stdout for "-"."""

    def __init__(self, target: str) -> None:
        self.where = "stdout" if target == "-" else target
        self._writer = AudioWriter(sys.stdout.buffer, "raw") if target == "-" else AudioWriter(target)

    def write(self, samples: Samples) -> None:
        self._writer.write(samples)

    def close(self) -> None:
        self._writer.close()


class DeviceOutlet:
    """The default sound device; `close` waits until everything was heard."""

    where = "the sound device"

    def __init__(self, device: Any) -> None:
        self._stream = device.OutputStream(samplerate=RATE_HZ, channels=1, dtype="float32")
        self._stream.start()

    def write(self, samples: Samples) -> None:
        self._stream.write(samples.reshape(-1, 1))

    def close(self) -> None:
        self._stream.stop()
        self._stream.close()


class OpenOutlet:
    """An outlet inside `with`."""

    def __init__(self, target: str | None) -> None:
        self.note = ""
        self.outlet: Outlet = self._open(target)

    def _open(self, target: str | None) -> Outlet:
        if target is not None:
            return FileOutlet(target)
        try:
            return DeviceOutlet(output_device())
        except BackendUnavailable as error:
            self.note = f"{error.message} Writing {FALLBACK} instead."
            return FileOutlet(FALLBACK)

    def __enter__(self) -> Outlet:
        return self.outlet

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.outlet.close()
