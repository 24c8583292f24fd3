"""How long after a caller's last sound does the answer sound, and what stops it? The whole agent, without a network.

A recording calls, Whisper base reads, a stub with canned text (voice_to_voice_stub.py) thinks, the embedded voice
speaks. Latency is measured in real time, interruptions in fast time (agent/file_line.py), on sounds with known labels.

    python -m duologue.evaluation.voice_to_voice --out benchmarks/results/voice_to_voice.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..speaking import GenerationConfig
from ..timebase import RATE_HZ
from .report import versions
from .voice_to_voice_callers import InterjectingCaller, PatientCaller, Room
from .voice_to_voice_sounds import Interjection, interjections, noises, sentences
from .voice_to_voice_stub import ANSWERS, StubLanguageModel

if TYPE_CHECKING:
    from ..agent.events import TalkEvent
    from ..agent.file_line import Caller, FileLine
    from ..agent.recognition import Whisper
    from ..api import Model

DATA = Path("tests/data")
AUDIBLE = 0.003  # -50 dBFS
LONG_ANSWER = " ".join(ANSWERS[2:])  # eight seconds and more
INTERJECT_AFTER_SECONDS = 1.5
ROOMS = {"near": (0.03, 0.3), "far": (0.12, 0.15), "late": (0.25, 0.3), "loud": (0.06, 0.6)}  # delay, level


@dataclass
class Bench:
    """What every call shares."""

    model: Model
    recogniser: Whisper
    eagerness: str
    voice: str | None = None

    def call(self, caller: Caller, answers: tuple[str, ...], *, fast: bool) -> tuple[FileLine, list[TalkEvent]]:
        """One whole call; the line keeps both sides."""
        from ..agent.file_line import FileLine
        from ..agent.language import ChatEndpoint
        from ..agent.listening import Listener
        from ..agent.mouth import ConversationMouth
        from ..agent.talker import Talker
        from ..agent.turn_detection import SemanticVad

        line = FileLine(caller, fast=fast)
        happened: list[TalkEvent] = []
        stub = StubLanguageModel(answers)
        options = GenerationConfig(check=not self.model.card.noise)
        mouth = ConversationMouth(self.model.conversation(self.voice), seed=1, options=options)
        ears = Listener(SemanticVad(eagerness=self.eagerness))  # type: ignore[arg-type]
        talker = Talker(line, ears, self.recogniser, ChatEndpoint(stub.url, "stub"), mouth, happened.append)
        try:
            asyncio.run(talker.run())
        finally:
            mouth.close()
            stub.close()
        return line, happened


def measure_latency(bench: Bench, recording: Path, turns: int) -> dict[str, Any]:
    """From the last sound of each sentence to the first sample, and the first audible one, of the answer; real time."""
    from ..agent.events import Answered, Heard

    caller = PatientCaller(sentences(recording, turns))
    line, happened = bench.call(caller, ANSWERS, fast=False)
    firsts = [_after(line, end) for end in caller.said]
    answered = [pair for pair in firsts if pair is not None]
    budgets = [event.times.budget() for event in happened if isinstance(event, Answered)]
    stages = {stage: _percentiles([budget.get(stage, 0.0) for budget in budgets]) for stage in (budgets or [{}])[0]}
    return {
        "turns": len(caller.said),
        "answered": len(answered),
        "first_sample_ms": _percentiles([first for first, _ in answered]),
        "first_audible_ms": _percentiles([audible for _, audible in answered]),
        "stages_ms": stages,
        "each_ms": [round(first, 1) for first, _ in answered],
        "heard": [event.words for event in happened if isinstance(event, Heard)],
    }


def _after(line: FileLine, end: int) -> tuple[float, float] | None:
    """Milliseconds by the clock from sample `end` of the caller to the first sample and the first audible one."""
    played = np.abs(line.played[end : end + 10 * RATE_HZ])
    sounding, audible = np.flatnonzero(played > 0), np.flatnonzero(played > AUDIBLE)
    if not len(sounding) or not len(audible):
        return None
    block = (end + int(sounding[0])) // 768
    late = line.times[block] - (block + 1) * 768 / RATE_HZ  # how far behind real time the line was
    first = 1000 * (sounding[0] / RATE_HZ + max(0.0, late))
    return first, first + 1000 * float(audible[0] - sounding[0]) / RATE_HZ


def _percentiles(values: list[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p95": None, "worst": None}
    return {
        "p50": round(float(np.percentile(values, 50)), 1),
        "p95": round(float(np.percentile(values, 95)), 1),
        "worst": round(max(values), 1),
    }


def measure_interruptions(bench: Bench, recording: Path, data: Path) -> dict[str, Any]:
    """What stopped an answer and what didn't, against the labels; in fast time. The rules (word_cues.py) were made with
    the first set at hand; "unseen" is what they do to other voices that say other words.
    """
    said = sentences(recording, 2)[1]
    cases = [*interjections(data / "interjections.flac", data / "interjections.json"), *noises()]
    spoken = [case for case in cases if case.meant]
    results = [_interject(bench, said, case, None) for case in cases]
    for name, (delay, level) in ROOMS.items():
        nothing = Interjection("own voice", f"room {name}", np.zeros(0, np.float32), False)
        results.append(_interject(bench, said, nothing, Room(delay, level)))
    for number, (name, (delay, level)) in enumerate(ROOMS.items()):
        case = spoken[number * 3 % len(spoken)]
        over = Interjection("interruption over own voice", f"{case.name}, room {name}", case.samples, True)
        results.append(_interject(bench, said, over, Room(delay, level)))
    fresh = interjections(data / "interjections_unseen.flac", data / "interjections_unseen.json")
    unseen = [_interject(bench, said, case, None) for case in fresh]
    return {**_summed_up(results), "unseen": _summed_up(unseen)}


def _interject(bench: Bench, said: np.ndarray, case: Interjection, room: Room | None) -> dict[str, Any]:
    from ..agent.events import Heard, Interrupted

    caller = InterjectingCaller(said, case.samples, INTERJECT_AFTER_SECONDS, room)
    _, happened = bench.call(caller, (LONG_ANSWER,), fast=True)
    stops = [event for event in happened if isinstance(event, Interrupted)]
    words = [event.words for event in happened if isinstance(event, Heard)]
    reached = caller.interjected_at is not None
    after = round(1000 * stops[0].after_seconds) if stops else None
    return {
        "kind": case.kind, "name": case.name, "meant": case.meant, "reached": reached, "stopped": bool(stops),
        "stopped_after_ms": after, "heard": words[1:],
    }  # fmt: skip


def _summed_up(results: list[dict[str, Any]]) -> dict[str, Any]:
    tried = [result for result in results if result["reached"]]
    meant = [result for result in tried if result["meant"]]
    other = [result for result in tried if not result["meant"]]
    kinds = Counter(result["kind"] for result in tried)
    stopped = Counter(result["kind"] for result in tried if result["stopped"])
    return {
        "cases": len(results),
        "tried": len(tried),
        "missed": sum(not result["stopped"] for result in meant),
        "of_meant": len(meant),
        "false": sum(result["stopped"] for result in other),
        "of_not_meant": len(other),
        "stopped_by_kind": {kind: f"{stopped[kind]} of {count}" for kind, count in kinds.items()},
        "stopped_after_ms": _percentiles([result["stopped_after_ms"] for result in meant if result["stopped"]]),
        "each": results,
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write JSON."""
    from .. import load
    from ..agent.recognition import PACKAGED, Whisper

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the recordings")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--eagerness", default="medium", choices=("low", "medium", "high"))
    parser.add_argument("--only", choices=("latency", "interruptions"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    recording = given.data / "librivox_austen.flac"
    bench = Bench(load(), Whisper(PACKAGED), given.eagerness)
    found: dict[str, Any] = versions() | {
        "engine": bench.model.engine.name, "recogniser": bench.recogniser.name, "eagerness": given.eagerness,
        "language_model": "stub with canned text on this machine",
    }  # fmt: skip
    if given.only != "interruptions":
        found["latency"] = measure_latency(bench, recording, given.turns)
    if given.only != "latency":
        found["interruptions"] = measure_interruptions(bench, recording, given.data)
    text = json.dumps(found, indent=2, ensure_ascii=False)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
