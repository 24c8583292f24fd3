"""Make the synthetic corpus shard by shard: resumable, deterministic, safe against `kill -9`.

A shard is `NNNNN.flac` (all its utterances end to end, 24 kHz mono) and `NNNNN.jsonl` (one dialogue a line), written
last and atomically: a shard without its .jsonl does not exist yet. Several workers share one folder through lock files.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..errors import InputError
from . import texts
from .plain_sentences import Words, common_words, plain_sentence
from .teacher import Phonemizer, Teacher, assemble_model, known_words
from .teacher_engines import ENGINES

RATE_HZ = 24_000
DIALOGUES_PER_SHARD, SINGLES_PER_SHARD, PHRASES_PER_SHARD, TEMPLATES_PER_SHARD = 24, 12, 10, 10
MAIN_PAIRS = [
    ("af_heart", "am_michael"), ("am_michael", "af_heart"), ("af_heart", "am_michael"), ("am_michael", "af_heart"),
    ("bf_emma", "bm_george"), ("bm_george", "af_heart"), ("bf_emma", "am_michael"), ("am_michael", "bf_emma"),
]  # fmt: skip
OTHER_VOICES = """
af_alloy af_aoede af_bella af_jessica af_kore af_nicole af_nova af_river af_sarah af_sky am_adam
am_echo am_eric am_fenrir am_liam am_onyx am_puck am_santa bf_alice bf_isabella bf_lily bm_daniel bm_fable bm_lewis
""".split()
READ_PHRASES, READ_PLAIN, READ_TEMPLATES, READ_WORDS = 36, 36, 8, 8  # of a shard of the mix "reading"
READERS = {"af_heart": 7, "am_michael": 6, "bf_emma": 4, "bm_george": 4}  # how often each reads
MAX_SECONDS = 12.0
MIXES = ("chat", "reading")


@dataclass(frozen=True)
class Sources:
    """All texts there are. `mix` says what a shard is made of: conversations, or sentences of rarer words."""

    dialogues: list[texts.Dialogue]
    phrases: list[str]
    words: Words
    known: set[str]
    mix: str = "chat"


def plan_shard(index: int, sources: Sources) -> list[dict]:
    """List shard `index`'s items: voices, texts and split, from the index and the mix alone."""
    return _plan_reading(index, sources) if sources.mix == "reading" else _plan_chat(index, sources)


def _plan_reading(index: int, sources: Sources) -> list[dict]:
    """Phrases from the far end of the list, which the chat shards reach last, plain sentences, templates and words."""
    rng = random.Random(f"reading {index}")
    known, words, phrases = sources.known, sources.words, sources.phrases
    lines = [("phrase", phrases[-1 - (index * READ_PHRASES + j) % len(phrases)]) for j in range(READ_PHRASES)]
    lines += [("plain", plain_sentence(words, known, rng)) for _ in range(READ_PLAIN)]
    lines += [("template", texts.template_line(rng)) for _ in range(READ_TEMPLATES)]
    lines += [("word", rng.choice(words.objects + words.qualities).capitalize() + ".") for _ in range(READ_WORDS)]
    rng.shuffle(lines)
    voices = rng.choices(list(READERS), list(READERS.values()), k=len(lines))
    return [_item(kind, (voice,), [(0, text)], rng) for (kind, text), voice in zip(lines, voices, strict=True)]


