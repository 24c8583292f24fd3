"""The split residual quantizer in numpy: latents (T,D) to codes (K,T) and back; mimi/quantizer.py is its torch twin."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from ..config import QuantizerConfig
from .products import Product
from .tensors import Floats, Tensors

LEAST_USAGE = 1e-5
Codes = npt.NDArray[np.int64]


def centroids(tensors: Tensors, config: QuantizerConfig) -> Floats:
    """The vectors (V,C) of one codebook, stored as running sums."""
    sums = tensors.take("embedding_sum", config.entries, config.width)
    usage = tensors.take("cluster_usage", config.entries)
    vectors: Floats = (sums / np.maximum(usage, LEAST_USAGE)[:, None]).astype(np.float32)
    return vectors


class ResidualQuantizer:
    """A projection to C, a row of codebooks, a projection back to D."""

    def __init__(self, tensors: Tensors, width: int, config: QuantizerConfig, codebooks: int) -> None:
        inner = config.width
        self.project_in = Product(tensors.take("project_in.weight", inner, width, 1)[..., 0].T)
        self.project_out = Product(tensors.take("project_out.weight", width, inner, 1)[..., 0].T)
        self.centroids: list[Floats] = []
        for i in range(codebooks):
            self.centroids.append(centroids(tensors.within(f"codebooks.{i}"), config))
        self._half_norms = [np.square(book).sum(-1) / 2 for book in self.centroids]
        self._nearness = [Product(book.T) for book in self.centroids]

    def encode(self, latents: Floats, codebooks: int) -> Codes:
        """(T,D) -> (codebooks,T)."""
        left = self.project_in(latents)
        codes = []
        books = list(zip(self.centroids, self._half_norms, self._nearness, strict=True))
        for book, half_norms, nearness in books[:codebooks]:
            codes.append(np.argmin(half_norms - nearness(left), axis=-1))
            left = left - book[codes[-1]]
        return np.array(codes, np.int64).reshape(codebooks, len(latents))

    def decode(self, codes: Codes) -> Floats:
        """(k,T) of the first k codebooks -> (T,D)."""
        total = sum(book[level] for book, level in zip(self.centroids, codes, strict=False))
        return self.project_out(np.asarray(total, np.float32))


class SplitQuantizer:
    """Semantic and acoustic quantizers side by side on the same latents."""

    def __init__(self, tensors: Tensors, width: int, config: QuantizerConfig) -> None:
        self.config, self._tensors = config, tensors
        acoustic = config.codebooks - config.semantic
        self.semantic = ResidualQuantizer(tensors.within("semantic"), width, config, config.semantic)
        self.acoustic = ResidualQuantizer(tensors.within("acoustic"), width, config, acoustic)
        self._width = width

    def encode(self, latents: Floats, codebooks: int) -> Codes:
        """(T,D) -> (codebooks,T)."""
        semantic = min(codebooks, self.config.semantic)
        codes = self.semantic.encode(latents, semantic)
        return np.concatenate((codes, self.acoustic.encode(latents, codebooks - semantic)))

    def decode(self, codes: Codes) -> Floats:
        """(k,T) of any number of codebooks from the first up -> (T,D)."""
        latents = self.semantic.decode(codes[: self.config.semantic])
        acoustic = codes[self.config.semantic :]
        return latents + self.acoustic.decode(acoustic) if len(acoustic) else latents

    def fingerprint(self) -> str:
        """Names the meaning of the codes."""
        return fingerprint(self._tensors, self._width, self.config)


def fingerprint(tensors: Tensors, width: int, size: QuantizerConfig) -> str:
    """Names the meaning of the codes, as mimi/sounding.py does: a hash of the quantizer's tensors."""
    shapes: dict[str, tuple[int, ...]] = {}
    for part, books in (("semantic", size.semantic), ("acoustic", size.codebooks - size.semantic)):
        shapes[f"{part}.project_in.weight"] = (size.width, width, 1)
        shapes[f"{part}.project_out.weight"] = (width, size.width, 1)
        for i in range(books):
            shapes[f"{part}.codebooks.{i}.cluster_usage"] = (size.entries,)
            shapes[f"{part}.codebooks.{i}.embedding_sum"] = (size.entries, size.width)
            shapes[f"{part}.codebooks.{i}.initialized"] = (1,)
    digest = hashlib.blake2b(digest_size=8)
    for name, shape in sorted(shapes.items()):
        digest.update(name.encode())
        digest.update(tensors.take(name, *shape).tobytes())
    return digest.hexdigest()
