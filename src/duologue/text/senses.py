"""Nouns that sound differently by what they mean: lead the metal, bass the music, a bow at court, a tear in a shirt.

A word's class doesn't tell these apart, so words around it do: it is said as another word of that sound. What nothing
speaks for stays with the lexicon. Knows words, no phones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .word_class import guess_class

REACH = 5  # words to each side that are looked at


@dataclass(frozen=True)
class Neighbours:
    """A word's surroundings in small letters."""

    before: str
    after: str
    around: frozenset[str]
    word_class: str  # a Penn tag


@dataclass(frozen=True)
class Sense:
    """Say a word as another one where `holds` says so."""

    said_as: str
    holds: Callable[[Neighbours], bool]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


METAL = _words(
    "made pipe pipes paint painted poisoning poison poisonous poisoned pencil pencils metal metals weight weights zinc "
    "copper tin iron steel silver mercury bullet bullets roof toxic melted melting molten battery batteries solder "
    "alloy ore shot gasoline petrol crystal cadmium"
)
FISH = _words(
    "fish fishes fishing fished fisherman angler lake lakes river rivers sea pond creek caught catch catches catching "
    "striped largemouth smallmouth grilled fried trout salmon perch bait hook reel rod fillet boat"
)
SHIP = _words("ship ships ship's boat boats boat's stern vessel vessels hull yacht deck waves")
STRINGS = _words("arrow arrows violin cello string strings fiddle legs")
CLOTH = _words(
    "shirt shirts fabric paper jeans cloth sail sails muscle muscles ligament tendon hole seam dress pants trousers "
    "skirt sleeve jacket coat curtain sheet wear tent bag sofa canvas"
)
ARTICLES = _words("a an the this that my your his her its our their")
SIZES = _words("and small big large long")
MODALS = _words("to will would can could should must might may not n't i you we they who")


def _is_noun(near: Neighbours) -> bool:
    named = near.before in ARTICLES or near.before in ("of", "with", "from")
    return named or (near.word_class in ("NN", "NNP", "JJ") and near.before not in MODALS)


def _metal(near: Neighbours) -> bool:
    return _is_noun(near) and bool(near.around & METAL) and near.before not in ("the", "took", "take")


def _bowing(near: Neighbours) -> bool:
    """Bending, or the front of a ship: not the ribbon, not the archer's."""
    if near.before in ARTICLES and near.around & _words("take takes took taking taken deep low"):
        return True
    if near.around & SHIP and near.before in ARTICLES:
        return True
    return near.word_class.startswith("VB") and near.before not in ARTICLES and not near.around & STRINGS


def _ripped(near: Neighbours) -> bool:
    noun = near.word_class in ("NN", "JJ") and near.before in ARTICLES | SIZES
    return noun and bool(near.around & CLOTH)


def _tears_it(near: Neighbours) -> bool:
    return near.before in ("he", "she", "it", "who", "that", "nobody", "everybody") and near.after != ""


SENSES: dict[str, Sense] = {
    "lead": Sense("led", _metal),
    "bass": Sense("base", lambda near: not near.around & FISH),
    "bow": Sense("bough", _bowing),
    "bows": Sense("boughs", lambda near: _bowing(near) or near.before in ("he", "she", "it", "who")),
    "bowed": Sense("boughed", lambda near: not near.around & STRINGS),
    "bowing": Sense("boughing", lambda near: not near.around & STRINGS),
    "tear": Sense("tare", _ripped),
    "tears": Sense("tares", _tears_it),
}


def said_as(words: Sequence[str], i: int) -> str:
    """Word `i` of a sentence (words and marks as written), or the word that it sounds like here."""
    sense = SENSES.get(words[i].lower())
    if sense is None:
        return words[i]
    around = frozenset(word.lower() for word in words[max(0, i - REACH) : i + REACH + 1]) - {words[i].lower()}
    before = words[i - 1].lower() if i else ""
    after = words[i + 1].lower() if i + 1 < len(words) and words[i + 1][0].isalpha() else ""
    near = Neighbours(before, after, around, guess_class(words, i))
    if not sense.holds(near):
        return words[i]
    return sense.said_as.capitalize() if words[i][0].isupper() else sense.said_as
