"""What a few English words do in a talk: finish a thought, leave it open, or only say "I'm listening".

Word lists and no network: a recogniser's words go in, a judgement comes out in microseconds. Whisper ends nearly
everything with a full stop, so the last word weighs more than the mark after it.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[a-z']+")
_PHRASES = re.compile(r"\b(i see|got it|of course|uh huh|that's right|makes sense|no way)\b")
LISTENING = frozenset(
    "mhm mm mmm hm hmm mhmm mmhm mmhmm uhhuh aha ah oh yeah yep yup yes ok okay right sure true exactly really wow "
    "nice cool great good alright totally absolutely indeed fine isee gotit ofcourse that'sright makessense "
    "noway".split()
)
OPEN_END = frozenset(
    "a an the my your its our their and or but so because if when while although than as to of at with from into "
    "between during i i'm i'd i'll i've it's he's she's there's what's very just um uh er erm".split()
)
QUESTION_TAILS = frozenset("to of at with from i".split())  # "Who is it from?"
WHOLE_ANSWERS = frozenset("yes no nope thanks hello hi hey bye goodbye stop wait".split())
BACKCHANNEL_WORDS = 4  # the longest: "yeah yeah of course"
SURE_SECONDS = 1.2  # speech that goes on this long is an interruption, whatever its words


def words_of(text: str) -> list[str]:
    """Lower-case words. "Mm-hmm" is one, and so is "I see"."""
    plain = text.lower().replace("-", "").replace("’", "'")
    return _WORD.findall(_PHRASES.sub(lambda found: found[0].replace(" ", ""), plain))


def is_backchannel(text: str) -> bool:
    """Whether a listener's words only say that they listen ("mhm", "yeah, right"), so that the speaker goes on."""
    words = words_of(text)
    return 0 < len(words) <= BACKCHANNEL_WORDS and LISTENING.issuperset(words)


def interrupts(text: str | None, speech_seconds: float) -> bool | None:
    """Whether speech into somebody's speech is meant to stop it. None: too early to tell, ask again.

    `text` holds the words so far (None: not recognised yet), `speech_seconds` how long the speech has gone on.
    """
    if speech_seconds >= SURE_SECONDS:
        return True
    if text is None or not words_of(text):
        return None
    return not is_backchannel(text)


def finished(text: str) -> float:
    """How much words sound like the end of a turn: 0 (they can't be) to 1 (they must be)."""
    words = words_of(text)
    if not words:
        return 0.5
    marks = text.rstrip(" \"'”’")
    asks = marks.endswith("?")
    if marks.endswith(("...", "…", ",", "-", "—", ":", ";")):
        return 0.15
    if words[-1] in OPEN_END and not (asks and words[-1] in QUESTION_TAILS):
        return 0.1
    if asks:
        return 0.95
    if len(words) <= 2:
        return 0.9 if words[-1] in WHOLE_ANSWERS or is_backchannel(text) else 0.55
    return 0.9 if marks.endswith((".", "!")) else 0.6
