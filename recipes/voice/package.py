"""Put a trained codec and CSM into the package: weights, four voices cut from the corpus, model.json, model card.

    python recipes/voice/package.py --release DIR --shards CORPUS/shards [--out src/duologue/weights/embedded]

DIR holds codec.safetensors, csm.safetensors and csm.json, as the two trainings export them.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from package_card import RESULTS, write_card

from duologue.audio import Audio
from duologue.engine.assembly import assemble_codec
from duologue.training.code_shards import SpokenTurn
from duologue.training.csm_data import turn_rows
from duologue.training.voice_prompts import prompts
from duologue.voice import Voice
from duologue.weights.embedded import FOLDER

ACCENTS = {"us": "american", "gb": "british"}
DEFAULT_VOICE = "michael"  # the best understood by an ASR so far (docs/log.md)
SOURCE = "Kokoro-82M, voice {name} (synthetic speech; Apache-2.0)"


def main() -> None:
    """Package the release, then read it back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--figures", type=Path, default=RESULTS / "voice.json", help="what evaluation measured of it")
    options = parser.parse_args()
    facts = json.loads((options.release / "csm.json").read_text(encoding="utf-8"))
    (options.out / "voices").mkdir(parents=True, exist_ok=True)
    for name in ("csm.safetensors", "codec.safetensors"):
        shutil.copyfile(options.release / name, options.out / name)
    write_voices(options.out, facts, options.shards)
    write_model(options.out, facts)
    write_card(options.out, options.release, facts, options.figures)
    for path in options.out.rglob("*.safetensors"):
        path.chmod(0o644)
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"{options.out}: {size / 1e6:.1f} MB")


def write_voices(out: Path, facts: dict[str, Any], shards: Path) -> None:
    """One prompt per voice: the corpus's training turn whose length is nearest to 6.5 s, codes and pointers with it."""
    books = facts["training"]["recipe"]["model"]["num_codebooks"]
    advance = facts["training"]["recipe"]["model"]["aligned"]["max_advance"]
    codec = assemble_codec(out / "codec.safetensors", books, "cpu")
    wanted = {voice["name"]: voice for voice in facts["voices"]}
    for name, (turn, samples) in prompts(shards, set(wanted), kinds=("chat", "line")).items():
        voice = wanted[name]
        codes = codec.encode(samples)
        spoken = SpokenTurn(name, turn["text"], turn["phonemes"], turn["durations"], codes)
        rows = turn_rows(spoken, voice["speaker"], advance)
        Voice(
            name.split("_", 1)[1], turn["text"], Audio(samples), voice["speaker"], ACCENTS[voice["accent"]],
            codes, rows.pointers, codec.fingerprint, SOURCE.format(name=name), "Apache-2.0",
        ).save(out / "voices" / f"{name.split('_', 1)[1]}.safetensors")  # fmt: skip


def write_model(out: Path, facts: dict[str, Any]) -> None:
    """model.json: how the model reads, whose voice is the default, which sampling suits it."""
    sampling = facts["sampling"]
    card = {
        "name": "duologue-small",
        "text": "phones",
        "default_voice": DEFAULT_VOICE,
        "fixed_voices": True,
        "pin_voices": False,
        "licence": "Apache-2.0",
        "temperature": sampling["first"]["temperature"],
        "top_k": sampling["first"]["top_k"],
        "depth_temperature": sampling["depth"]["temperature"],
        "depth_top_k": sampling["depth"]["top_k"],
        "advance_temperature": sampling["advance"]["temperature"],
        "guidance": sampling.get("guidance"),
    }
    (out / "model.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
