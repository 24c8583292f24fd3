"""Phone units: the text alphabet of the embedded voice. Knows phoneme strings and numbers, no words and no tensors.

A phoneme string (misaki's symbols, one character each) is read as units:

    "ʤˈʌst tɹˈI, nˈW?"  ->  ʤ ˈʌ s t ␣ t ɹ ˈI , n ˈW ?

A phone is one unit together with its stress mark before it and its length mark behind it. A run of spaces and
punctuation is one boundary unit: its strongest mark, or a plain space. Spaces and quotes at either end are no units.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..errors import InputError

PAD, END = "<pad>", "<end>"
MAX_SPEAKERS = 8
STRESSES = ("", "ˈ", "ˌ")  # none, primary, secondary
BOUNDARIES = ("?", "!", ".", "…", ";", ":", "—", ",", " ")  # strongest first; part of the frozen order below
WEAK_MARKS = {"(": ",", ")": ",", '"': " ", "“": " ", "”": " ", "‘": " ", "’": " ", "–": "—"}  # read as another mark
CONSONANTS = "bdfhjklmnpstvwzðŋɡɹɾʃʒʔʤʧθT"  # T is the American flap of "pretty"
VOWELS = "AIOQWYaiuæɐɑɒɔəɛɜɪʊʌᵊᵻ"  # A I O Q W Y are the diphthongs of day, my, go (US), go (GB), now, boy
PHONES = (*CONSONANTS, *VOWELS, "iː", "uː", "ɑː", "ɔː", "ɜː", "ɛː", "əː")
# Ids are positions in this tuple and live inside trained weights: the order is frozen, new units only go to its end.
UNITS: tuple[str, ...] = (
    PAD,
    END,
    *(f"<speaker {n}>" for n in range(MAX_SPEAKERS)),
    *BOUNDARIES,
    *(stress + phone for phone in PHONES for stress in STRESSES),
)
UNIT_IDS: dict[str, int] = {unit: index for index, unit in enumerate(UNITS)}

_MARKS = "".join(BOUNDARIES) + "".join(WEAK_MARKS) + "\t\n\r"
_UNIT = re.compile(rf"[{re.escape(_MARKS)}]+|[ˈˌ]?[^ˈˌː{re.escape(_MARKS)}]ː?")


def speaker_unit(speaker: int) -> str:
    """Name of the unit that opens a turn of `speaker`. Raises InputError beyond 0..7."""
    if not 0 <= speaker < MAX_SPEAKERS:
        raise InputError(f"Speaker {speaker} doesn't exist.", hint=f"Use 0 to {MAX_SPEAKERS - 1}.", field="speaker")
    return f"<speaker {speaker}>"


def units_of(phonemes: str) -> list[str]:
    """Split a phoneme string into units, each in UNITS. Raises InputError naming the first unknown symbol."""
    return [unit for unit, _, _ in _spans(phonemes) if unit]


def unit_groups(phonemes: str) -> list[int]:
    """For each unit of `units_of(phonemes)`, which of the groups between spaces it stands in; -1 for a boundary."""
    return [-1 if unit[0] in _MARKS else phonemes.count(" ", 0, start) for unit, start, _ in _spans(phonemes) if unit]


def unit_ids(units: Sequence[str]) -> list[int]:
    """Vocabulary positions of `units`. Raises InputError for a unit outside the vocabulary."""
    unknown = next((unit for unit in units if unit not in UNIT_IDS), None)
    if unknown is not None:
        raise InputError(f"{unknown!r} is not a unit of this voice.", field="units")
    return [UNIT_IDS[unit] for unit in units]


def unit_durations(phonemes: str, durations: Sequence[int]) -> list[int]:
    """Fold durations per phoneme character onto units.

    `durations` holds the leading edge, one value per character of `phonemes`, and the trailing edge, in any unit of
    time. The result has one value per unit of `units_of(phonemes)` and a last one for <end>; the sum is kept. The
    leading edge belongs to the first unit, the trailing edge to <end>. Raises InputError if the counts disagree.
    """
    if len(durations) != len(phonemes) + 2:
        raise InputError(
            f"{len(phonemes)} phonemes came with {len(durations)} durations.",
            hint="There should be one per phoneme character and one for each edge.",
            field="durations",
        )
    folded: list[int] = []
    waiting = durations[0]  # time before the first unit
    for unit, start, end in _spans(phonemes):
        waiting += sum(durations[start + 1 : end + 1])
        if unit:
            folded.append(waiting)
            waiting = 0
    return [*folded, waiting + durations[-1]]


def _spans(phonemes: str) -> Iterator[tuple[str, int, int]]:
    """Yield (unit, start, end) covering the whole string; the unit of a plain space at either end is empty."""
    position = 0
    for match in _UNIT.finditer(phonemes):
        if match.start() != position:
            break
        position = match.end()
        unit = match.group()
        if unit[0] in _MARKS:
            unit = _strongest(unit)
            if unit == " " and (match.start() == 0 or match.end() == len(phonemes)):
                unit = ""
        elif unit not in UNIT_IDS:
            raise _unknown(phonemes, match.start(), unit)
        yield unit, match.start(), match.end()
    if position != len(phonemes):
        raise _unknown(phonemes, position, phonemes[position])


def _strongest(run: str) -> str:
    marks = {WEAK_MARKS.get(mark, mark) for mark in run}
    return next((mark for mark in BOUNDARIES if mark in marks), " ")


def _unknown(phonemes: str, position: int, symbol: str) -> InputError:
    return InputError(
        f"Symbol {symbol!r} at position {position} of {phonemes[:60]!r} is not a phone of this voice.",
        hint=f"Known phones: {' '.join(PHONES)}; stress ˈ or ˌ comes before a phone, ː only after i u ɑ ɔ ɜ ɛ ə.",
        field="phonemes",
    )
