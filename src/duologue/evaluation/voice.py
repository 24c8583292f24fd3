"""How well does a voice speak? Let it say held-out sentences, let judges listen, and write the figures as JSON.

    python -m duologue.evaluation.voice --sentences heldout40 --out benchmarks/results/voice.json

Knows the library's front and the judges; nothing of networks. Every attempt counts: a sentence that the library retried
is counted as retried, and one that it gave up counts with all its words deleted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from .. import api
from ..errors import InputError, SpeechError
from ..speaking import GenerationConfig
from ..timebase import RATE_HZ
from . import floor, naturalness, page, speaker
from .asr import Judge, trim
from .clips import Clip, figures, per_clip
from .reading_clips import judge_words, judge_words_again
from .report import versions
from .sentences import held_out, reading_order, sections

SECTION_FIGURES = ("clips", "words", "wer_percent", "wer_percent_reread", "understood_percent")


def speak(
    model: api.Model, sentences: Sequence[str], voice: str | None, seeds: Sequence[int], retries: int
) -> list[Clip]:
    """Every sentence with every seed. `retries` is what the library may do about a bad attempt; 0 shows it raw."""
    options = GenerationConfig(retries=retries, check=retries > 0)
    clips = []
    for seed in seeds:
        for sentence in sentences:
            started = time.perf_counter()
            name = voice or "default"
            try:
                audio = model.generate(sentence, voice=voice, seed=seed, options=options)
            except SpeechError as error:
                elapsed = time.perf_counter() - started
                silence = np.zeros(0, np.float32)
                failure = f"{type(error).__name__}: {error.message}"
                clips.append(Clip(sentence, name, silence, seed, retries + 1, False, elapsed, failure))
                continue
            elapsed, report = time.perf_counter() - started, audio.report
            assert report is not None  # speech always carries its report
            attempts = report.attempts - len(report.parts) + 1
            ended = all(part.stop == "end" for part in report.parts)
            clips.append(Clip(sentence, name, audio.samples, seed, attempts, ended, elapsed))
    return clips


def recorded(folder: Path, sentences: Sequence[str], name: str) -> list[Clip]:
    """Clips of a reference speaker: NNN.wav or .flac per sentence, from 000. Raises InputError for a missing one."""
    clips = []
    for number, sentence in enumerate(sentences):
        path = next((found for end in ("wav", "flac") if (found := folder / f"{number:03d}.{end}").is_file()), None)
        if path is None:
            raise InputError(
                f"{folder} has no {number:03d}.wav.", hint="One file per sentence, from 000.", field="reference"
            )
        from ..audio import to_audio

        clips.append(Clip(sentence, name, to_audio(path).samples))
    return clips


def voice_prompts(model: api.Model) -> dict[str, speaker.Embedding]:
    """How each of the model's own voices sounds, by its prompt."""
    return {name: speaker.embed(model.voice(name).audio.samples) for name in model.voices}


