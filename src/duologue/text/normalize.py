"""Written text -> text that can be read aloud word by word: no digits, markup, links, symbols. Knows no phonemes.

num2words names the numbers and anyascii transliterates other scripts; the rest is rules here, because the complete
normalisers (NeMo, WeTextProcessing) need a finite-state toolkit that is larger than this whole package.

The result holds Latin letters, apostrophes, single spaces and . , ? ! ; : — … and hyphens inside words; running it
again changes nothing; it never raises.
"""

from __future__ import annotations

import re
import unicodedata

from anyascii import anyascii

from .numbers import speak_numbers

PASSES = 6  # rules feed each other (an abbreviation beside a number): run until nothing changes
MAX_REPEATS = 3  # "soooooo" is read as "sooo"

FOLDED = str.maketrans(
    {
        "‘": "'", "’": "'", "ʼ": "'", "`": "'", "´": "'", "′": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
        "–": "–", "‐": "-", "‑": "-", "−": "-", "―": "—", "¿": " ", "¡": " ", "・": " ", "。": ". ", "，": ", ",
        "？": "? ", "！": "! ", "、": ", ", "：": ": ", "；": "; ", "⁄": "/", "\u00a0": " ", "\u00ad": None,
        "\u200b": None, "\u200c": None, "\u200d": None, "\u2060": None, "\ufeff": None,
    }
)  # fmt: skip
TITLES = {
    "Dr": "Doctor", "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Prof": "Professor", "Rev": "Reverend",
    "Gen": "General", "Capt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant", "Col": "Colonel",
    "Gov": "Governor", "Sen": "Senator", "Rep": "Representative", "Hon": "Honorable", "Mt": "Mount", "Ft": "Fort",
}  # fmt: skip
ABBREVIATIONS = {
    "Jr": "Junior", "Sr": "Senior", "vs": "versus", "etc": "et cetera", "e.g": "for example", "i.e": "that is",
    "approx": "approximately", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Inc": "Incorporated",
    "Ltd": "Limited", "Corp": "Corporation", "dept": "department", "Dept": "Department", "est": "established",
    "fig": "figure", "Fig": "Figure", "vol": "volume", "Vol": "Volume", "pp": "pages", "Jan": "January",
    "Feb": "February", "Aug": "August", "Sept": "September", "Sep": "September", "Oct": "October", "Nov": "November",
    "Dec": "December", "Tues": "Tuesday", "Thurs": "Thursday", "Fri": "Friday", "no": "number", "No": "Number",
}  # fmt: skip
NEEDS_NUMBER = (
    "no",
    "No",
    "fig",
    "Fig",
    "vol",
    "Vol",
    "pp",
    "est",
    "Jan",
    "Feb",
    "Aug",
    "Sep",
    "Sept",
    "Oct",
    "Nov",
    "Dec",
)
ROMANS = {
    "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10, "XI": 11, "XII": 12,
    "XIII": 13, "XIV": 14, "XV": 15, "XVI": 16, "XVII": 17, "XVIII": 18, "XIX": 19, "XX": 20,
}  # fmt: skip
ROMAN = "|".join(sorted(ROMANS, key=len, reverse=True))
NUMBERED = "Chapter|Part|Volume|Book|Act|Scene|Section|Phase|Type|War|Article|Episode|Season|Level|Class|Bowl|Mark"
REGNAL = (
    "Henry|Louis|Charles|George|James|Edward|William|Richard|Elizabeth|Mary|Pope|Paul|Pius|John|Leo|Benedict|Gregory|"
)
REGNAL += "Francis|Frederick|Philip|Alexander|Nicholas|Napoleon|Peter|Catherine|Innocent"
SYMBOLS = {
    "&": " and ", "@": " at ", "+": " plus ", "=": " equals ", "%": " percent ", "°": " degrees ", "×": " times ",
    "÷": " divided by ", "<": " less than ", ">": " greater than ", "$": " dollar ", "€": " euro ", "£": " pound ",
    "©": " copyright ", "§": " section ", "/": " ", "|": ", ", "~": " ", "#": " ", '"': " ",
    "(": ", ", ")": ", ", "[": ", ", "]": ", ", "{": ", ", "}": ", ",
}  # fmt: skip
TOP_LEVEL = "com|org|net|edu|gov|io|co|ai|dev|app|info|me|tv|uk|de|fr|ca|us"
URL = re.compile(
    rf"\b(?:https?://|www\.)[^\s<>\"')\]]+|\b(?:[a-z0-9-]{{1,63}}\.){{1,6}}(?:{TOP_LEVEL})\b(?:/[^\s<>\"')\]]*)?",
    re.IGNORECASE,
)
EMAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+\b")
SPOKEN_MARKS = {".": " dot ", "/": " slash ", "@": " at ", "-": " dash ", "_": " underscore ", ":": " colon ", "?": " ",
                "=": " equals ", "&": " and ", "#": " ", "+": " plus ", "%": " percent ", "~": " "}  # fmt: skip
MARKUP = (
    (re.compile(r"```[^`]*```|<[/!]?[A-Za-z][^<>\n]{0,200}>"), " "),
    (re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)"), r"\1"),  # [words](address)
    (re.compile(r"(?m)^\s{0,3}#{1,6}\s+|^\s*>\s+"), ""),  # headings, quotations
    (re.compile(r"(?m)(\w)[ \t]*\n\s*(?:[-*•‣]|\d{1,2}[.)])[ \t]+"), r"\1, "),  # list items
    (re.compile(r"(?m)^\s*[-*•‣][ \t]+"), ""),
    (re.compile(r"\*\*|__|~~|`|\*(?=\S)|(?<=\S)\*|(?<!\w)_|_(?!\w)"), ""),
)  # fmt: skip
LETTER = re.compile(r"[^\W\d_]")


