"""Normalising for speech: every written form has one reading, twice is once, and only speakable characters remain."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from duologue.text.normalize import normalize

SPEAKABLE = re.compile(r"(?:[^\W\d_]|[ '.,?!;:—…-])*")

READINGS = {
    "42": "forty two",
    "105 of 1,234,567": "one hundred five of one million two hundred thirty four thousand five hundred sixty seven",
    "It is 3.14, not -7.": "It is three point one four, not minus seven.",
    "1984, 2005 and 1900": "nineteen eighty four, two thousand five and nineteen hundred",
    "in the 1990s and the 80s": "in the nineteen nineties and the eighties",
    "the 1st, 22nd and 103rd": "the first, twenty second and one hundred third",
    "007": "zero zero seven",
    "at 10:30": "at ten thirty",
    "at 9:05 p.m. sharp": "at nine oh five PM sharp",
    "We met at 7 p.m. Then we ate.": "We met at seven PM. Then we ate.",
    "at 7:00": "at seven o'clock",
    "on 5/1/2024": "on May first, twenty twenty four",
    "on 2024-12-25": "on December twenty fifth, twenty twenty four",
    "March 3, 1999": "March third, nineteen ninety nine",
    "the 3rd of May": "the third of May",
    "$5, $1.01, £3.50 and €2.5 million": (
        "five dollars, one dollar and one cent, three pounds and fifty pence and two point five million euros"
    ),
    "5% off": "five percent off",
    "70 mph, 1 kg, 20°C": "seventy miles an hour, one kilogram, twenty degrees Celsius",
    "5 in the morning": "five in the morning",
    "call 555-1234": "call five five five, one two three four",
    "(555) 123-4567": "five five five, one two three, four five six seven",
    "10-20 people": "ten to twenty people",
    "1/2 cup, 2 3/4 miles": "one half cup, two and three quarters miles",
    "½ cup": "one half cup",
    "Dr. Smith and Mrs. Jones": "Doctor Smith and Missus Jones",
    "St. Mary lives on Baker St. now": "Saint Mary lives on Baker Street now",
    "e.g. this, i.e. that, etc.": "for example this, that is that, et cetera.",
    "No. 5 said no.": "Number five said no.",
    "Henry VIII and World War II": "Henry the eighth and World War two",
    "Vitamin C and I": "Vitamin C and I",
    "see www.example.com/news.": "see example dot com slash news.",
    "mail a.b@mail.org": "mail a dot b at mail dot org",
    "R&B @ home + #1": "R and B at home plus number one",
    "**Bold** and _soft_ [link](http://a.b)": "Bold and soft link",
    "# Title": "Title",
    "- milk\n- eggs\n- bread": "milk, eggs, bread",
    "one\ntwo\r\nthree": "one two three",
    "“Smart” ‘quotes’ it’s": "Smart quotes it's",
    "so (really) good": "so, really, good",
    "wow 😀🎉!": "wow!",
    "COVID-19 and mp3": "COVID nineteen and mp three",
    "wait... what?!": "wait… what?",
    "soooooo": "sooo",
    "well-known mother-in-law": "well-known mother-in-law",
    "café naïve": "café naïve",
    "Привет": "Privet",
    "٣ Ⅳ ３": "three IV three",
}  # fmt: skip


@pytest.mark.parametrize(("written", "spoken"), READINGS.items())
def test_readings(written, spoken):
    assert normalize(written) == spoken


@given(st.text(max_size=80))
@example("0etc.._Henry")
@example("*II࢜IIª00i.e×1")
@example("i.e*—..sth")
@settings(max_examples=600, deadline=None)
def test_twice_is_once_and_only_speakable_characters_remain(text):
    spoken = normalize(text)
    assert SPEAKABLE.fullmatch(spoken)
    assert normalize(spoken) == spoken
    assert "  " not in spoken


WRITTEN = st.lists(
    st.sampled_from([*READINGS, "$", "-", ".", "/", "(", "'", "\n", "12", "a.m.", "St.", "@", "%"]), max_size=6
)


@given(WRITTEN, st.sampled_from(["", " ", ", "]))
@settings(max_examples=300, deadline=None)
def test_twice_is_once_for_mixed_forms(parts, glue):
    spoken = normalize(glue.join(parts))
    assert SPEAKABLE.fullmatch(spoken)
    assert normalize(spoken) == spoken


def test_long_input_takes_linear_time():
    assert len(normalize("9" * 10_000).split()) == 10_000
    normalize("a.b@" * 5_000 + "1-" * 5_000 + "((" * 5_000)
