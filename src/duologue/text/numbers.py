"""Written numbers -> English words: cardinals, years, times, dates, money, units, phone numbers. Knows no markup.

Number names come from num2words; what stands here is which reading a written form wants. American style, without
"and" and without hyphens ("one hundred five"), as the embedded voice's training texts were read.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from num2words import num2words

MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
MONTHS = MONTH.split("|")
CURRENCIES = {
    "$": ("dollar", "cent"),
    "£": ("pound", "penny"),
    "€": ("euro", "cent"),
    "¥": ("yen", ""),
    "₹": ("rupee", "paisa"),
}
IRREGULAR = {"penny": "pence", "yen": "yen", "paisa": "paise", "foot": "feet", "hertz": "hertz"}
SCALES = {"k": "thousand", "m": "million", "bn": "billion", "b": "billion"}
UNITS = {
    "km/h": "kilometer an hour", "mph": "mile an hour", "km": "kilometer", "cm": "centimeter", "mm": "millimeter",
    "m": "meter", "kg": "kilogram", "mg": "milligram", "g": "gram", "lbs": "pound", "lb": "pound", "oz": "ounce",
    "ft": "foot", "mi": "mile", "ml": "milliliter", "mL": "milliliter", "l": "liter", "L": "liter",
    "GB": "gigabyte", "MB": "megabyte", "KB": "kilobyte", "kB": "kilobyte", "TB": "terabyte", "Hz": "hertz",
    "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "kW": "kilowatt", "kWh": "kilowatt hour", "W": "watt",
    "V": "volt", "ms": "millisecond", "sec": "second", "secs": "second", "min": "minute", "mins": "minute",
    "hr": "hour", "hrs": "hour", "h": "hour", "s": "second", "yr": "year", "yrs": "year", "°C": "degree Celsius",
    "°F": "degree Fahrenheit", "°": "degree", "dB": "decibel",
}  # fmt: skip
FRACTIONS = {"2": "half", "3": "third", "4": "quarter"}
MAX_DIGITS = 15  # longer runs are read digit by digit

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
HALF = r"([AaPp])(?:\.[Mm]\.(?= [a-z0-9]|[,?!;:])|\.?[Mm]\b)"  # a.m., PM; a last dot may be the sentence's
UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))


def cardinal(number: int) -> str:
    """42 -> forty two."""
    return _words(num2words(number))


def ordinal(number: int) -> str:
    """42 -> forty second."""
    return _words(num2words(number, to="ordinal"))


def year(number: int) -> str:
    """1984 -> nineteen eighty four; 2005 -> two thousand five."""
    return _words(num2words(number, to="year"))


def digits(run: str) -> str:
    """Name every digit, leaving out the rest: 555-12 -> five five five one two."""
    return " ".join(cardinal(int(digit)) for digit in run if digit.isdecimal())


def amount(written: str) -> str:
    """A number with thousands commas or a decimal point, as a quantity."""
    whole, _, fraction = written.replace(",", "").partition(".")
    by_digit = len(whole) > MAX_DIGITS or (len(whole) > 1 and whole[0] == "0")
    said = digits(whole) if by_digit else cardinal(int(whole or 0))
    return f"{said} point {digits(fraction)}" if fraction else said


def plural(noun: str, written: str) -> str:
    """The noun's form after a number: 1 mile an hour, 2 miles an hour."""
    if written == "1":
        return noun
    head, space, rest = noun.partition(" ")
    if rest == "hour":
        return f"{head} hours"
    return IRREGULAR.get(head, head + "s") + space + rest


def _words(named: str) -> str:
    return re.sub(r"[-,]|\band\b", " ", named).replace("  ", " ").replace("  ", " ").strip()


def _date(day: str, month: str, year_written: str | None) -> str | None:
    number = int(month) if month.isdecimal() else MONTHS.index(month) + 1
    if not (1 <= number <= 12 and 1 <= int(day) <= 31):
        return None
    said = f"{MONTHS[number - 1]} {ordinal(int(day))}"
    return f"{said}, {year(int(year_written))}" if year_written and int(year_written) else said


def _iso_date(match: re.Match[str]) -> str:
    return _date(match[3], match[2], match[1]) or f"{digits(match[1])} {digits(match[2])} {digits(match[3])}"


def _slashed_date(match: re.Match[str]) -> str:
    first, second, written = match[1], match[2], match[3]
    if len(written) == 2:
        written = ("20" if int(written) < 50 else "19") + written
    day, month = (first, second) if int(first) > 12 else (second, first)
    return _date(day, month, written) or digits(match[0])


def _month_day(match: re.Match[str]) -> str:
    return _date(match[2], match[1], match[3]) or f"{match[1]} {amount(match[2])}"


def _day_month(match: re.Match[str]) -> str:
    said = _date(match[1], match[2], match[3])
    return (
        f"the {ordinal(int(match[1]))} of {match[2]}" + (f", {year(int(match[3]))}" if match[3] else "")
        if said
        else match[0]
    )


