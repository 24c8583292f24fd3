"""A codec to go on from: the weights of one in a codec that may be deeper. Knows files of codecs, trains nothing.

What the deeper one has more of, blocks of the front end or layers of the transformers, starts silent (the scale of what
it adds is zero), so that the first step's sound is the old codec's.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from ..errors import LayoutMismatch
from ..mimi.codec import Mimi
from ..mimi.config import MimiConfig
from ..weights.mimi import load_mimi

_ADDED = re.compile(r"\.(blocks|layers)\.\d+\.")  # a part that adds to what passes it
_SCALE = re.compile(r"\.scale[12]?$")


def start_codec(source: Path, config: MimiConfig) -> Mimi:
    """Build `config` with the weights of the codec in `source`. Raises LayoutMismatch if they don't fit into it."""
    return grown(load_mimi(source), config, str(source))


@torch.no_grad()
def grown(codec: Mimi, config: MimiConfig, name: str = "the codec") -> Mimi:
    """The same codec with the sizes of `config`; further blocks and layers add nothing yet.

    Raises LayoutMismatch where the two differ in more than the numbers of blocks and layers, or have fewer of them.
    """
    target = Mimi(config)
    new, old = target.state_dict(), codec.state_dict()
    missing = [key for key in new.keys() - old.keys() if not _ADDED.search(key)]
    unfit = [key for key in old if key not in new or new[key].shape != old[key].shape]
    if missing or unfit:
        raise LayoutMismatch.of_keys(f"{name}, for the sizes asked for,", missing, unfit)
    silent = {key: torch.zeros_like(new[key]) for key in new.keys() - old.keys() if _SCALE.search(key)}
    target.load_state_dict(new | old | silent)
    return target