def normalize(text: str) -> str:
    """Rewrite `text` for reading aloud. Idempotent; an empty result means that nothing in it can be said."""
    text = _remove_markup(_fold(text))
    for _ in range(PASSES):
        before = text
        text = _keep_speakable(_speak_symbols(speak_numbers(_expand(_speak_links(text)))))
        if text == before:
            break
    return text


def _fold(text: str) -> str:
    """One form for every character: Latin letters, composed, plain quotes; compatibility forms (½, ﬁ, full width)
    and other scripts by their Latin equivalents."""
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text.translate(FOLDED))
    text = "…".join(unicodedata.normalize("NFKC", part) for part in text.split("…"))  # NFKC would make … three dots
    return "".join(map(_latin, text)).translate(FOLDED)


def _latin(char: str) -> str:
    if char.isascii() or not char.isalnum() or unicodedata.name(char, "").startswith("LATIN"):
        return char
    return anyascii(char)


def _remove_markup(text: str) -> str:
    for pattern, replacement in MARKUP:
        text = pattern.sub(replacement, text)
    return re.sub(r"\s+", " ", text)


def _speak_links(text: str) -> str:
    text = EMAIL.sub(lambda match: _spell_marks(match[0]), text)
    return URL.sub(
        lambda match: _spell_marks(re.sub(r"^(?:https?://)?(?:www\.)?|/$", "", match[0], flags=re.IGNORECASE)), text
    )


def _spell_marks(address: str) -> str:
    ending = address[len(address.rstrip(".,!?;:")) :]
    body = address[: len(address) - len(ending)]
    return " " + "".join(SPOKEN_MARKS.get(char, char) for char in body) + ending + " "


def _expand(text: str) -> str:
    text = re.sub(r"\bSt\.? (?=[A-Z][a-z])", "Saint ", text)
    text = re.sub(r"(?<=[a-z] )St\b\.?", "Street", text)
    text = re.sub(rf"\b({'|'.join(TITLES)})\.? (?=[A-Z])", lambda match: TITLES[match[1]] + " ", text)
    text = re.sub(rf"\b({'|'.join(map(re.escape, ABBREVIATIONS))})\.(?!\w)(,?)( ?)(?=(.?))", _abbreviation, text)
    text = re.sub(rf"\b({NUMBERED}) ({ROMAN})\b(?!')", lambda match: f"{match[1]} {ROMANS[match[2]]}", text)
    text = re.sub(rf"\b({REGNAL}) ((?!I\b){ROMAN})\b(?!')", lambda match: f"{match[1]} the {ROMANS[match[2]]}th", text)
    text = re.sub(r"#(?=\d)", "number ", text)
    return re.sub(
        r"\b([ap])\.m\.(?= [a-z0-9]|[,?!;:])|\b([ap])\.m\b", lambda match: (match[1] or match[2]).upper() + "M", text
    )


def _abbreviation(match: re.Match[str]) -> str:
    short, comma, space, following = match.groups()
    if short in NEEDS_NUMBER and not following.isdigit():
        return match[0]
    ends_sentence = not following or (
        following.isupper() and short in ("etc", "Inc", "Ltd", "Corp", "Ave", "Blvd", "Rd")
    )
    return ABBREVIATIONS[short] + comma + ("." if ends_sentence and not comma else "") + space


def _speak_symbols(text: str) -> str:
    text = re.sub(r"(?<=[a-zA-Z])(?=\d)|(?<=\d)(?=[a-zA-Z])", " ", text)
    return "".join(SYMBOLS.get(char, char) for char in text)


def _keep_speakable(text: str) -> str:
    text = re.sub(" +", " ", "".join(_speakable(char) for char in text))
    text = re.sub(rf"([^\W\d_])\1{{{MAX_REPEATS},}}", lambda match: match[1] * MAX_REPEATS, text)
    text = re.sub(r"(?<![^\W_])-+|-+(?![^\W_])", " ", re.sub(r" +-+ +|--+|–", " — ", text))
    text = re.sub(r"(?<![^\W_])'(?![^\W_])", " ", text)
    text = re.sub(r"\.{2,}", "… ", text)
    text = re.sub(r"(?<!\w)'([^']+)'(?!\w)", r"\1", text)  # single quotes, not apostrophes
    text = re.sub(r"[ ,;:—….!?]*[,;:—….!?][ ,;:—….!?]*", _one_mark, re.sub(" +", " ", text))
    return text.strip(" ,;:—")


def _one_mark(match: re.Match[str]) -> str:
    """The strongest mark of a run, with one space after it. A dot inside a word (U.S.) stays."""
    if match[0] == "." and match.end() < len(match.string) and match.string[match.end()].isalpha():
        return "."
    mark = next(mark for mark in "?!.…;:—," if mark in match[0])
    return " — " if mark == "—" else mark + " "


def _speakable(char: str) -> str:
    if char in " '-.,?!;:—…–" or (char.isalpha() and unicodedata.name(char, "").startswith("LATIN")):
        return char
    return "" if unicodedata.combining(char) else " "