def _clock(match: re.Match[str]) -> str:
    hour, minute, half = int(match[1]), match[2], match[3]
    said = cardinal(hour)
    if minute and int(minute):
        said += f" oh {cardinal(int(minute))}" if int(minute) < 10 else f" {cardinal(int(minute))}"
    elif not half:
        said += " o'clock" if 0 < hour <= 12 else " hundred hours" if hour else " hours"
    return f"{said} {half[0].upper()}M" if half else said


def _money(match: re.Match[str]) -> str:
    unit, small = CURRENCIES[match[1]]
    written, scale = match[2].replace(",", ""), match[3]
    whole, _, cents = written.partition(".")
    if scale:
        return f"{amount(written)} {SCALES.get(scale.lower(), scale)} {plural(unit, '2')}"
    if not cents or len(cents) != 2 or not small:
        return f"{amount(written)} {plural(unit, written)}"
    parts = [f"{amount(whole)} {plural(unit, whole)}"] if int(whole) or not int(cents) else []
    parts += [f"{cardinal(int(cents))} {plural(small, str(int(cents)))}"] if int(cents) else []
    return " and ".join(parts)


def _measure(match: re.Match[str]) -> str:
    return f"{amount(match[1])} {plural(UNITS[match[2]], match[1])}"


def _fraction(match: re.Match[str]) -> str:
    whole, top, bottom = match[1], match[2], match[3]
    if int(bottom) < 2 or len(bottom) > 3 or len(top) > 3:
        return f"{amount(top)} over {amount(bottom)}"
    name = FRACTIONS.get(bottom) or ordinal(int(bottom))
    if int(top) != 1:
        name = "halves" if name == "half" else name + "s"
    return (f"{amount(whole)} and " if whole else "") + f"{amount(top)} {name}"


def _decade(match: re.Match[str]) -> str:
    said = year(int(match[1])) if len(match[1]) == 4 else cardinal(int(match[1]))
    return said[:-1] + "ies" if said.endswith("y") else said + "s"


def _plain_number(match: re.Match[str]) -> str:
    written = match[0]
    if written.isdecimal() and len(written) == 4 and written[0] != "0":
        return year(int(written))
    return amount(written)


def _phone(match: re.Match[str]) -> str:
    groups = [digits(group) for group in re.findall(r"\d+", match[0])]
    return ("plus " if match[0].lstrip("(").startswith("+") else "") + ", ".join(groups)


# In order: what is more specific comes first. Each pattern sees what the earlier ones left.
RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), say)
    for pattern, say in (
        (r"(?<![\d.])(\d{4})-(\d{1,2})-(\d{1,2})(?![\d-])", _iso_date),
        (r"(?<![\d/])(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?![\d/])", _slashed_date),
        (rf"\b({MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?(?:,? (\d{{4}}))?\b(?![:.,]?\d)", _month_day),
        (rf"\b(?:the )?(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?({MONTH})(?:,? (\d{{4}}))?\b(?![:.,]?\d)", _day_month),
        (rf"(?<![\d:.])(\d|[01]\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?(?: ?{HALF})?(?![:\d])", _clock),
        (rf"(?<![\d:.])(1[0-2]|0?[1-9])() ?{HALF}", _clock),
        (r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])", _phone),
        (r"(?<![\w.])\+\d{1,3}(?:[ .-]?\d{2,5}){2,5}(?!\w)", _phone),
        (r"(?<![\w.-])\d{3}-\d{4}(?![\w-])", _phone),
        (r"(?:(?<=\s)|^)-(?=[$£€¥₹]?\.?\d)", lambda match: "minus "),
        (rf"([$£€¥₹]) ?({NUMBER})(?: ?(thousand|million|billion|trillion|[kKmM]|bn|[bB])\b)?", _money),
        (rf"(?<![\d.,])({NUMBER}) ?%", lambda match: f"{amount(match[1])} percent"),
        (r"(?<!\w)24/7(?!\w)", lambda match: "twenty four seven"),
        (r"(?<![\d/.])(?:(\d+) )?(\d+)/(\d+)(?![\d/])", _fraction),
        (r"(?<![\w.])'?(\d{4}|\d0)s\b", _decade),
        (rf"(?<=\d) ?[-–] ?(?={NUMBER})", lambda match: " to "),
        (rf"(?<![\w.,])({NUMBER}) ?({UNIT})(?![\w/°])", _measure),
        (r"(?<![\w.,])(\d+)(?:st|nd|rd|th)\b", lambda match: ordinal(int(match[1][:MAX_DIGITS]))),
        (r"(?<=\d)\.(?=\d+\.\d)|(?<=\d\.\d)\.(?=\d)", lambda match: " point "),
        (r"(?<!\d)\.(\d+)", lambda match: f" point {digits(match[1])}"),
        (r"(?<=\d) ?[x×] ?(?=\d)", lambda match: " by "),
        (rf"(?:{NUMBER})", lambda match: f" {_plain_number(match)} "),
    )
)


def speak_numbers(text: str) -> str:
    """Replace every run of ASCII digits and the signs that belong to it by words. No digit is left."""
    for pattern, say in RULES:
        text = pattern.sub(say, text)
    return text
