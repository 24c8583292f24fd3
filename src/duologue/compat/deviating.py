"""The torch parts that reproduce the pull request's faults (deviations.py). Knows no files and no text."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..csm.config import CsmConfig
from ..csm.model import Csm
from ..engine.base import FrameRequest
from ..engine.torch_engine import TorchEngine
from ..nn.windowed import WindowedTransformer
from .deviations import PIECE_FRAMES

if TYPE_CHECKING:
    from torch import Tensor

    from ..mimi.codec import Mimi
    from ..mimi.sounding import SoundCodec


def with_config(csm: Csm, config: CsmConfig) -> Csm:
    """A network of another config around the same tensors."""
    import torch

    with torch.device("meta"):
        twin = Csm(config)
    twin.load_state_dict(csm.state_dict(), assign=True)
    return twin


class ZeroPaddedEngine(TorchEngine):
    """Draws from logits that are padded with zeros to the size of all codebooks, as the pull request does.

    An id beyond the codebook stands for a code of the next one there. The grid can't hold it, so here it becomes that
    code of its own codebook; codes that the codec doesn't know (2048 to 2050) are folded likewise. Both are counted.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, static=False)  # its draws are `_draw`'s
        books = self.config.num_codebooks
        self.draws = np.zeros(books, np.int64)  # per codebook
        self.padded_draws = np.zeros(books, np.int64)  # … that fell on an id beyond it
        self.reserved_draws = np.zeros(books, np.int64)  # … that fell on a code that the codec doesn't know

    def _draw(self, requests: list[FrameRequest], book: int, logits: Tensor) -> Tensor:
        import torch

        samplings = [request.sampling.first if book == 0 else request.sampling.depth for request in requests]
        size = self.config.codebook_size
        padding = logits.new_zeros((len(logits), (self.config.num_codebooks - 1) * size), dtype=torch.float32)
        wide = torch.cat([logits.float(), padding], dim=1)
        ends = book == 0 and self.config.eos == "code"
        if ends:
            barred = [row for row, request in enumerate(requests) if not request.allow_eos]
            wide[barred, self.config.eos_code] = -torch.inf
        picked = self._pick(requests, book, wide, samplings)
        padded = picked >= size
        codes = picked % size
        ending = (codes == self.config.eos_code) & ~padded if ends else torch.zeros_like(padded)
        reserved = (codes >= self.config.codec_entries) & ~ending & ~padded
        self.draws[book] += len(picked)
        self.padded_draws[book] += int(padded.sum())
        self.reserved_draws[book] += int(reserved.sum())
        return torch.where(ending, codes, codes % self.config.codec_entries)


class UnmaskedTransformer(WindowedTransformer):
    """Every step sees every step of its piece."""

    def _mask(self, position: Tensor, steps: int, past: int) -> Tensor:
        import torch

        return torch.ones(len(position), 1, steps, past + steps, dtype=torch.bool, device=position.device)


def decode_in_pieces(codec: SoundCodec, codes: npt.NDArray[np.int64], *, mask: bool) -> npt.NDArray[np.float32]:
    """Codes (K,T) of a whole clip as samples, 10 s at a time; with `mask` each piece hears its own future."""
    import torch

    mimi = codec.mimi
    transformer = _unmasked(mimi) if mask else mimi.decoder_transformer
    sound = []
    with torch.inference_mode():
        for start in range(0, codes.shape[1], PIECE_FRAMES):
            piece = torch.from_numpy(np.ascontiguousarray(codes[:, start : start + PIECE_FRAMES], np.int64))[None]
            state = mimi.init_decode_state(1)
            x, _ = mimi.upsample.step(mimi.quantizer.decode(piece.to(codec.device)), state["upsample"])
            state["transformer"]["position"] += 2 * start
            x, _ = transformer.step(x, state["transformer"])
            x, _ = mimi.decoder.step(x, state["decoder"])
            sound.append(x[0, 0].float().cpu().numpy())
    return np.concatenate(sound) if sound else np.zeros(0, np.float32)


def _unmasked(mimi: Mimi) -> UnmaskedTransformer:
    """The decoder's transformer without its mask, around the same tensors."""
    import torch

    with torch.device("meta"):
        twin = UnmaskedTransformer(mimi.config.width, **dataclasses.asdict(mimi.config.transformer))
    twin.load_state_dict(mimi.decoder_transformer.state_dict(), assign=True)
    return twin.eval()
