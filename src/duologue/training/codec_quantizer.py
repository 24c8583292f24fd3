"""How the split quantizer learns: straight through, running-mean codebooks, k-means start, revival of dead codes.

Works on a Mimi's own quantizer, whose centroid is embedding_sum / cluster_usage. Usage is kept as a share, so a code
used as often as any other has 1/V. Source: van den Oord 2017 (appendix A.1), arXiv 2410.00037 section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ..mimi.quantizer import Codebook, ResidualQuantizer, SplitQuantizer
from .parallel import everyones, mean_over_all

_REVIVED_SHARE = 0.5  # of 1/V: the usage that a revived code starts with


@dataclass
class Quantized:
    """The outcome of one pass: sums and residuals of both quantizers, vectors as rows (M = B * T)."""

    latents: Tensor  # (B, D, T), straight-through
    semantic: Tensor  # (M, C), straight-through output of codebook 0, before its projection
    commitment: Tensor
    residuals: list[Tensor]  # per codebook, what it was asked to quantize (M, C)
    codes: list[Tensor]  # per codebook (M,)


def quantize(quantizer: SplitQuantizer, latents: Tensor, levels: Tensor | None) -> Quantized:
    """Quantize (B, D, T). `levels` (B,), 1..K: how many codebooks each row may use; None means all."""
    frames = latents.shape[-1]
    rows = None if levels is None else levels.repeat_interleave(frames)
    semantic, semantic_vectors, commit0, residuals, codes = _residual(quantizer.semantic, latents, rows)
    rest = None if rows is None else rows - quantizer.config.semantic
    acoustic, _, commit1, more_residuals, more_codes = _residual(quantizer.acoustic, latents, rest)
    commitment = 0.5 * commit0 + commit1
    return Quantized(semantic + acoustic, semantic_vectors, commitment, residuals + more_residuals, codes + more_codes)


def project(quantizer: SplitQuantizer, latents: Tensor) -> tuple[Tensor, Tensor]:
    """The unquantized rows (M, C) that each quantizer sees; for the k-means start."""
    return _rows(quantizer.semantic, latents), _rows(quantizer.acoustic, latents)


def pass_through(quantizer: SplitQuantizer, latents: Tensor) -> Tensor:
    """The latents through both projections without quantization: the plain autoencoder."""
    semantic, acoustic = quantizer.semantic, quantizer.acoustic
    together = semantic.project_out(semantic.project_in(latents)) + acoustic.project_out(acoustic.project_in(latents))
    assert isinstance(together, Tensor)
    return together


def _rows(side: ResidualQuantizer, latents: Tensor) -> Tensor:
    return side.project_in(latents.float()).transpose(1, 2).flatten(0, 1)


def _residual(
    side: ResidualQuantizer, latents: Tensor, levels: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, list[Tensor], list[Tensor]]:
    vectors = _rows(side, latents)
    spread = _spread(vectors.detach()) + 1e-6
    left, total = vectors, torch.zeros_like(vectors)
    commitment = vectors.new_zeros(())
    residuals, codes = [], []
    for level, book in enumerate(side.codebooks):
        assert isinstance(book, Codebook)
        with torch.no_grad():
            chosen = book.encode(left)
            centroid = book.decode(chosen)
        residuals.append(left.detach())
        codes.append(chosen)
        error = (left - centroid).square().mean(1) / spread
        if levels is None:
            commitment = commitment + error.mean()
            total = total + centroid
        else:
            used = (levels > level).float()
            commitment = commitment + mean_over_all((error * used).sum(), used.sum())
            total = total + centroid * used[:, None]
        left = left - centroid
    through = vectors + (total - vectors).detach()
    shaped = through.view(latents.shape[0], -1, through.shape[-1]).transpose(1, 2)
    return side.project_out(shaped), through, commitment / len(side.codebooks), residuals, codes


def _spread(vectors: Tensor) -> Tensor:
    """Mean square distance of rows (M, C) from their mean, over all processes that learn (one alone validates)."""
    moments = torch.stack([vectors.mean(0), vectors.square().mean(0)])
    if dist.is_initialized() and torch.is_grad_enabled():
        dist.all_reduce(moments)
        moments /= dist.get_world_size()
    return (moments[1] - moments[0].square()).mean()


def codebooks(quantizer: SplitQuantizer) -> list[Codebook]:
    """All K codebooks, semantic first."""
    return [
        book
        for side in (quantizer.semantic, quantizer.acoustic)
        for book in side.codebooks
        if isinstance(book, Codebook)
    ]


@torch.no_grad()
def follow(quantizer: SplitQuantizer, seen: Quantized, decay: float) -> None:
    """Move each codebook's running sums toward this step's vectors, averaged over all processes."""
    for book, residual, code in zip(codebooks(quantizer), seen.residuals, seen.codes, strict=True):
        entries = len(book.cluster_usage)
        sums = torch.zeros(entries, residual.shape[1] + 1)
        sums[:, :-1].index_add_(0, code, residual)
        sums[:, -1] = torch.bincount(code, minlength=entries).float()
        sums /= len(code)
        if dist.is_initialized():
            dist.all_reduce(sums)
            sums /= dist.get_world_size()
        book.embedding_sum.mul_(decay).add_(sums[:, :-1], alpha=1 - decay)
        book.cluster_usage.mul_(decay).add_(sums[:, -1], alpha=1 - decay)


@torch.no_grad()
def revive(quantizer: SplitQuantizer, seen: Quantized, threshold: float, most: int, draw: torch.Generator) -> int:
    """Give up to `most` dead codes of each codebook (usage below `threshold` / V) a vector of this step; count them."""
    revived = 0
    for book, residual in zip(codebooks(quantizer), seen.residuals, strict=True):
        entries = len(book.cluster_usage)
        dead = torch.where(book.cluster_usage < threshold / entries)[0]
        dead = dead[torch.argsort(book.cluster_usage[dead])][:most]
        seen_by_all = everyones(residual)
        vectors = seen_by_all[torch.randint(len(seen_by_all), (most,), generator=draw)][: len(dead)]
        book.cluster_usage[dead] = _REVIVED_SHARE / entries
        book.embedding_sum[dead] = vectors * (_REVIVED_SHARE / entries)
        revived += len(dead)
    return revived


@torch.no_grad()
def start_from_means(quantizer: SplitQuantizer, semantic: Tensor, acoustic: Tensor, draw: torch.Generator) -> None:
    """Set every codebook by k-means on rows (M, C), each on what the ones before it leave over."""
    for side, left in ((quantizer.semantic, semantic), (quantizer.acoustic, acoustic)):
        for book in side.codebooks:
            assert isinstance(book, Codebook)
            centroids, share = _k_means(left, len(book.cluster_usage), draw)
            book.cluster_usage.copy_(share)
            book.embedding_sum.copy_(centroids * share[:, None])
            left = left - book.decode(book.encode(left))


def _k_means(rows: Tensor, entries: int, draw: torch.Generator, rounds: int = 10) -> tuple[Tensor, Tensor]:
    centroids = rows[torch.randperm(len(rows), generator=draw)[:entries]].clone()
    count = torch.ones(entries)
    for _ in range(rounds):
        nearest = (centroids.square().sum(1) / 2 - rows @ centroids.T).argmin(1)
        count = torch.bincount(nearest, minlength=entries).float()
        means = torch.zeros_like(centroids).index_add_(0, nearest, rows) / count.clamp(min=1)[:, None]
        fresh = rows[torch.randint(len(rows), (entries,), generator=draw)]
        centroids = torch.where((count > 0)[:, None], means, fresh)
    share = count.clamp(min=0.5)
    return centroids, share / share.sum()


def perplexity(book: Codebook) -> float:
    """How many codes are in use, as the exponential of the entropy of the usage."""
    share = book.cluster_usage / book.cluster_usage.sum()
    return float(torch.exp(-(share * (share + 1e-12).log()).sum()))
