"""Are words that can be said in two ways said the right way, and the same way throughout a talk? Judged by the sound.

    duologue evaluate pronunciation --out benchmarks/results/pronunciation.json

Sesame's two tests (homographs, consistency across turns) without a phone recogniser: the model itself says every
sentence in both ways from given phones, in all its voices of the accent, and the clip is compared with these. How far
that can be trusted is measured with the references themselves, whose way is known: one is judged by the others. A
voice that slurs is judged worse, so the figures are of judge and voice together.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import api
from ..errors import InputError
from ..speaking import GenerationConfig
from ..voice import Voice
from . import floor
from .asr import Judge
from .clips import Clip
from .report import versions
from .said_words import accent_of, phones_of, place_of, say, with_phones
from .voice import recorded, speak
from .way_judge import Reference, nearer, reference, vectors
from .word_ways import Case, homographs, variants

SEEDS = (11, 12)  # of the references
Known = dict[tuple[str, int], list[Reference]]  # (voice, seed): a reference for each way


def known_ways(model: api.Model, case: Case, voices: Sequence[Voice], seeds: Sequence[int], judge: Judge) -> Known:
    """The case's sentence in both ways by every voice and seed."""
    known: Known = {}
    place = place_of(case.word, case.sentence)
    for voice in voices:
        accent = accent_of(voice)
        words = phones_of(case.sentence, accent)
        for seed in seeds:
            told = [with_phones(words, place, way.phones(accent)) for way in case.ways]
            known[voice.name, seed] = [reference(judge, say(model, voice, phones, place, seed)) for phones in told]
    return known


def way_of(samples: Any, known: Known, judge: Judge, without: Sequence[tuple[str, int]] = ()) -> int:
    """Which way a clip (N,) is said in, by all references but some."""
    clip = vectors(judge, samples)
    return _way(clip, known, without)


def _way(clip: Any, known: Known, without: Sequence[tuple[str, int]]) -> int:
    used = [ways for key, ways in known.items() if key not in without]
    return nearer(clip, [[ways[number] for ways in used] for number in (0, 1)])[0]


def trust(known: Known) -> dict[str, list[bool]]:
    """Each first-seed reference judged by the others: with its own voice among them, and by other voices alone."""
    own, foreign = [], []
    voices = {name for name, _ in known}
    for (name, seed), ways in known.items():
        if seed != SEEDS[0]:
            continue
        for number, each in enumerate(ways):
            own.append(_way(each.vectors, known, [(name, seed)]) == number)
            if len(voices) > 1:
                foreign.append(_way(each.vectors, known, [key for key in known if key[0] == name]) == number)
    return {"own_voice": own, "other_voices": foreign}


def written_way(case: Case, voice: Voice) -> int | None:
    """The way that the text front end chose; None if it is neither."""
    accent = accent_of(voice)
    phones = phones_of(case.sentence, accent)[place_of(case.word, case.sentence)].rstrip(".,?!")
    return next((number for number, way in enumerate(case.ways) if way.phones(accent) == phones), None)


def percent(flags: Sequence[bool]) -> float | None:
    """Share of true ones; None of nothing."""
    return round(100 * sum(flags) / len(flags), 1) if flags else None


def judge_homographs(
    model: api.Model, voices: Sequence[Voice], groups: Mapping[str, Sequence[Clip]], cases: Sequence[Case], judge: Judge
) -> dict[str, Any]:
    """Every speaker's clips of the cases (by name, in order), judged; and how far the judge can be trusted."""
    rows: list[dict[str, Any]] = []
    trusted: dict[str, list[bool]] = {"own_voice": [], "other_voices": []}
    by_name = {voice.name: voice for voice in voices}
    for index, case in enumerate(cases):
        known = known_ways(model, case, voices, SEEDS, judge)
        for kind, flags in trust(known).items():
            trusted[kind] += flags
        for name, clips in groups.items():
            way = way_of(clips[index].samples, known, judge) if len(clips[index].samples) > 960 else None
            written = written_way(case, by_name[name]) if name in by_name else None
            row = {"speaker": name, "word": case.word, "sentence": case.sentence, "right": case.right, "heard": way}
            rows.append(row | ({"written": written} if name in by_name else {}))
    speakers = {}
    for name in groups:
        mine = [row for row in rows if row["speaker"] == name]
        told: dict[str, Any] = {"cases": len(mine), "right_percent": percent([r["heard"] == r["right"] for r in mine])}
        if name in by_name:
            told["text_right_percent"] = percent([r["written"] == r["right"] for r in mine])
            told["sound_as_written_percent"] = percent([r["heard"] == r["written"] for r in mine])
        speakers[name] = told
    return {
        "judge_right_percent": {kind: percent(flags) for kind, flags in trusted.items()},
        "judged": {kind: len(flags) for kind, flags in trusted.items()},
        "speakers": speakers,
        "rows": rows,
    }


