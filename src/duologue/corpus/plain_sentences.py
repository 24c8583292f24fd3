"""Plain sentences for the synthetic corpus: words of all kinds in the frames of read English, sense left to chance.

"The loose kettle dragged six geese across the harbour": semantically unpredictable sentences, as listening tests use
them, but in many frames. Chat says few words often; here every content word is drawn from WordNet's common ones, so a
model meets sounds in orders that chat never has. Deterministic for one version of WordNet. Knows nothing of audio.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .cleaning import clean_turn

# WordNet's lexicographer files, by number: what a word stands for decides where a frame may use it.
BEINGS = {"1:05", "1:18"}  # animals, people
OBJECTS = {"1:06", "1:13", "1:17", "1:20", "1:27"}  # artifacts, food, natural things, plants, substances
QUALITIES = {"3:00", "5:00"}
ACTS = {"2:35", "2:36", "2:38", "2:39"}  # contact, creation, motion, perception
PREPOSITIONS = "across against along around behind below beneath beside between by from in into near off on over " \
    "past through toward under with without".split()  # fmt: skip
NUMBERS = "two three four five six seven eight nine ten twelve twenty".split()
VOWELS = "aeiou"
DOUBLING = re.compile(r"[^aeiou]+[aeiou][bdgklmnprt]")  # one syllable with a short vowel: stop, stopped
SHORT, SHORT_WEIGHT = 7, 3  # words of at most so many letters are drawn so many times as often: read English likes them


@dataclass(frozen=True)
class Words:
    """Word lists by use; a word that stands there several times is drawn so much more often."""

    beings: list[str]
    objects: list[str]
    qualities: list[str]
    acts: list[str]  # base forms
    pasts: dict[str, str]  # irregular past forms of base forms


def common_words(known_words: set[str], directory: Path) -> Words:
    """Words that WordNet's tagged texts use (`cntlist.rev`) and the teacher's lexicon knows."""
    found: dict[str, set[str]] = {"beings": set(), "objects": set(), "qualities": set(), "acts": set()}
    for line in (directory / "cntlist.rev").read_text(encoding="ascii").splitlines():
        lemma, _, rest = line.partition("%")
        kind = rest[:4]
        if lemma not in known_words or not lemma.isalpha() or len(lemma) < 3:
            continue
        for name, kinds in (("beings", BEINGS), ("objects", OBJECTS), ("qualities", QUALITIES), ("acts", ACTS)):
            if kind in kinds:
                found[name].add(lemma)
    pasts: dict[str, str] = {}
    for line in (directory / "verb.exc").read_text(encoding="ascii").splitlines():
        form, base = line.split()[:2]
        if form in known_words and not form.endswith(("ing", "s")):
            pasts.setdefault(base, form)  # of two forms the first: an English verb's past is rarely its second
    lists = {name: weighted(words) for name, words in found.items()}
    return Words(**lists, pasts=pasts)


def weighted(words: set[str]) -> list[str]:
    """Sorted, short ones several times."""
    return sorted(words) + sorted(word for word in words if len(word) <= SHORT) * (SHORT_WEIGHT - 1)


def past_of(verb: str, pasts: dict[str, str]) -> str:
    """The past form of a base form: irregular ones from the list, else spelled by rule."""
    if verb in pasts:
        return pasts[verb]
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ied"
    if DOUBLING.fullmatch(verb):
        return verb + verb[-1] + "ed"
    return verb + "ed"


def plural_of(noun: str) -> str:
    """A noun's plural, spelled by rule."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in VOWELS:
        return noun[:-1] + "ies"
    return noun + "s"


def plain_sentence(words: Words, known_words: set[str], rng: random.Random) -> str:
    """One sentence whose words the lexicon knows."""
    while True:
        text = clean_turn([rng.choice(FRAMES)(Draw(words, rng))], known_words)
        if text:
            return text


@dataclass(frozen=True)
class Draw:
    """Words for one sentence's frame."""

    words: Words
    rng: random.Random

    @property
    def being(self) -> str:
        """Somebody or some animal."""
        return self.rng.choice(self.words.beings)

    @property
    def thing(self) -> str:
        """Something to touch."""
        return self.rng.choice(self.words.objects)

    @property
    def things(self) -> str:
        """More of them."""
        return plural_of(self.thing)

    @property
    def kind(self) -> str:
        """An adjective."""
        return self.rng.choice(self.words.qualities)

    @property
    def act(self) -> str:
        """A verb's base form."""
        return self.rng.choice(self.words.acts)

    @property
    def did(self) -> str:
        """A verb's past form."""
        return past_of(self.act, self.words.pasts)

    @property
    def where(self) -> str:
        """A preposition."""
        return self.rng.choice(PREPOSITIONS)

    @property
    def number(self) -> str:
        """More than one."""
        return self.rng.choice(NUMBERS)

    def one(self, phrase: str) -> str:
        """A phrase with its article."""
        return ("an " if phrase[0] in VOWELS else "a ") + phrase


FRAMES: list[Callable[[Draw], str]] = [
    lambda d: f"The {d.kind} {d.being} {d.did} the {d.thing} {d.where} the {d.thing}.",
    lambda d: f"The {d.kind} {d.thing} {d.did} {d.where} the {d.kind} {d.thing}.",
    lambda d: f"{d.act} the {d.kind} {d.thing} {d.where} the {d.thing}.",
    lambda d: f"{d.act} the {d.thing} and {d.act} the {d.kind} {d.thing}.",
    lambda d: f"{d.one(d.kind)} {d.being} {d.did} {d.where} the {d.thing}.",
    lambda d: f"{d.number} {d.kind} {d.things} {d.did} {d.where} the {d.thing}.",
    lambda d: f"{d.rng.choice(('He', 'She', 'They', 'We'))} {d.did} the {d.kind} {d.thing} with {d.one(d.thing)}.",
    lambda d: f"The {d.thing} of the {d.being} was {d.kind} and {d.kind}.",
    lambda d: f"The {d.being} and the {d.being} {d.did} near the {d.kind} {d.thing}.",
    lambda d: f"There was {d.one(d.kind)} {d.thing} {d.where} the {d.thing}.",
    lambda d: f"When the {d.being} {d.did}, the {d.kind} {d.thing} {d.did}.",
    lambda d: f"{d.things} and {d.kind} {d.things} {d.did} the {d.being}.",
    lambda d: f"The {d.being} {d.did} as the {d.things} {d.did}.",
    lambda d: f"{d.kind} {d.thing} and {d.kind} {d.thing}.",
    lambda d: f"{d.thing}, {d.thing}, and {d.thing}.",
    lambda d: f"{d.one(d.kind)} {d.thing}.",
]
