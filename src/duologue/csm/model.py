"""The whole Conversational Speech Model: a backbone over grid rows, a depth decoder inside each frame.

Row s of the grid predicts the frame of row s + 1. The backbone's hidden state h (after its final norm) gives codebook
0; the depth decoder then reads h, c0, c1, … and gives c1, c2, …, seeing nothing else of the past. Knows nothing of
text as words, of sound, or of how codes are drawn. Source: Sesame's csm-1b and its published description.

Letters: B batch, S rows, K codebooks, V codes per codebook, D backbone width, d depth width, F chosen frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..nn.llama import LlamaStack
from ..nn.llama_past import Past
from .backbone import AlignedEmbedding, embed_active, embed_codes
from .config import CsmConfig


@dataclass
class FirstStage:
    """What a hidden state says of the frame after its row: codebook 0, and how far the pointer moves after it."""

    first_logits: torch.Tensor  # (…,V)
    advance_logits: torch.Tensor | None  # (…,max_advance + 1)


class Csm(nn.Module):
    """Parameters have Sesame's names and shapes; departures (aligned text) add some."""

    def __init__(self, config: CsmConfig) -> None:
        super().__init__()
        self.config = config
        width, size, books = config.backbone.width, config.codebook_size, config.num_codebooks
        self.backbone = LlamaStack(config.backbone)
        self.decoder = LlamaStack(config.depth)
        self.text_embeddings = nn.Embedding(config.text_vocab, width)
        self.audio_embeddings = nn.Embedding(books * size, width)
        self.projection = nn.Linear(width, config.depth.width, bias=False)
        self.codebook0_head = nn.Linear(width, size, bias=False)
        self.audio_head = nn.Parameter(torch.empty(books - 1, config.depth.width, size))
        self.aligned_embeddings: AlignedEmbedding | None = None
        self.advance_head: nn.Linear | None = None
        if config.aligned is not None:
            self.aligned_embeddings = AlignedEmbedding(config)
            self.advance_head = nn.Linear(width, config.aligned.max_advance + 1, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal(0, 0.02) everywhere, residual outputs smaller with depth, so that the loss starts near ln V."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                continue
            layers = self.config.backbone.layers if name.startswith("backbone") else self.config.depth.layers
            residual = name.endswith(("output_proj.weight", "w2.weight"))
            nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if residual else 0.02)

    def embed_rows(self, grid: torch.Tensor) -> torch.Tensor:
        """Grid rows (B,S,columns) to the sum of their active columns' embeddings (B,S,D)."""
        books = self.config.num_codebooks
        x = embed_codes(self.audio_embeddings, grid[..., :books], self.config.codebook_size)
        x = x + embed_active(self.text_embeddings, grid[..., books])
        if self.aligned_embeddings is not None:
            x = x + self.aligned_embeddings(grid[..., books + 1 :])
        return x

    def hidden_states(
        self, grid: torch.Tensor, positions: torch.Tensor, pasts: Sequence[Past] | None = None
    ) -> torch.Tensor:
        """Read rows (B,S,columns) at positions (B,S) into hidden states (B,S,D).

        Padding rows (all -1) belong at the end, where none sees them.
        """
        hidden: torch.Tensor = self.backbone(self.embed_rows(grid), positions, pasts)
        return hidden

    def first_stage(self, hidden: torch.Tensor) -> FirstStage:
        """Logits of the backbone's two heads for hidden states (…,D)."""
        advance = None if self.advance_head is None else self.advance_head(hidden)
        return FirstStage(self.codebook0_head(hidden), advance)

    def depth_stage(self, hidden: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Logits (F,K-1,V) of codebooks 1..K-1 of frames whose codes (F,K) are known, from hidden (F,D).

        `hidden` is that of the row *before* the frame, which is all that generation has when the frame is drawn.
        """
        known = codes[:, :-1]  # c0 … c(K-2); the last code is never read
        offsets = torch.arange(known.shape[1], device=codes.device) * self.config.codebook_size
        inputs = torch.cat([hidden[:, None], self.audio_embeddings(known + offsets)], dim=1)  # (F,K,D)
        positions = torch.arange(inputs.shape[1], device=codes.device).expand(len(inputs), -1)
        out = self.decoder(self.projection(inputs), positions)  # (F,K,d)
        return torch.einsum("fkd,kdv->fkv", out[:, 1:], self.audio_head)