def _plan_chat(index: int, sources: Sources) -> list[dict]:
    dialogues, phrases = sources.dialogues, sources.phrases
    rng = random.Random(f"shard {index}")
    multi = [d for d in dialogues if len(d) >= 2]
    single = [d for d in dialogues if len(d) == 1]
    items = []
    for j in range(DIALOGUES_PER_SHARD):
        position = index * DIALOGUES_PER_SHARD + j
        swapped = (position // len(multi)) % 2 == 1  # the second pass has the parties' voices exchanged
        pair = rng.choice(MAIN_PAIRS)
        dialogue = multi[position % len(multi)][:6]
        items.append(_item("chat", pair[::-1] if swapped else pair, dialogue, rng))
    for j in range(SINGLES_PER_SHARD):
        dialogue = single[(index * SINGLES_PER_SHARD + j) % len(single)]
        items.append(_item("line", rng.choice(MAIN_PAIRS), dialogue, rng))
    for j in range(PHRASES_PER_SHARD):
        phrase = phrases[(index * PHRASES_PER_SHARD + j) % len(phrases)]
        voices = rng.choice(MAIN_PAIRS) if j % 5 else (rng.choice(OTHER_VOICES),) * 2
        items.append(_item("phrase", voices, [(0, phrase)], rng))
    for _ in range(TEMPLATES_PER_SHARD):
        items.append(_item("template", rng.choice(MAIN_PAIRS), [(0, texts.template_line(rng))], rng))
    return items


def _item(kind: str, voices: tuple[str, ...], dialogue: texts.Dialogue, rng: random.Random) -> dict:
    identity = " / ".join(text for _, text in dialogue)
    turns = [
        {"voice": voices[party], "text": text, "speed": round(rng.uniform(0.92, 1.12), 3)} for party, text in dialogue
    ]
    return {"kind": kind, "split": texts.split_of(identity), "turns": turns}


def speak_shard(items: list[dict], teacher: Teacher, phonemizer: Phonemizer) -> tuple[np.ndarray, list[dict]]:
    """Voice every item; an item loses its tail from the first turn that can't be spoken (unknown word, too long)."""
    wavs: list[np.ndarray] = []
    kept = []
    start = 0
    for number, item in enumerate(items):
        turns = []
        for turn in item["turns"]:
            phonemes = phonemizer(turn["text"], "gb" if turn["voice"][0] == "b" else "us")
            spoken = teacher.speak(phonemes, turn["voice"], turn["speed"]) if phonemes else None
            if spoken is None or len(spoken.wav) > MAX_SECONDS * RATE_HZ:
                break
            wavs.append(spoken.wav)
            turns.append({**turn, "phonemes": spoken.phonemes, "durations": spoken.durations,
                          "start": start, "samples": len(spoken.wav)})  # fmt: skip
            start += len(spoken.wav)
        if turns:
            kept.append({"id": number, "kind": item["kind"], "split": item["split"], "turns": turns})
    return np.concatenate(wavs), kept


def write_shard(folder: Path, index: int, wav: np.ndarray, items: list[dict]) -> None:
    """Write audio first, index last, each through a temporary file."""
    audio, listing = folder / f"{index:05d}.flac", folder / f"{index:05d}.jsonl"
    temporary = folder / f".{index:05d}.{os.getpid()}.flac"
    soundfile.write(temporary, wav, RATE_HZ, subtype="PCM_16")
    temporary.replace(audio)
    temporary = folder / f".{index:05d}.{os.getpid()}.jsonl"
    temporary.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
    temporary.replace(listing)


def run(out: Path, voices: Path, first: int, shards: int, engine: str = "auto", mix: str = "chat") -> None:
    """Speak the shards numbered first..shards-1 that nobody has spoken or is speaking.

    Keep the numbers of the mixes apart: a number stands for one shard. Raises InputError for an unknown `mix`.
    """
    if mix not in MIXES:
        raise InputError(f"There is no mix {mix!r}.", hint=f"One of {', '.join(MIXES)}.", field="mix")
    out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(assemble_model(out.parent), voices, engine)
    print(teacher.engine, flush=True)
    known = known_words()
    dialogues, phrases = texts.chat_dialogues(known), texts.wordnet_phrases(known)
    random.Random("order").shuffle(dialogues)
    sources = Sources(dialogues, phrases, common_words(known, texts.WORDNET_DIR), known, mix)
    phonemizer = Phonemizer()
    for index in range(first, shards):
        if (out / f"{index:05d}.jsonl").exists():
            continue
        with (out / f".{index:05d}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released by the kernel when a worker dies
            except BlockingIOError:
                continue
            if (out / f"{index:05d}.jsonl").exists():
                continue
            wav, items = speak_shard(plan_shard(index, sources), teacher, phonemizer)
            write_shard(out, index, wav, items)
            print(f"shard {index}: {len(items)} items, {len(wav) / RATE_HZ:.0f} s of speech", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--voices", type=Path, required=True, help="folder of Kokoro voice packs (*.bin)")
    parser.add_argument("--first", type=int, default=0, help="number of the first shard")
    parser.add_argument("--shards", type=int, default=400, help="stop before the shard of this number")
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="auto: torch where it is fast, else onnx")
    parser.add_argument("--mix", choices=MIXES, default="chat", help="conversations, or read sentences")
    arguments = parser.parse_args()
    run(arguments.out, arguments.voices, arguments.first, arguments.shards, arguments.engine, arguments.mix)
