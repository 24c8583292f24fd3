"""The pull request's GGUF files at csm-1b's size, from random weights, against the Sesame layout of the same weights.

    python -m duologue.evaluation.gguf_real_size --folder DIR --out benchmarks/results/gguf_real_size.json

Every tensor is compared bit by bit, and both stages' logits of one prompt, by the reading copy in float32. Takes
about 10 GB of disk and 10 GB of memory; bfloat16 throughout, as the released model is used.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..csm.config import CSM_1B, CsmConfig
from ..csm.model import Csm
from ..weights.csm_files import CsmWeights, load_csm, read_csm, write_csm
from ..weights.gguf_llama_csm import write_llama_csm
from ..weights.model_parts import CsmPart
from ..weights.sesame import csm_shapes
from ..weights.stored_array import as_floats
from .report import versions

ROWS, FRAMES = 24, 4
SMALL = replace(
    CSM_1B,
    backbone=replace(CSM_1B.backbone, layers=2, width=256, heads=4, kv_heads=1, hidden=512),
    depth=replace(CSM_1B.depth, layers=2, width=256, heads=2, kv_heads=1, hidden=512),
    text_vocab=500,
)


def random_weights(config: CsmConfig, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights in bfloat16 that keep signals at their size; norms near 1."""
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in csm_shapes(config).items():
        fresh = torch.empty(shape, dtype=torch.bfloat16).normal_(generator=random)
        tensors[name] = 1 + 0.1 * fresh if len(shape) == 1 else fresh.mul_(0.02)
    return tensors


def plain_tokenizer(vocabulary: int) -> bytes:
    """A vocabulary of the right size, for the files' keys alone."""
    words = {f"w{i}": i for i in range(vocabulary - 2)}
    signs = ("<|begin_of_text|>", "<|end_of_text|>")
    added = [{"id": vocabulary - 2 + i, "content": sign, "special": True} for i, sign in enumerate(signs)]
    return json.dumps({"model": {"type": "BPE", "vocab": words, "merges": []}, "added_tokens": added}).encode()


def logits(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Both stages' logits of one prompt of text and frames."""
    model: Csm = load_csm(path, torch.float32)
    config, random = model.config, np.random.default_rng(1)
    grid = np.full((1, ROWS, config.columns), -1, np.int64)
    grid[0, : ROWS - FRAMES, config.num_codebooks] = random.integers(0, config.text_vocab, ROWS - FRAMES)
    grid[0, ROWS - FRAMES :, : config.num_codebooks] = random.integers(0, 2048, (FRAMES, config.num_codebooks))
    with torch.inference_mode():
        hidden = model.hidden_states(torch.from_numpy(grid), torch.arange(ROWS)[None])
        codes = torch.from_numpy(random.integers(0, 2048, (1, config.num_codebooks)))
        first, depth = model.first_stage(hidden).first_logits, model.depth_stage(hidden[0, -1:], codes)
    return first.numpy().copy(), depth.numpy().copy()


def different_tensors(one: Path, other: Path) -> list[str]:
    """Names of tensors that are not equal in every bit of their values."""
    left, right = read_csm(one, as_arrays=True).tensors, read_csm(other, as_arrays=True).tensors
    names = left.keys() | right.keys()
    return sorted(n for n in names if n not in left or n not in right or not _equal(left[n], right[n]))


def _equal(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    return all(
        np.array_equal(as_floats(one[i : i + 4096]), as_floats(other[i : i + 4096])) for i in range(0, len(one), 4096)
    )


def run(config: CsmConfig, folder: Path) -> dict[str, Any]:
    """Write both forms of the same weights, read both, compare."""
    began = time.perf_counter()
    tensors = random_weights(config)
    write_csm(CsmWeights(config, dict(tensors)), folder / "sesame", "sesame")
    arrays = read_csm(folder / "sesame", as_arrays=True).tensors
    del tensors
    gc.collect()
    target = folder / "csm-<component>.gguf"
    paths = write_llama_csm(CsmPart(config, arrays), target, "BF16", tokenizer=plain_tokenizer(config.text_vocab))
    written = time.perf_counter()
    different = different_tensors(folder / "sesame", paths[0])
    first, depth = logits(folder / "sesame")
    gc.collect()
    their_first, their_depth = logits(paths[0])
    return {
        "what": "the pull request's backbone and decoder files (BF16) against the Sesame layout, same random weights",
        **versions(),
        "parameters": int(sum(np.prod(shape) for shape in csm_shapes(config).values())),
        "tensors": len(csm_shapes(config)),
        "different_tensors": different,
        "first_logits": {"largest": float(np.abs(first).max()), "difference": float(np.abs(first - their_first).max())},
        "depth_logits": {"largest": float(np.abs(depth).max()), "difference": float(np.abs(depth - their_depth).max())},
        "bytes": {path.name: path.stat().st_size for path in paths},
        "seconds": {"write": round(written - began, 1), "compare": round(time.perf_counter() - written, 1)},
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the files are written, and left")
    parser.add_argument("--size", choices=("small", "real"), default="real")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gguf_real_size.json"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    result = run(CSM_1B if options.size == "real" else SMALL, options.folder)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
