"""`duologue llama-tts-csm`: the flags of llama.cpp's CSM pull request (#12648). docs/llama_cpp.md compares the two."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as given

if TYPE_CHECKING:
    from ..compat.llama_model import LlamaModel
    from ..compat.llama_prompt import PromptTurn
    from ..compat.llama_speech import LlamaSpeech, SpokenTurn
    from .outlet import FileOutlet

Prompt = Annotated[str | None, typer.Option("-p", "--prompt", help='What to say: "[0]Hello there.[1]Hi!"')]
PromptFile = Annotated[str | None, typer.Option("-f", "--file", help="Read the prompt from a file; - for stdin.")]
Backbone = Annotated[
    str | None,
    typer.Option("-m", "--model", help='The backbone\'s GGUF file, or any model; "embedded" is the packaged voice.'),
]
Mimi = Annotated[str | None, typer.Option("-mv", "--model-vocoder", help="Mimi's GGUF file, or another codec's file.")]
Out = Annotated[str, typer.Option("-o", "--output", help="wav, flac, mp3, opus, or - for raw s16le.")]
Frames = Annotated[int | None, typer.Option("-n", "--predict", min=1, help="At most so many frames in each turn.")]
TopK = Annotated[int | None, typer.Option("--top-k", min=0, help="Draw among so many codes; mostly 50; 0 is all.")]
Heat = Annotated[float | None, typer.Option("--temp", min=0.0, max=10.0, help="Mostly 0.9; 0 is greedy.")]
Seed = Annotated[int | None, typer.Option("-s", "--seed", help="The same seed gives the same audio.")]
Threads = Annotated[int | None, typer.Option("-t", "--threads", min=1, max=256, help="Threads of the networks.")]
Voices = Annotated[list[str] | None, typer.Option("--voice", help="N=voice: how speaker N sounds; repeatable.")]
Foreign = Annotated[
    list[str] | None,
    typer.Option(
        "-ngl", "--n-gpu-layers", "-c", "--ctx-size", "-b", "--batch-size", "-ub", "--ubatch-size", hidden=True
    ),
]  # llama.cpp's own, which its users' scripts may hold
Parity = Annotated[
    str | None, typer.Option(help="Faults of the original to reproduce: rope, logits, pieces, mask, or all.")
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Also print each turn's tokens and codes.")]


def llama_tts_csm(
    prompt: Prompt = None,
    file: PromptFile = None,
    model: Backbone = None,
    mimi: Mimi = None,
    output: Out = "output.wav",
    predict: Frames = None,
    top_k: TopK = None,
    temp: Heat = None,
    seed: Seed = None,
    threads: Threads = None,
    voice: Voices = None,
    parity: Parity = None,
    raw_text: given.RawText = False,
    verbose: Verbose = False,
    device: given.Device = "auto",
    engine: given.EngineName = "auto",
    llama_cpp: Foreign = None,
    token: given.Token = None,
    offline: given.Offline = False,
) -> None:
    """Speak turns from llama.cpp's CSM files with llama-tts-csm's flags."""
    from ..compat.deviations import Deviations
    from ..compat.llama_model import load_model
    from ..compat.llama_prompt import parse_prompt
    from ..compat.llama_speech import LlamaSpeech, own_voices
    from ..speaking import GenerationConfig, new_seed
    from ..weights.hub import HubAccess
    from .outlet import FileOutlet

    if llama_cpp:
        typer.echo("-ngl, -c, -b and -ub are not heeded: --device and --engine choose, sizes are the file's.", err=True)
    turns, faults = parse_prompt(_prompt(prompt, file)), Deviations.named(parity)
    access = HubAccess(None, token, None, offline)
    loaded = load_model(model, mimi, device=device, engine=engine, threads=threads, deviations=faults, access=access)
    seed = new_seed() if seed is None else seed
    voices = {**own_voices(loaded.model, turns), **_voices(voice or [])}
    options = GenerationConfig(temp, top_k, normalise=not raw_text)
    speech = LlamaSpeech(loaded.model, voices, seed, options, predict)
    outlet, printed = FileOutlet(output), _Printed(output == "-", verbose)
    stopped = _perform(speech, turns, loaded, outlet, printed)
    for line in ("", *speech.report().lines(), "", f"seed: {seed}", f"output wav file: {outlet.where}"):
        printed.line(line)
    if stopped:
        raise typer.Exit(130)


def _prompt(prompt: str | None, file: str | None) -> str:
    from ..errors import InputError

    if prompt is not None and file is not None:
        raise InputError("Both -p and -f are given.", hint="Give one of them.", field="prompt")
    return given.read_text(file) if file is not None else prompt or ""


def _voices(entries: list[str]) -> dict[int, str]:
    from ..errors import InputError

    voices = {}
    for entry in entries:
        number, equals, voice = entry.partition("=")
        if not equals or not number.strip().isdecimal() or not voice.strip():
            raise InputError(f"{entry!r} is no voice of a speaker.", hint="Write --voice 0=heart.", field="voice")
        voices[int(number)] = voice.strip()
    return voices


class _Printed:
    """What llama.cpp's command prints, on stdout unless the sound goes there; tokens and codes only if asked for."""

    def __init__(self, to_stderr: bool, verbose: bool) -> None:
        self._to_stderr, self._verbose = to_stderr, verbose

    def line(self, text: str) -> None:
        print(text, file=sys.stderr if self._to_stderr else sys.stdout, flush=True)

    def turn(self, said: SpokenTurn) -> None:
        self.line(f"turn: [{said.turn.speaker}]{said.turn.text}")
        if self._verbose:
            self.line(f"prompt ({len(said.ids)} tokens): {', '.join(map(str, said.ids))}")
            for number, frame in enumerate(said.codes.T, 1):
                self.line(f"frame {number:5}: {', '.join(map(str, frame))}")
        if not said.ended:
            self.line(f"  stopped after {said.codes.shape[1]} frames: it did not end by itself")
        if said.dropped_turns:
            self.line(f"  {said.dropped_turns} older turns were forgotten to make room")


def _perform(
    speech: LlamaSpeech, turns: list[PromptTurn], loaded: LlamaModel, outlet: FileOutlet, printed: _Printed
) -> bool:
    """Speak every turn into the outlet, frame by frame where that is possible; True if Ctrl-C stopped it."""
    import numpy as np

    decoder, waiting = loaded.model.codec.decoder(), []
    try:
        for part in speech.speak(turns):
            if not isinstance(part, np.ndarray):
                printed.turn(part)
            elif loaded.decodes_whole:
                waiting.append(part)
            else:
                outlet.write(decoder.decode(part))
    except KeyboardInterrupt:
        printed.line("Stopped; what was spoken so far is kept.")
        return True
    finally:
        if waiting:
            outlet.write(loaded.decode(np.concatenate(waiting, axis=1)))
        outlet.close()
    return False
