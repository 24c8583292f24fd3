"""From grid rows to the backbone's hidden states: the sum of a row's embeddings, then one Llama stack.

Knows nothing of sampling or of the codes inside a frame beyond the first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .config import CsmConfig


class AlignedEmbedding(nn.Module):
    """Embed the aligned columns: one table per window slot (its last row is the pad), and one for the timing."""

    def __init__(self, config: CsmConfig) -> None:
        super().__init__()
        assert config.aligned is not None
        self.window = nn.ModuleList(
            nn.Embedding(config.text_vocab + 1, config.backbone.width) for _ in range(config.aligned.window)
        )
        self.timing = nn.Embedding(config.aligned.timings, config.backbone.width)

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """columns (B,S,window + 1), -1 where inactive, to their sum (B,S,D)."""
        tables = [*self.window, self.timing]
        return torch.stack([embed_active(table, columns[..., i]) for i, table in enumerate(tables)]).sum(0)


def embed_active(table: nn.Embedding, ids: torch.Tensor) -> torch.Tensor:
    """Rows of a table for ids (…), zeros where the id is negative (inactive)."""
    active = ids >= 0
    return table(ids.clamp(min=0)) * active[..., None].to(table.weight.dtype)


def embed_codes(table: nn.Embedding, codes: torch.Tensor, codebook_size: int) -> torch.Tensor:
    """Sum over codebooks of codes (…,K), inactive where negative: codebook k owns rows k·V to k·V + V - 1.

    As one bag per frame, which never builds the (…,K,D) tensor: several times faster to train.
    """
    books = codes.shape[-1]
    flat = codes.reshape(-1, books)
    rows = flat.clamp(min=0) + torch.arange(books, device=codes.device) * codebook_size
    active = (flat >= 0).to(table.weight.dtype)
    bags = F.embedding_bag(rows, table.weight, mode="sum", per_sample_weights=active)
    return bags.unflatten(0, codes.shape[:-1])
