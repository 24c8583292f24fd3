"""Turn typed chat into lines that can be spoken: contractions, capitals, end marks; refuse what can't be cleaned."""

from __future__ import annotations

import re

CONTRACTIONS = {
    "im": "I'm", "ive": "I've", "dont": "don't", "doesnt": "doesn't", "didnt": "didn't", "cant": "can't",
    "wont": "won't", "isnt": "isn't", "wasnt": "wasn't", "arent": "aren't", "havent": "haven't",
    "hasnt": "hasn't", "wouldnt": "wouldn't", "couldnt": "couldn't", "shouldnt": "shouldn't", "thats": "that's",
    "whats": "what's", "youre": "you're", "theyre": "they're", "theres": "there's", "youve": "you've",
    "youd": "you'd", "weve": "we've", "hes": "he's", "shes": "she's", "heres": "here's", "u": "you", "ur": "your",
    "r": "are", "tho": "though", "cuz": "because", "thx": "thanks", "pls": "please", "yea": "yeah", "ya": "yeah",
    "i": "I", "alot": "a lot", "ok": "okay",
}  # fmt: skip
REFUSED = re.compile(
    r"\b(f+u+c+k\w*|shit\w*|bitch\w*|nig\w*|cunt|dick|puss\w*|whore|slut|fag\w*|porn\w*|sex\w*|rape\w*|kill\w*|"
    r"suicid\w*|ass|asshole|damn|hell|crap|nazi\w*|hitler|drug\w*|weed|boob\w*|penis|vagina|naked|horny)\b",
    re.IGNORECASE,
)
QUESTION_START = re.compile(
    r"^(who|what|when|where|why|how|which|do|does|did|are|is|was|were|can|could|would|will|have|has|had|should)\b",
    re.IGNORECASE,
)
CHATTER = re.compile(r"[*~_\"]|[:;]-?[)(DP]|\b(lol|haha\w*|lmao|hehe|xd|omg)\b[.!,]?", re.IGNORECASE)
WORD = re.compile(r"[A-Za-z']+")
MIN_WORDS, MAX_WORDS = 2, 32


def clean_turn(messages: list[str], known_words: set[str]) -> str | None:
    """Join one party's consecutive messages into a speakable turn, or None if that can't be done safely."""
    parts = []
    for message in messages:
        cleaned = _clean_message(message)
        if cleaned is None:
            return None
        if cleaned:
            parts.append(cleaned)
    text = " ".join(parts)
    words = WORD.findall(text)
    if not MIN_WORDS <= len(words) <= MAX_WORDS or REFUSED.search(text):
        return None
    shouted = any(word.isupper() and len(word) > 1 for word in words)
    if shouted or not all(_is_known(word, known_words) for word in words):
        return None
    return text


def _clean_message(message: str) -> str | None:
    text = message.strip().replace("\u2019", "'").replace("\u2026", ".")
    text = re.sub(r"\.{2,}", ",", text)
    text = re.sub(r"([?!]){2,}", r"\1", text)
    text = CHATTER.sub("", text).strip(" ,")
    if not text:
        return ""
    if not re.fullmatch(r"[A-Za-z ,.'?!\-]+", text) or "http" in text:
        return None
    text = " ".join(_restore(word) for word in text.split())
    text = text[0].upper() + text[1:]
    if text[-1] not in ".?!":
        text = text.rstrip(",-") + ("?" if QUESTION_START.match(text) else ".")
    return text


def _restore(word: str) -> str:
    match = re.fullmatch(r"([A-Za-z]+)([,.!?]*)", word)
    if not match:
        return word
    return CONTRACTIONS.get(match[1].lower(), match[1]) + match[2]


def _is_known(word: str, known_words: set[str]) -> bool:
    lower = word.lower().strip("'")
    stem = re.sub(r"'(s|d|ll|re|ve|m)$", "", lower)
    return not lower or lower in known_words or stem in known_words or lower.endswith("n't")
