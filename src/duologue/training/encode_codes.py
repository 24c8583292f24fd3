"""`python -m duologue.training.encode_codes --codec FILE --shards DIR --out DIR`: corpus shards to shards of codes.

Every turn is encoded by itself, from silence. Shards that exist are kept if they come from this codec and this listing;
a folder with another codec's shards is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from ..errors import InputError
from ..mimi.codec import Mimi
from ..weights.mimi import load_mimi
from .code_shards import read_code_shard, write_code_shard
from .codec_export import fingerprint

BATCH_TURNS = 12


def encode_shards(codec: Mimi, shards: Path, out: Path) -> int:
    """Encode every shard of `shards` that `out` lacks; returns how many were. Raises InputError on a mix of codecs."""
    mark = fingerprint(codec)
    made = 0
    for existing in sorted(out.glob("[0-9]*.safetensors")):
        if read_code_shard(existing).codec != mark:
            message = f"{existing} comes from another codec."
            raise InputError(message, hint="Give a new or an empty folder.", field="out")
    for listing in sorted(shards.glob("[0-9]*.jsonl")):
        target = out / f"{listing.stem}.safetensors"
        text = listing.read_bytes()
        corpus = hashlib.sha256(text).hexdigest()
        if target.exists() and read_code_shard(target).corpus == corpus:
            continue
        began = time.monotonic()
        turns = [turn for line in text.decode().splitlines() for turn in json.loads(line)["turns"]]
        wav, _ = soundfile.read(listing.with_suffix(".flac"), dtype="float32")
        codes = encode_turns(codec, [wav[t["start"] : t["start"] + t["samples"]] for t in turns])
        write_code_shard(target, codes, mark, corpus)
        made += 1
        pace = len(wav) / 24_000 / (time.monotonic() - began)
        print(f"{target}: {len(turns)} turns, {pace:.0f} audio-s/s", flush=True)
    return made


def encode_turns(codec: Mimi, turns: list[np.ndarray]) -> list[np.ndarray]:
    """Codes (K, T) of each turn, T = ceil(samples / 1920). Turns of like length share a batch."""
    order = sorted(range(len(turns)), key=lambda index: len(turns[index]))
    codes: dict[int, np.ndarray] = {}
    for start in range(0, len(order), BATCH_TURNS):
        group = order[start : start + BATCH_TURNS]
        lengths = torch.tensor([len(turns[index]) for index in group])
        wav = torch.zeros(len(group), 1, int(lengths.max()))
        for row, index in enumerate(group):
            wav[row, 0, : len(turns[index])] = torch.from_numpy(turns[index])
        found = codec.encode(wav, lengths=lengths).numpy()
        for row, index in enumerate(group):
            codes[index] = found[row, :, : codec.config.frames_covering(len(turns[index]))]
    return [codes[index] for index in range(len(turns))]


def main(given: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--codec", type=Path, required=True)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    print(encode_shards(load_mimi(arguments.codec), arguments.shards, arguments.out), "shards encoded")


if __name__ == "__main__":
    main()
