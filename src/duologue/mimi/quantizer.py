"""The split residual quantizer: latents to codes and back. Knows neither sound nor time; does not train itself.

Two quantizers see the same latents: a semantic one (codebook 0) and an acoustic one (the rest), whose results are
added. Inside each, every codebook quantizes what the ones before it left over. Source: arXiv 2410.00037, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import QuantizerConfig

LEAST_USAGE = 1e-5  # keeps the centroid of a code that was never used finite, as in Kyutai's files


class Codebook(nn.Module):
    """V vectors of width C, stored as Kyutai's running sums: centroid = embedding_sum / cluster_usage."""

    embedding_sum: Tensor
    cluster_usage: Tensor
    initialized: Tensor

    def __init__(self, entries: int, width: int) -> None:
        super().__init__()
        self.register_buffer("initialized", torch.ones(1))
        self.register_buffer("cluster_usage", torch.ones(entries))
        self.register_buffer("embedding_sum", torch.randn(entries, width) / width**0.5)
        self._cached: tuple[object, Tensor, Tensor] | None = None

    def centroids(self) -> Tensor:
        """The vectors (V,C), in float32 at least."""
        return self._centroids_and_norms()[0]

    def encode(self, vectors: Tensor) -> Tensor:
        """The index of the nearest centroid to each of (…,C), in float32 at least; ties go to the lowest."""
        centroids, half_norms = self._centroids_and_norms()
        return (half_norms - vectors.to(centroids.dtype) @ centroids.T).argmin(-1)

    def decode(self, codes: Tensor) -> Tensor:
        """The centroid (…,C) of each code."""
        return F.embedding(codes, self.centroids())

    def _centroids_and_norms(self) -> tuple[Tensor, Tensor]:
        # Recomputed when a buffer was replaced or written to: the training's running sums move at every step.
        buffers = (self.embedding_sum, self.cluster_usage)
        key = (
            None
            if any(b.is_inference() for b in buffers)
            else tuple((id(b), b.data_ptr(), b._version) for b in buffers)
        )
        if self._cached is None or key is None or self._cached[0] != key:
            wide = torch.promote_types(self.embedding_sum.dtype, torch.float32)
            centroids = self.embedding_sum.to(wide) / self.cluster_usage.to(wide).clamp(min=LEAST_USAGE)[:, None]
            self._cached = (key, centroids, centroids.square().sum(-1) / 2)
        return self._cached[1], self._cached[2]


class ResidualQuantizer(nn.Module):
    """A projection to C, a row of codebooks, a projection back to D."""

    def __init__(self, latent_width: int, codebooks: int, entries: int, width: int) -> None:
        super().__init__()
        self.project_in = nn.Conv1d(latent_width, width, 1, bias=False)
        self.project_out = nn.Conv1d(width, latent_width, 1, bias=False)
        self.codebooks = nn.ModuleList(Codebook(entries, width) for _ in range(codebooks))

    def encode(self, latents: Tensor, num_codebooks: int) -> Tensor:
        """(B,D,T) -> codes (B,num_codebooks,T)."""
        left = self.project_in(latents).transpose(1, 2)  # (B,T,C)
        codes = []
        for codebook in self._books()[:num_codebooks]:
            codes.append(codebook.encode(left))
            left = left - codebook.decode(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B,k,T) of the first k codebooks -> latents (B,D,T)."""
        total = sum(book.decode(level) for book, level in zip(self._books(), codes.unbind(1), strict=False))
        assert isinstance(total, Tensor)
        return self.project_out(total.to(self.project_out.weight.dtype).transpose(1, 2))

    def _books(self) -> Sequence[Codebook]:
        return cast("list[Codebook]", list(self.codebooks))


class SplitQuantizer(nn.Module):
    """Semantic and acoustic quantizers side by side on the same latents."""

    def __init__(self, latent_width: int, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        acoustic = config.codebooks - config.semantic
        self.semantic = ResidualQuantizer(latent_width, config.semantic, config.entries, config.width)
        self.acoustic = ResidualQuantizer(latent_width, acoustic, config.entries, config.width)

    def encode(self, latents: Tensor, num_codebooks: int | None = None) -> Tensor:
        """(B,D,T) -> codes (B,K,T) int64. Fewer codebooks give the first rows of the full result."""
        wanted = self.config.codebooks if num_codebooks is None else num_codebooks
        codes = self.semantic.encode(latents, min(wanted, self.config.semantic))
        if wanted > self.config.semantic:
            codes = torch.cat((codes, self.acoustic.encode(latents, wanted - self.config.semantic)), dim=1)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B,K,T) of any number of codebooks from the first up -> latents (B,D,T)."""
        semantic, acoustic = codes[:, : self.config.semantic], codes[:, self.config.semantic :]
        latents = self.semantic.decode(semantic)
        return latents + self.acoustic.decode(acoustic) if acoustic.shape[1] else latents
