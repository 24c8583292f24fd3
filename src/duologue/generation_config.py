"""How to speak, as one value: temperatures, limits, retries. Knows no engine's state and no sound."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .engine.base import FrameSampling, Sampling
from .errors import InputError

MAX_RETRIES = 20
MOST_ROWS = 16


@dataclass(frozen=True)
class GenerationConfig:
    """How to speak. `temperature` and `top_k` None are the model's own choice (0.9 and 50 if it makes none); `depth_*`
    and `advance_temperature` override their stage, None leaves the common value.

    `guidance` above 1 draws codes further from what the model would say without the words (classifier-free guidance,
    for models trained with hidden words; twice the work); None is the model's own choice, 1 is off.

    `max_seconds` limits the whole speech; `retries` is how often a sentence that failed its checks is tried again
    with another seed; `check` False returns whatever the model gives; `normalise` False leaves the text as written.

    `side_by_side` above 1 speaks so many sentences of a text at once, as rows of one batch: long texts take less time,
    but a sentence doesn't hear those before it (it starts from the voice and the conversation alone). How many rows
    doesn't change what is said. Under `max_seconds` sentences go one after another.
    """

    temperature: float | None = None
    top_k: int | None = None
    depth_temperature: float | None = None
    depth_top_k: int | None = None
    advance_temperature: float | None = None
    guidance: float | None = None
    max_seconds: float | None = None
    retries: int = 3
    check: bool = True
    normalise: bool = True
    side_by_side: int = 1

    def __post_init__(self) -> None:
        for name in ("temperature", "depth_temperature", "advance_temperature"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 10.0:
                raise InputError(f"{name} is {value}; it goes from 0 (greedy) to 10.", field=name)
        if self.guidance is not None and not 0.0 <= self.guidance <= 10.0:
            raise InputError(f"guidance is {self.guidance}; it goes from 0 to 10, 1 is off.", field="guidance")
        for name in ("top_k", "depth_top_k"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"{name} is {value}; 0 keeps all codes.", field=name)
        if self.max_seconds is not None and not 0.08 <= self.max_seconds <= 36_000:
            raise InputError(f"max_seconds is {self.max_seconds}; at least 0.08 is needed.", field="max_seconds")
        if not 0 <= self.retries <= MAX_RETRIES:
            raise InputError(f"retries is {self.retries}; 0 to {MAX_RETRIES} are possible.", field="retries")
        if not 1 <= self.side_by_side <= MOST_ROWS:
            message = f"side_by_side is {self.side_by_side}; 1 to {MOST_ROWS} sentences can be spoken at once."
            raise InputError(message, field="side_by_side")

    def over(self, usual: GenerationConfig) -> GenerationConfig:
        """These options, with a model's usual sampling where none was asked for."""
        heat = ("temperature", "depth_temperature", "advance_temperature") if self.temperature is None else ()
        top = ("top_k", "depth_top_k") if self.top_k is None else ()
        given = {name: getattr(self, name) for name in (*heat, *top, "guidance")}
        return replace(self, **{name: getattr(usual, name) for name, value in given.items() if value is None})

    def sampling(self, seed: int) -> FrameSampling:
        """The frames' sampling under a seed."""
        usual = FrameSampling()
        heat = usual.first.temperature if self.temperature is None else self.temperature
        top_k = usual.first.top_k if self.top_k is None else self.top_k
        depth_heat = heat if self.depth_temperature is None else self.depth_temperature
        depth = Sampling(depth_heat, top_k if self.depth_top_k is None else self.depth_top_k)
        move = min(heat, usual.advance.temperature) if self.advance_temperature is None else self.advance_temperature
        first, advance = Sampling(heat, top_k), Sampling(move, usual.advance.top_k)
        return FrameSampling(seed, first, depth, advance, 1.0 if self.guidance is None else self.guidance)
