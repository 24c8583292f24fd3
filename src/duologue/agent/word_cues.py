"""What a few English words do in a talk: finish a thought, leave it open, or only say "I'm listening".

Word lists and no network: a recogniser's words go in, a judgement comes out in microseconds. Whisper ends nearly
everything with a full stop, so the last word weighs more than the mark after it.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[a-z']+")
_PHRASES = re.compile(r"\b(i see|got it|of course|uh huh|that's right|makes sense|no way)\b")
LISTENING = frozenset(
    "mhm mm mmm hm hmm mhmm mmhm mmhmm uh huh uhhuh uhuh ahuh ahhuh aha ah oh ooh ya yah yeah yep yup yes ok okay "
    "right sure true exactly really wow nice cool great good alright totally absolutely indeed fine isee gotit "
    "ofcourse that'sright makessense noway".split()
)
TAKES_FLOOR = frozenset(  # said briefly, these want the floor; other brief words are what a recogniser makes of "mhm"
    "stop wait no nope not don't hold hang hey excuse sorry pardon listen but actually what what's why how who where "
    "when which can could please enough quiet shush pause cancel question help again repeat wrong".split()
)
OPEN_END = frozenset(
    "a an the my your its our their and or but so because if when while although than as to of at with from into "
    "between during i i'm i'd i'll i've it's he's she's there's what's very just um uh er erm".split()
)
QUESTION_TAILS = frozenset("to of at with from i".split())  # "Who is it from?"
WHOLE_ANSWERS = frozenset("yes no nope thanks hello hi hey bye goodbye stop wait".split())
STOP = ("stop", "stomp")  # the word that matters most, and what Whisper makes of it in a hurry
BACKCHANNEL_WORDS = 4  # the longest, repetitions left out
BRIEF_SECONDS = 0.85  # nobody says much in less; backchannels of one and two words last 0.35 to 0.8 s
BRIEF_WORDS = 4  # so many different words in so short a time were meant
SURE_SECONDS = 1.2  # speech that goes on this long is an interruption, whatever its words


def words_of(text: str) -> list[str]:
    """Lower-case words. "Mm-hmm" is one, and so is "I see"."""
    plain = text.lower().replace("-", "").replace("’", "'")
    return _WORD.findall(_PHRASES.sub(lambda found: found[0].replace(" ", ""), plain))


def is_backchannel(text: str) -> bool:
    """Whether a listener's words only say that they listen ("mhm", "yeah, right"), so that the speaker goes on."""
    words = set(words_of(text))  # a recogniser that loops says "ah-huh" nine times
    return 0 < len(words) <= BACKCHANNEL_WORDS and words <= LISTENING


def interrupts(text: str | None, speech_seconds: float, *, over: bool = False) -> bool | None:
    """Whether speech into somebody's speech is meant to stop it. None: too early to tell, ask again.

    `text` holds the words so far (None: not recognised yet), `speech_seconds` how long the speech has gone on, `over`
    that it fell silent. Whisper reads a short "mm-hm" as nearly anything ("My mom"), so speech that is brief and over
    wants the floor only if its words say so; brief speech that goes on isn't judged by other words yet.
    """
    words = set(words_of(text or ""))
    if speech_seconds >= SURE_SECONDS:
        return True
    if not words:
        return None
    if is_backchannel(text or ""):
        return False
    asks = bool(words & TAKES_FLOOR) or any(word.startswith(STOP) for word in words)
    if speech_seconds >= BRIEF_SECONDS or asks or len(words) >= BRIEF_WORDS:
        return True
    return False if over else None


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
