"""Plain sentences: common words in the frames of read English, and shards made of them."""

import random
import re

import pytest

from duologue.corpus.plain_sentences import PREPOSITIONS, common_words, past_of, plain_sentence, plural_of
from duologue.corpus.synthesize import READERS, Sources, plan_shard

COUNTS = """horse%1:05:00:: 1 52
lamp%1:06:00:: 1 9
lamp%1:06:01:: 2 1
brown%3:00:01:: 1 4
grave%5:00:00:serious:00 1 2
swing%2:38:00:: 1 8
polish%2:35:00:: 1 3
justice%1:07:00:: 1 30
wind_up%2:35:00:: 1 3
ox%1:05:00:: 1 1
"""
KNOWN = set(
    "horse horses lamp lamps brown grave swing swung polish polished justice the a an and was when there he she they "
    "we with as near of two three four five six seven eight nine ten twelve twenty".split()
    + PREPOSITIONS
)


@pytest.fixture
def wordnet(tmp_path):
    (tmp_path / "cntlist.rev").write_text(COUNTS, encoding="ascii")
    (tmp_path / "verb.exc").write_text("swung swing\nswinging swing\nunheard unhear\n", encoding="ascii")
    return tmp_path


def test_words_are_sorted_by_what_they_stand_for(wordnet):
    words = common_words(KNOWN, wordnet)
    assert set(words.beings) == {"horse"}  # an ox is too short, justice is nothing to touch
    assert set(words.objects) == {"lamp"}
    assert set(words.qualities) == {"brown", "grave"}
    assert set(words.acts) == {"swing", "polish"}  # one word each
    assert words.pasts == {"swing": "swung"}


def test_a_sentence_follows_from_its_seed_and_says_known_words_only(wordnet):
    words = common_words(KNOWN, wordnet)
    made = [plain_sentence(words, KNOWN, random.Random(seed)) for seed in range(60)]
    assert made == [plain_sentence(words, KNOWN, random.Random(seed)) for seed in range(60)]
    assert len(set(made)) > 20
    for line in made:
        assert line[0].isupper() and line[-1] == ".", line
        assert set(re.findall(r"\w+", line.lower())) <= KNOWN, line


@pytest.mark.parametrize(
    ("verb", "past"),
    [("swing", "swung"), ("glue", "glued"), ("carry", "carried"), ("play", "played"), ("stop", "stopped"),
     ("strap", "strapped"), ("lift", "lifted"), ("shout", "shouted"), ("flow", "flowed"), ("offer", "offered")],
)  # fmt: skip
def test_past_forms_are_spelled_as_english_spells_them(verb, past):
    assert past_of(verb, {"swing": "swung"}) == past


@pytest.mark.parametrize(
    ("noun", "plural"), [("crate", "crates"), ("box", "boxes"), ("brush", "brushes"), ("fly", "flies"), ("key", "keys")]
)
def test_plurals_are_spelled_as_english_spells_them(noun, plural):
    assert plural_of(noun) == plural


def test_a_shard_of_the_reading_mix_has_single_turns_of_rare_words_and_other_phrases_than_chat(wordnet):
    phrases = [f"Phrase number {n}." for n in range(400)]
    dialogues = [[(0, "How are you?"), (1, "Fine, thanks.")], [(0, "I like tea.")]]
    sources = Sources(dialogues, phrases, common_words(KNOWN, wordnet), KNOWN, "reading")
    made = plan_shard(1000, sources)
    assert made == plan_shard(1000, sources) != plan_shard(1001, sources)
    assert {item["kind"] for item in made} == {"phrase", "plain", "template", "word"}
    assert all(len(item["turns"]) == 1 and item["turns"][0]["voice"] in READERS for item in made)
    chat = plan_shard(0, Sources(dialogues, phrases, sources.words, KNOWN))
    assert "chat" in {item["kind"] for item in chat}

    def said(shard):
        return {turn["text"] for item in shard if item["kind"] == "phrase" for turn in item["turns"]}

    assert not said(plan_shard(0, sources)) & said(chat)
