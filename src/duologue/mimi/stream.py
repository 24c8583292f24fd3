"""Streams over the codec: sound in pieces of any size, and states that can be kept, split and merged.

A state is a tree of tensors whose first dimension is the batch, one row per stream; nothing here looks inside further,
save that kept keys and values of streams of different age have different lengths. Knows no codec of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import InputError
from ..nn.conv import State
from .checks import Tail, check_codebooks, check_tail, check_wav
from .codec import Mimi


class StreamEncoder:
    """Encode sound as it arrives, in pieces of any size; what doesn't fill a frame yet waits for the next piece."""

    def __init__(self, codec: Mimi, batch: int = 1, num_codebooks: int | None = None) -> None:
        self.codec = codec
        self.num_codebooks = check_codebooks(num_codebooks, codec.config)
        self.state = codec.init_encode_state(batch)
        self.waiting = torch.zeros(batch, 1, 0)

    def push(self, wav: Tensor) -> Tensor:
        """Take the next sound (B,1,n), n from 1 up; return the codes (B,K,t) of the t >= 0 frames it completes."""
        check_wav(wav)
        if wav.shape[0] != self.waiting.shape[0]:
            raise InputError(f"{wav.shape[0]} rows of sound for {self.waiting.shape[0]} streams.", field="wav")
        sound = torch.cat((self.waiting.to(wav), wav), dim=-1)
        whole = sound.shape[-1] - sound.shape[-1] % self.codec.config.frame_samples
        self.waiting = sound[..., whole:]
        if not whole:
            return torch.zeros(wav.shape[0], self.num_codebooks, 0, dtype=torch.int64, device=wav.device)
        codes, self.state = self.codec.encode_step(sound[..., :whole], self.state, self.num_codebooks)
        return codes

    @torch.no_grad()
    def finish(self, tail: Tail = "waveform") -> Tensor:
        """End the stream: the codes (B,K,0 or 1) of the sound still waiting, completed by the rule `tail`.

        The encoder is then ready for a new stream. Pushing everything and finishing gives what `encode` gives at once.
        """
        check_tail(tail, self.codec.config)
        rest, state = self.waiting, self.state
        self.state, self.waiting = self.codec.init_encode_state(rest.shape[0]), rest[..., :0]
        if not rest.shape[-1]:
            return torch.zeros(rest.shape[0], self.num_codebooks, 0, dtype=torch.int64, device=rest.device)
        if tail == "waveform":
            rest = torch.nn.functional.pad(rest, (0, self.codec.config.frame_samples - rest.shape[-1]))
        latents, _ = self.codec.latents_step(rest, state=state)
        return self.codec.quantizer.encode(latents, self.num_codebooks)


def flatten_state(state: State) -> dict[str, Tensor]:
    """The state as a flat dict of contiguous tensors, ready for safetensors; `restore_state` is the way back."""
    flat: dict[str, Tensor] = {}
    for name, value in state.items():
        if isinstance(value, Tensor):
            flat[name] = value.contiguous()
        else:
            flat |= {f"{name}.{inner}": tensor for inner, tensor in flatten_state(value).items()}
    return flat


def restore_state(flat: dict[str, Tensor], like: State) -> State:
    """A state from `flatten_state`'s dict, with the shape of tree of `like` (the same codec's initial state).

    Raises InputError if names differ from what the codec remembers.
    """
    wanted = flatten_state(like)
    if wanted.keys() != flat.keys():
        odd = sorted(wanted.keys() ^ flat.keys())
        raise InputError(f"This state belongs to another codec: {', '.join(odd[:5])} …", field="state")
    for name, tensor in wanted.items():
        if flat[name].ndim != tensor.ndim or flat[name].dtype != tensor.dtype:
            raise InputError(f"This state's {name} is {flat[name].dtype} {tuple(flat[name].shape)}.", field="state")
    return _rebuild(like, "", flat)


def select_rows(state: State, rows: Sequence[int]) -> State:
    """The state of some of the streams, in the order of `rows`."""
    return _map([state], lambda tensors: tensors[0][list(rows)])


def join_rows(states: Sequence[State]) -> State:
    """One state for all streams of `states`, which may be of different ages; they then step together."""
    return _map(states, _join)


def _join(tensors: Sequence[Tensor]) -> Tensor:
    if tensors[0].ndim == 4:  # keys or values (B,H,S,D/H): the newest are last, what is missing is never looked at
        longest = max(tensor.shape[2] for tensor in tensors)
        tensors = [torch.nn.functional.pad(t, (0, 0, longest - t.shape[2], 0)) for t in tensors]
    return torch.cat(list(tensors))


def _map(states: Sequence[State], function: Callable[[Sequence[Tensor]], Tensor]) -> State:
    """Apply `function` to the tensors of the same name in all the states."""
    after: State = {}
    for name, first in states[0].items():
        values = [state[name] for state in states]
        after[name] = function(values) if isinstance(first, Tensor) else _map(values, function)
    return after


def _rebuild(like: State, prefix: str, flat: dict[str, Tensor]) -> State:
    return {
        name: flat[prefix + name] if isinstance(value, Tensor) else _rebuild(value, f"{prefix}{name}.", flat)
        for name, value in like.items()
    }
