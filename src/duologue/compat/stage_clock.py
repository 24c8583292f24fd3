"""How long an engine spent in its two networks, as llama.cpp's CSM command reports it. Changes nothing they compute."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..engine.base import Engine


@dataclass(frozen=True)
class StageSeconds:
    """Seconds in the backbone and in the depth decoder."""

    backbone: float = 0.0
    decoder: float = 0.0

    def __add__(self, other: StageSeconds) -> StageSeconds:
        return StageSeconds(self.backbone + other.backbone, self.decoder + other.decoder)

    def __sub__(self, other: StageSeconds) -> StageSeconds:
        return StageSeconds(self.backbone - other.backbone, self.decoder - other.decoder)


class StageClock:
    """Reads the CPU engine's own clocks, or listens to the modules of the torch engine."""

    def __init__(self, engine: Engine) -> None:
        self._native: Any = engine if hasattr(engine, "times") else None
        self._spent = {"backbone": 0.0, "decoder": 0.0}
        self._hooks: list[Any] = []
        if self._native is None:
            model: Any = engine.model  # type: ignore[attr-defined]
            for name in self._spent:
                self._listen(name, getattr(model, name))

    def read(self) -> StageSeconds:
        """Seconds so far. A GPU's work is counted when it is waited for."""
        if self._native is not None:
            times = self._native.times()
            return StageSeconds(times.backbone, times.depth)
        return StageSeconds(**self._spent)

    def close(self) -> None:
        """Stop listening."""
        for hook in self._hooks:
            hook.remove()

    def _listen(self, name: str, module: Any) -> None:
        began = [0.0]

        def before(*_: object) -> None:
            began[0] = time.perf_counter()

        def after(*_: object) -> None:
            self._spent[name] += time.perf_counter() - began[0]

        self._hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


@dataclass(frozen=True)
class StageReport:
    """Tokens and time of a whole performance. The decoder reads one token per codebook in each frame."""

    spent: StageSeconds
    backbone_tokens: int
    decoder_tokens: int
    total_seconds: float
    audio_seconds: float
    first_audio_seconds: float

    def lines(self) -> list[str]:
        """The report in the form of llama.cpp's command, and what that one leaves out."""
        speed = f"{self.total_seconds / self.audio_seconds:.2f} × real time" if self.audio_seconds else "no audio"
        return [
            "timings:",
            f"  backbone: {_stage(self.spent.backbone, self.backbone_tokens)}",
            f"  decoder:  {_stage(self.spent.decoder, self.decoder_tokens)}",
            f"  total:    {self.total_seconds * 1000:.0f} ms",
            f"  audio:    {self.audio_seconds:.2f} s ({speed}), first after {self.first_audio_seconds * 1000:.0f} ms",
        ]


def _stage(seconds: float, tokens: int) -> str:
    rate = tokens / seconds if seconds else 0.0
    return f"{seconds * 1000:.0f} ms, {tokens} generated token ({rate:.2f} tok/s)"
