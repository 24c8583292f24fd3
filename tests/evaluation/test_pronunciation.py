"""Words that can be said in two ways: the data fit the front end, the alignment is the cheapest, the judge hears."""

import itertools
import json

import numpy as np
import pytest

from duologue.errors import InputError
from duologue.evaluation import pronunciation
from duologue.evaluation.said_words import phones_of, place_of, units_of_word, with_phones
from duologue.evaluation.way_judge import Reference, align, distance, nearer
from duologue.evaluation.word_ways import homographs, variants
from duologue.text.units import units_of


def test_every_word_is_in_its_sentence_once_and_its_ways_can_be_said():
    cases = [*homographs(), *(case for talk in variants() for case in talk)]
    assert len(homographs()) == 48 and len(cases) == 80
    for case in cases:
        for accent in ("us", "gb"):
            place, words = place_of(case.word, case.sentence), phones_of(case.sentence, accent)
            ways = [with_phones(words, place, way.phones(accent)) for way in case.ways]
            assert ways[0] != ways[1]
            for phones in ways:
                units = units_of(" ".join(phones))
                first, behind = units_of_word(units, place)
                assert units[first:behind] == units_of(phones[place].rstrip(".,?!"))


def test_each_homograph_is_right_both_ways():
    assert [case.right for case in homographs()] == [0, 1] * 24


def test_a_word_keeps_its_mark():
    assert with_phones(["lˈid,", "ɐ"], 0, "lˈɛd") == ["lˈɛd,", "ɐ"]
    with pytest.raises(InputError, match="2 times"):
        place_of("lead", "Lead the lead.")


def cheapest(costs):
    """Over all monotonic paths, one by one."""
    rows, columns = costs.shape
    best = np.inf
    for length in range(max(rows, columns), rows + columns):
        for steps in itertools.product([(1, 0), (0, 1), (1, 1)], repeat=length - 1):
            path = np.cumsum([(0, 0), *steps], axis=0)
            if tuple(path[-1]) == (rows - 1, columns - 1):
                best = min(best, costs[path[:, 0], path[:, 1]].sum())
    return best


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 4), (4, 3)])
def test_the_alignment_is_the_cheapest_path(shape):
    costs = np.random.default_rng(sum(shape)).random(shape)
    path = align(costs)
    assert tuple(path[0]) == (0, 0) and tuple(path[-1]) == (shape[0] - 1, shape[1] - 1)
    assert set(map(tuple, np.diff(path, axis=0).tolist())) <= {(0, 1), (1, 0), (1, 1)}
    assert costs[path[:, 0], path[:, 1]].sum() == pytest.approx(cheapest(costs))


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_only_the_word_counts():
    """A clip that drawls and has another neighbour is still at no distance where the word is."""
    a, b, c, d = np.eye(4)
    said = Reference(unit([a, b, c]), 1, 2)
    assert distance(unit([d, d, b, b, b, c]), said) == pytest.approx(0)
    assert distance(unit([a, d, d, c]), said) == pytest.approx(1)
    assert nearer(unit([a, b, c]), [[Reference(unit([a, d, c]), 1, 2)], [said]]) == (1, pytest.approx(1))


def test_the_command_judges_the_voice_and_itself(tmp_path):
    out = tmp_path / "results" / "said.json"
    pronunciation.main(["--words", "1", "--voices", "michael", "--out", str(out)])
    told = json.loads(out.read_text())
    tested = told["homographs"]
    assert tested["judged"] == {"own_voice": 4, "other_voices": 0}
    assert tested["judge_right_percent"]["own_voice"] >= 75  # reed and red, said by the embedded voice itself
    assert [(row["right"], row["written"]) for row in tested["rows"]] == [(0, 0), (1, 1)]
    assert tested["speakers"]["michael"]["text_right_percent"] == 100
    assert told["consistency"] is None  # it takes two to talk


def test_voices_of_two_accents_are_refused():
    with pytest.raises(InputError, match="accents"):
        pronunciation.main(["--voices", "michael", "emma"])
