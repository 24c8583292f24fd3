"""Texts for the synthetic corpus: chat dialogues, single lines, dictionary phrases, templates.

Everything here is deterministic: the same package versions give the same lines in the same order.
Knows nothing of audio.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from .cleaning import clean_turn

WORDNET_DIR = Path("/usr/share/wordnet")  # Debian's wordnet-base
Dialogue = list[tuple[int, str]]  # (party 0 or 1, text)


def _stable(seed: str) -> int:
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")


def chat_dialogues(known_words: set[str]) -> list[Dialogue]:
    """Runs of at least two alternating turns from the BYU Chit-Chat dataset (MIT), cleaned for speech."""
    source = importlib.resources.files("chitchat_dataset") / "dataset.json"
    runs: list[Dialogue] = []
    for chat in json.loads(source.read_text(encoding="utf-8")).values():
        runs += _alternating_runs(chat["messages"], known_words)
    return runs


def _alternating_runs(messages: list, known_words: set[str]) -> Iterator[Dialogue]:
    run: Dialogue = []
    parties: dict[str, int] = {}
    last = None
    for message in messages:
        sender = message[0]["sender"]
        text = clean_turn([part["text"] for part in message], known_words)
        if text is None or sender == last:
            if run:
                yield run
            run, parties = [], {}
        if text is not None:
            run.append((parties.setdefault(sender, len(parties)), text))
        last = sender if text is not None else None
    if run:
        yield run


def wordnet_phrases(known_words: set[str], directory: Path = WORDNET_DIR) -> list[str]:
    """Quoted example phrases of WordNet's glosses as sentences: broad vocabulary."""
    phrases: dict[str, None] = {}
    for part in ("noun", "verb", "adj", "adv"):
        for line in (directory / f"data.{part}").read_text(encoding="latin-1").splitlines():
            for phrase in re.findall(r'"([^"]+)"', line.partition("|")[2]):
                words = phrase.split()
                if 4 <= len(words) <= 16:
                    text = clean_turn([phrase], known_words)
                    if text:
                        phrases[text] = None
    return sorted(phrases, key=_stable)


def split_of(dialogue_id: str) -> str:
    """Assign a dialogue to train / validation / test (96 / 2 / 2 %) by a hash of its words."""
    bucket = _stable("split:" + dialogue_id) % 100
    return "test" if bucket < 2 else "validation" if bucket < 4 else "train"


FIRST = """Anna Ben Carla David Emma Frank Grace Henry Ivy Jack Kate Liam Maria Noah Olivia Peter Rachel Sam
Tina Victor Wendy Alice Brian Chloe Daniel Ella George Hannah Isaac Julia Kevin Laura Max Nina Oscar Paul Rosa Steve
Sarah Tom Lucy Mike Jenny Robert Susan Karen James Emily Michael Linda""".split()
CITIES = """London Paris Chicago Boston Seattle Denver Dallas Austin Berlin Madrid Rome Tokyo Dublin Toronto Sydney
Atlanta Houston Miami Portland Vienna Lisbon Oslo Cairo Delhi""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = """January February March April May June July August September October November December""".split()
THINGS = """coffee bread apples tickets chairs books pencils bottles sandwiches shirts lamps flowers eggs keys phones
bags cups plates letters pictures""".split()
SHORT = """Yes. No. Okay. Sure. Right. Maybe. Really? Thanks. Hello! Hi there. Goodbye. Exactly. Of course. No way!
Not yet. I see. Wait, what? Good morning. Good night. You're welcome. I guess so. Never mind. Me too. Why not?
Absolutely. I don't know. That's great! Oh no. Sounds good. See you soon. Take care. Come on. Excuse me. Let's go.
Not really. I think so. What's up? How come? Who knows? Well, yes. Thank you so much. Yeah. Hmm, okay. Sorry. Please.
Nothing. Today. Tomorrow. Again? Perfect. Done. Stop. Help! Later. Always. Never. Almost. Enough. Wonderful.
Congratulations! Interesting. Fine. Great. Cool. Wow. True. Nope. Yep.""".replace("\n", " ")


def template_line(rng: random.Random) -> str:
    """One line with numbers, times, money, names or a short answer (as words are written, not spelled out)."""
    n = rng.choice([rng.randint(1, 12), rng.randint(10, 99), rng.randint(100, 999), rng.randint(1000, 99999)])
    name, other = rng.sample(FIRST, 2)
    city, day, month = rng.choice(CITIES), rng.choice(DAYS), rng.choice(MONTHS)
    hour, minute = rng.randint(1, 12), rng.choice([0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55])
    clock = f"{hour} {'o' + chr(39) + 'clock' if minute == 0 else minute}"
    money = f"${rng.randint(1, 200)}" + rng.choice(["", f".{rng.randint(10, 99)}"])
    shorts = re.findall(r"[^.!?]+[.!?]", SHORT)
    return rng.choice(
        [
            lambda: rng.choice(shorts).strip(),
            lambda: rng.choice(shorts).strip(),
            lambda: f"{name} bought {n} {rng.choice(THINGS)} for {money}.",
            lambda: f"Can you meet {name} in {city} on {day} at {clock}?",
            lambda: f"The number is {' '.join(str(rng.randint(0, 9)) for _ in range(rng.randint(3, 7)))}.",
            lambda: f"My birthday is on {month} {rng.randint(1, 28)}.",
            lambda: f"That happened in {rng.randint(1900, 2030)}, I think.",
            lambda: f"It costs {money}, plus {rng.randint(2, 25)} percent tax.",
            lambda: f"Is it {name} or {other} who lives in {city}?",
            lambda: f"We need {n} more {rng.choice(THINGS)} by {day}.",
            lambda: f"{n}.",
            lambda: f"{n} {rng.choice(THINGS)}.",
            lambda: f"{name} and {other} are {rng.randint(2, 90)} and {rng.randint(2, 90)} years old.",
            lambda: f"The train to {city} leaves at {clock}.",
            lambda: f"First {rng.choice(THINGS)}, then {rng.choice(THINGS)}, and finally {rng.choice(THINGS)}.",
            lambda: f"It is {rng.randint(-20, 40)} degrees in {city} today.".replace("-", "minus "),
            lambda: f"{name}?",
            lambda: f"Hello {name}, this is {other}.",
        ]
    )()
