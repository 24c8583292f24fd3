"""Dialogue scripts: both forms give the same turns, and every mistake names its line and its cure."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.errors import InputError
from duologue.text.script import ScriptTurn, parse_script


def test_the_bracket_form_on_one_line_and_on_many():
    one = parse_script("[0]Hey how are you doing.[1]Pretty good, pretty good.[0]Great!")
    many = parse_script("[0]Hey how\nare you doing.\n\n[1]Pretty good,\n  pretty good.\n[0]Great!\n")
    assert [(turn.speaker, turn.text) for turn in one] == [(turn.speaker, turn.text) for turn in many]
    assert one[1] == ScriptTurn(1, "1", "Pretty good, pretty good.", 1)
    assert [turn.line for turn in many] == [1, 4, 6]


def test_names_are_numbered_as_they_appear():
    turns = parse_script(
        "# a scene\nANNA: Hello there: friend.\n\n   How are you?\nBob Smith: See http://x.y\nAnna : Bye."
    )
    assert turns == [
        ScriptTurn(0, "ANNA", "Hello there: friend. How are you?", 2),
        ScriptTurn(1, "Bob Smith", "See http://x.y", 5),
        ScriptTurn(0, "Anna", "Bye.", 6),
    ]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("", "holds no turns"),
        ("# only a comment\n\n", "holds no turns"),
        ("hello", "Line 1 .* has no speaker"),
        ("# x\n[0]a\n[1]\n[0]b", r"Line 3 .*speaker \[1\] says nothing"),
        ("[0]", r"speaker \[0\] says nothing"),
        ("[0", "Line 1 .*before any speaker"),
        ("[x] hi\n[0]a", "Line 2 .*before any speaker|Line 1 .*before any speaker"),
        ("[64]x", "speaker 64 is out of range"),
        ("A: b\nC:", "Line 2 .*C says nothing"),
        ("\n".join(f"N{i}: x" for i in range(65)), "Line 65 .*speaker number 65"),
        ("[0]x" * 20_001, "20001 turns"),
        ("x" * 2_000_001, "characters"),
    ],
)
def test_mistakes_name_their_line(script, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_script(script)
    assert caught.value.field.startswith("script")


@given(
    st.lists(
        st.tuples(st.integers(0, 63), st.from_regex(r"[a-zA-Z][a-zA-Z ,.?!]{0,20}[a-z.]", fullmatch=True)), min_size=1
    )
)
@settings(deadline=None)
def test_what_is_written_is_read(turns):
    for glue in ("", "\n", "\n\n# note\n"):
        read = parse_script(glue.join(f"[{speaker}]{text}" for speaker, text in turns))
        assert [(turn.speaker, turn.text) for turn in read] == [
            (speaker, " ".join(text.split())) for speaker, text in turns
        ]