def judge_sound(clips: Sequence[Clip], prompts: Mapping[str, speaker.Embedding]) -> None:
    """Fill in each clip's opinion scores and voice similarity."""
    for clip in clips:
        heard = naturalness.dnsmos(clip.samples)
        clip.scores["dnsmos"] = heard.overall if heard else None
        clip.scores["dnsmos_signal"] = heard.signal if heard else None
        clip.scores["distillmos"] = naturalness.distillmos_score(clip.samples)
        if clip.voice in prompts and len(trim(clip.samples)):
            embedding = speaker.embed(clip.samples)
            nearest, lead = speaker.nearest(embedding, prompts)
            clip.scores["similarity"] = speaker.similarity(embedding, prompts[clip.voice])
            clip.scores["right_voice"] = nearest == clip.voice
            clip.scores["lead"] = lead if nearest == clip.voice else -lead


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Speak, judge and sum up, as the command's options say."""
    if arguments.quick and arguments.alone:
        raise InputError("--quick reads once, --alone reads every clip again.", hint="Use one of them.", field="alone")
    sentences = held_out(arguments.sentences)[: arguments.limit]
    model = api.load(arguments.model, engine=arguments.engine)
    voices = arguments.voices or list(model.voices) or [None]
    groups = {
        voice or "default": speak(model, sentences, voice, arguments.seeds, arguments.retries) for voice in voices
    }
    for reference in arguments.reference:
        name, _, folder = reference.partition("=")
        groups[name] = recorded(Path(folder), sentences, name)
    if arguments.floor:
        groups |= {name: floor.speak(name, sentences) for name in floor.installed()}
    judge = Judge(arguments.judge, arguments.threads)
    prompts = {} if arguments.quick else voice_prompts(model)
    parts = sections(arguments.sentences)
    order = {sentence: place for place, sentence in enumerate(reading_order(parts))}
    for clips in groups.values():
        in_order = sorted(clips, key=lambda clip: (clip.seed, order[clip.sentence]))
        if arguments.quick:
            judge_words(in_order, judge)
        else:
            judge_words_again(in_order, judge, arguments.alone)
            judge_sound(clips, prompts)
    own = [clip for voice in voices for clip in groups[voice or "default"]]
    if arguments.keep:
        _keep(arguments.keep, groups)
    told = by_section(groups, parts)
    if arguments.page:
        seeds = ", ".join(str(seed) for seed in arguments.seeds)
        subtitle = f"{arguments.sentences}, seed {seeds}, {arguments.retries} retries; words read by {judge.name}."
        title = f"How {model.name} speaks"
        page.write_page(arguments.page, title, groups, page.Told(subtitle, told, parts))
    return {
        "what": "held-out sentences spoken by the model, judged by machines",
        **versions(),
        "model": model.name,
        "engine": model.engine.name,
        "sentences": arguments.sentences,
        "seeds": arguments.seeds,
        "retries_allowed": arguments.retries,
        "judge": judge.name,
        "all_voices": figures(own),
        "by_speaker": {name: figures(clips) for name, clips in groups.items()},
        "by_section": told,
        "clips": [per_clip(clip) for clips in groups.values() for clip in clips],
    }


def by_section(
    groups: Mapping[str, Sequence[Clip]], parts: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Words and share of sentences understood, by part of the set and by speaker."""
    told: dict[str, dict[str, dict[str, Any]]] = {}
    for title, sentences in parts.items():
        for name, clips in groups.items():
            inside = [clip for clip in clips if clip.sentence in sentences]
            if inside:
                whole = figures(inside)
                told.setdefault(title, {})[name] = {key: whole[key] for key in SECTION_FIGURES}
    return told


def _keep(folder: Path, groups: Mapping[str, Sequence[Clip]]) -> None:
    for name, clips in groups.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, clip in enumerate(clips):
            soundfile.write(folder / name / f"{number:03d}.wav", clip.samples, RATE_HZ, subtype="PCM_16")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        prog="python -m duologue.evaluation.voice", description=__doc__.partition("\n")[0]
    )
    options.add_argument("--model", help="what duologue.load takes; default: the embedded voice")
    options.add_argument("--engine", default="auto")
    options.add_argument("--sentences", default="heldout40", help="heldout40, heldout120, short60 or a text file")
    options.add_argument("--limit", type=int, help="only the first so many sentences")
    options.add_argument("--voices", nargs="+", help="default: all of the model's")
    options.add_argument("--seeds", nargs="+", type=int, default=[1])
    options.add_argument("--retries", type=int, default=0, help="what the library may retry; 0 counts first attempts")
    options.add_argument("--reference", action="append", default=[], metavar="NAME=FOLDER", help="NNN.wav per sentence")
    options.add_argument("--judge", default="base", help="base, a folder, or a name that faster-whisper knows")
    options.add_argument(
        "--quick", action="store_true", help="words and lengths only: no opinion scores, no similarity"
    )
    options.add_argument("--alone", action="store_true", help="also read every clip alone (eight times the work)")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--keep", type=Path, help="folder for the spoken audio")
    options.add_argument("--page", type=Path, help="page with sound, spectrograms and numbers of the first clips")
    options.add_argument("--floor", action="store_true", help="also flite and espeak-ng, where they are installed")
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/voice.json"))
    return options


def main(given: Sequence[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(given)
    result = evaluate(arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, values in result["by_speaker"].items():
        print(
            f"{name}: WER {values['wer_percent']} %, understood {values['understood_percent']} %, "
            f"ended {values['ended_by_itself_percent']} %, "
            f"right length {values['right_length_percent']} %, DNSMOS {values['dnsmos']['mean']}, "
            f"RTF {values['real_time_factor']}"
        )
    everything = result["all_voices"]
    print(f"all voices: WER {everything['wer_percent']} % of {everything['words']} words; {arguments.out}")


if __name__ == "__main__":
    main()
