"""`python -m duologue.training.shifted_codes`: a corpus's codes once more, cut into frames at another place.

Speech that starts 25 or 50 ms earlier falls differently into 80 ms frames and has other codes, though it is the same
speech. A model that meets both learns a small corpus by heart far more slowly. Writes listings and codes of training
turns as further shards (the shift's number in front of the shard's), to lie beside the unshifted ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import soundfile
import torch

from ..mimi.codec import Mimi
from ..weights.mimi import load_mimi
from .code_shards import write_code_shard
from .codec_export import fingerprint
from .csm_data import TEACHER_UNIT_SAMPLES
from .encode_codes import encode_turns

Turn = dict[str, Any]


def shifted(turn: Turn, units: int) -> Turn:
    """The listing of a turn whose first `units` units of silence are cut off (fewer if it has no more)."""
    cut = min(units, turn["durations"][0])
    durations = [turn["durations"][0] - cut, *turn["durations"][1:]]
    samples = cut * TEACHER_UNIT_SAMPLES
    return {
        **turn,
        "durations": durations,
        "start": turn["start"] + samples,
        "samples": turn["samples"] - samples,
    }


def shift_shard(codec: Mimi, mark: str, listing: Path, out: Path, codes: Path, units: int) -> None:
    """Write one shard's shifted listing into `out` and its codes into `codes`."""
    items = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()]
    kept = [
        {**item, "turns": [shifted(turn, units) for turn in item["turns"]]}
        for item in items
        if item["split"] == "train"
    ]
    wav, _ = soundfile.read(listing.with_suffix(".flac"), dtype="float32")
    turns = [turn for item in kept for turn in item["turns"]]
    text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in kept)
    name = f"{units}{listing.stem}"
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.jsonl").write_text(text, encoding="utf-8")
    waves = [wav[turn["start"] : turn["start"] + turn["samples"]] for turn in turns]
    digest = hashlib.sha256(text.encode()).hexdigest()
    write_code_shard(codes / f"{name}.safetensors", encode_turns(codec, waves), mark, digest)


def main(given: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--codec", type=Path, required=True)
    parser.add_argument("--shards", type=Path, required=True, help="the corpus")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shifted listings")
    parser.add_argument("--codes", type=Path, required=True, help="folder for their codes")
    parser.add_argument("--units", type=int, default=1, help="how many 25 ms units to cut off, 1 to 4")
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    codec = load_mimi(options.codec)
    mark = fingerprint(codec)
    for listing in sorted(options.shards.glob("[0-9]*.jsonl")):
        if not (options.codes / f"{options.units}{listing.stem}.safetensors").exists():
            shift_shard(codec, mark, listing, options.out, options.codes, options.units)
            print(listing.stem, flush=True)


if __name__ == "__main__":
    main()
