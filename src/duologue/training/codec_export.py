"""From a codec run to one file that `load_mimi` reads. Knows checkpoints and layouts; trains nothing.

Weights are the averaged or the learned ones. With `half` they are rounded to fp16 first, so the codes of the file and
of anything that loads it agree. The fingerprint covers what makes codes (encoder and codebooks), not what sounds them:
a better decoder keeps all codes valid.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch

from ..errors import InputError
from ..mimi.codec import Mimi
from ..mimi.config import MimiConfig
from ..weights.kyutai import fold_weight_norm
from ..weights.mimi import save_mimi
from .checkpoints import latest_checkpoint, load_checkpoint
from .codec_quantizer import codebooks

CODE_MAKERS = ("encoder.", "encoder_transformer.", "downsample.", "quantizer.semantic.", "quantizer.acoustic.")
_NOT_CODES = ("project_out",)


def fingerprint(codec: Mimi) -> str:
    """16 hex digits over every tensor that codes depend on."""
    digest = hashlib.sha256()
    for name, tensor in sorted(codec.state_dict().items()):
        if name.startswith(CODE_MAKERS) and not any(part in name for part in _NOT_CODES):
            digest.update(name.encode())
            digest.update(tensor.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@torch.no_grad()
def settle(codec: Mimi, *, half: bool) -> Mimi:
    """Store each centroid itself instead of running sums; round to fp16 if asked. Changes the codec in place."""
    for book in codebooks(codec.quantizer):
        book.embedding_sum.copy_(book.centroids().clone())
        book.cluster_usage.fill_(1.0)
    if half:
        for tensor in (*codec.parameters(), *codec.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().to(tensor.dtype))
    return codec


def save_codec(codec: Mimi, target: Path, *, half: bool) -> str:
    """Write a settled copy of the codec atomically; returns its fingerprint."""
    copy = Mimi(codec.config)
    copy.load_state_dict(codec.state_dict())
    settle(copy, half=half)
    mark = fingerprint(copy)
    temporary = target.with_name(f".{target.name}.tmp")
    save_mimi(copy.half() if half else copy, temporary)
    temporary.replace(target)
    return mark


def codec_of_run(run: Path, config: MimiConfig, *, averaged: bool = True) -> Mimi:
    """The codec of a run's newest checkpoint.

    After a rate that fell to almost nothing the learned weights fit the codebooks better than their average, which
    still holds an older encoder; before that the average is better.
    """
    path = latest_checkpoint(run / "checkpoints")
    if path is None:
        raise InputError(f"{run} has no checkpoint yet.", hint="Train first.")
    tensors, _ = load_checkpoint(path)
    prefix = "module.average.codec." if averaged else "module.model.codec."
    codec = Mimi(config)
    codec.load_state_dict(
        fold_weight_norm({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    )
    return codec.eval()


def main(given: list[str] | None = None) -> None:
    """`python -m duologue.training.codec_export --run DIR --out FILE`."""
    from .codec import load_config

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--full", action="store_true", help="keep fp32 (twice the size)")
    parser.add_argument("--learned", action="store_true", help="the learned weights, not their average")
    arguments = parser.parse_args(given)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    config = load_config(arguments.run / "config.json").mimi
    codec = codec_of_run(arguments.run, config, averaged=not arguments.learned)
    print(arguments.out, save_codec(codec, arguments.out, half=not arguments.full))


if __name__ == "__main__":
    main()