def judge_consistency(
    model: api.Model, voices: Sequence[Voice], talks: Sequence[Sequence[Case]], seed: int, judge: Judge
) -> dict[str, Any]:
    """Two voices talk about each word in turn; is it one word in all turns?"""
    rows: list[dict[str, Any]] = []
    trusted: list[bool] = []
    cast = {voice.speaker: voice.name for voice in voices[:2]}
    options = GenerationConfig(retries=0, check=False)
    for talk in talks:
        conversation = model.conversation(dict(cast), options=options)
        heard = []
        for number, case in enumerate(talk):
            speaker = list(cast)[number % len(cast)]
            audio = conversation.say(case.sentence, speaker=speaker, seed=seed + number)
            known = known_ways(model, case, voices, SEEDS, judge)
            trusted += trust(known)["own_voice"]
            way = way_of(audio.samples, known, judge)
            written = written_way(case, model.voice(cast[speaker]))
            heard.append(way)
            rows.append(
                {"word": case.word, "turn": number + 1, "voice": cast[speaker], "heard": way, "written": written}
            )
        most = Counter(heard).most_common(1)[0][1]
        rows[-1]["turns_alike"] = most
    alike = [row["turns_alike"] for row in rows if "turns_alike" in row]
    return {
        "words": len(talks),
        "turns": len(rows),
        "turns_in_the_words_usual_way_percent": round(100 * sum(alike) / len(rows), 1),
        "words_alike_in_all_turns_percent": percent([each == len(t) for each, t in zip(alike, talks, strict=True)]),
        "sound_as_written_percent": percent([row["heard"] == row["written"] for row in rows]),
        "judge_right_percent": percent(trusted),
        "rows": rows,
    }


def same_accent(model: api.Model, names: Sequence[str] | None) -> list[Voice]:
    """The voices to judge, and to judge by: those named, or all of the default voice's accent. Raises InputError."""
    if names:
        voices = [model.voice(name) for name in names]
        if len({voice.accent for voice in voices}) > 1:
            raise InputError(f"{', '.join(names)} have different accents.", hint="Name one's.", field="voices")
        return voices
    if not model.voices:
        raise InputError(f"{model.name} has no voices of its own.", field="voices")
    accent = model.voice(model.card.default_voice or next(iter(model.voices))).accent
    return [voice for name in model.voices if (voice := model.voice(name)).accent == accent]


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Both tests as the command's options say."""
    model, judge = api.load(arguments.model), Judge(arguments.judge)
    voices = same_accent(model, arguments.voices)
    cases, talks = homographs()[: 2 * arguments.words], variants()[: arguments.words]
    sentences = [case.sentence for case in cases]
    groups = {voice.name: speak(model, sentences, voice.name, [arguments.seed], 0) for voice in voices}
    for each in arguments.reference:
        name, _, folder = each.partition("=")
        groups[name] = recorded(Path(folder), sentences, name)
    if arguments.floor:
        groups |= {name: floor.speak(name, sentences) for name in floor.installed()}
    return {
        "what": "words that can be said in two ways: the right one, and the same in all turns; judged by sound",
        **versions(),
        "model": model.name,
        "voices": [voice.name for voice in voices],
        "seed": arguments.seed,
        "judge": f"DTW over {judge.name}'s encoder against the model's own voices saying both ways",
        "homographs": judge_homographs(model, voices, groups, cases, judge),
        "consistency": judge_consistency(model, voices, talks, arguments.seed, judge) if len(voices) > 1 else None,
    }


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        prog="python -m duologue.evaluation.pronunciation", description=__doc__.partition("\n")[0]
    )
    options.add_argument("--model", help="what duologue.load takes; default: the embedded voice")
    options.add_argument("--voices", nargs="+", help="of one accent; default: all of the default voice's")
    options.add_argument("--words", type=int, default=24, help="only the first so many words of each test")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--reference", action="append", default=[], metavar="NAME=FOLDER", help="NNN.wav per sentence")
    options.add_argument("--floor", action="store_true", help="also flite and espeak-ng, where they are installed")
    options.add_argument("--judge", default="base", help="base, a folder, or a name that faster-whisper knows")
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/pronunciation.json"))
    return options


def main(given: Sequence[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(given)
    result = evaluate(arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    told = result["homographs"]
    print(f"homographs; the judge itself is right in {told['judge_right_percent']['own_voice']} % of known cases")
    for name, values in told["speakers"].items():
        print(f"  {name}: {values['right_percent']} % of {values['cases']} said the right way")
    if (talks := result["consistency"]) is not None:
        print(
            f"consistency: {talks['turns_in_the_words_usual_way_percent']} % of {talks['turns']} turns in the word's "
            f"usual way (judge right: {talks['judge_right_percent']} %); {arguments.out}"
        )


if __name__ == "__main__":
    main()
