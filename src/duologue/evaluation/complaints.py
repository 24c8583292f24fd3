"""The three complaints of llama.cpp's CSM thread, measured on a voice: silence between turns, long text, endlessness.

    python -m duologue.evaluation.complaints --out benchmarks/results/complaints.json

Everything is spoken raw, as that program does: one turn in one piece, no checks, no second attempts, nothing trimmed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import api
from ..speaking import GenerationConfig
from .asr import Judge
from .complaint_endless import endless
from .complaint_long import long_text
from .complaint_turns import silence_between_turns
from .report import versions
from .sentences import held_out

PULL_REQUEST = GenerationConfig(temperature=0.9, top_k=50)  # its fixed defaults


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All three, as the command's options say."""
    model = api.load(arguments.model, engine=arguments.engine)
    sentences = list(dict.fromkeys([*held_out("heldout120"), *held_out("heldout40")]))
    voices = list(model.voices)
    texts = [
        sentences[start : start + arguments.long_sentences]
        for start in range(0, arguments.texts * arguments.long_sentences, arguments.long_sentences)
    ]
    default = model.card.default_voice or voices[0]
    return {
        "what": "turns spoken raw: one piece each, no checks, no second attempts, nothing trimmed",
        **versions(),
        "model": model.name,
        "engine": model.engine.name,
        "seed": arguments.seed,
        "silence_between_turns": silence_between_turns(
            model, sentences[: arguments.scenes * arguments.turns], arguments.turns, arguments.seed
        ),
        "long_text": long_text(model, texts, default, arguments.seed, Judge("base", arguments.threads)),
        "endless": {
            "own_sampling": endless(model, sentences, voices[:2], GenerationConfig(), arguments.seed),
            "temperature_0.9_top_k_50": endless(model, sentences, voices[:2], PULL_REQUEST, arguments.seed),
        },
    }


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        prog="python -m duologue.evaluation.complaints", description=__doc__.partition("\n")[0]
    )
    options.add_argument("--model", help="what duologue.load takes; default: the embedded voice")
    options.add_argument("--engine", default="auto")
    options.add_argument("--scenes", type=int, default=10, help="dialogues")
    options.add_argument("--turns", type=int, default=8, help="turns of each")
    options.add_argument("--texts", type=int, default=3, help="long texts")
    options.add_argument("--long-sentences", type=int, default=30, help="sentences of each; 30 are over 800 frames")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--threads", type=int, default=1, help="of the judge")
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/complaints.json"))
    return options


def main(given: Sequence[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(given)
    result = measure(arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    turns, long, ends = result["silence_between_turns"], result["long_text"], result["endless"]["own_sampling"]
    print(f"silence at a join: median {turns['seconds_at_a_join']['median']} s, longest {turns['longest_seconds']} s, "
          f"{turns['share_of_the_sound_percent']} % of the sound")  # fmt: skip
    for way in ("alone", "sentences", "one_turn"):
        found = long[way]
        print(f"long text, {way}: frames {found['frames']}, WER by quarter {found['wer_percent_by_quarter']} %, "
              f"{found['loops']} loops, {found['repeated_runs']} repeated runs of words")  # fmt: skip
    print(f"did not end by themselves: {ends['stopped']} of {ends['utterances']}; {arguments.out}")


if __name__ == "__main__":
    main()
