"""`duologue talk`: a voice to talk with, through this machine's microphone or through files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .options import Device, EngineName, Json, ModelName, ModelOptions, Offline, Quiet, Revision, Seed, Token

if TYPE_CHECKING:
    from ..agent.events import TalkEvent
    from ..agent.file_line import FileLine
    from ..agent.parts import Line
    from ..api import Model

Wav = Annotated[Path | None, typer.Option("--wav", help="A recording as the caller, instead of the microphone.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="With --wav: the call, caller left and voice right.")]
Fast = Annotated[bool, typer.Option("--fast", help="With --wav: don't wait for real time; thinking takes no time.")]
Asr = Annotated[
    str, typer.Option(help="Who reads: a Whisper (base.en, small, packaged, a folder) or an OpenAI-compatible URL.")
]
Llm = Annotated[str, typer.Option(help="Who thinks: base URL of an OpenAI-compatible chat endpoint.")]
LlmKey = Annotated[str, typer.Option(envvar="DUOLOGUE_LLM_KEY", show_default=False, help="Its API key.")]
AsrKey = Annotated[str, typer.Option(envvar="DUOLOGUE_ASR_KEY", show_default=False, help="Its API key.")]
Prompt = Annotated[str | None, typer.Option(help="What the language model is told to be.", show_default=False)]
Eagerness = Annotated[str, typer.Option(help="How soon it answers: low, medium or high.")]


def talk(
    wav: Wav = None,
    out: Out = None,
    fast: Fast = False,
    microphone: Annotated[str | None, typer.Option(help="Part of its name; the default device if left out.")] = None,
    speaker: Annotated[str | None, typer.Option("--loudspeaker", help="Part of its name.")] = None,
    voice: Annotated[str | None, typer.Option(help="A voice's name or file.")] = None,
    asr: Asr = "base.en",
    asr_model: Annotated[str, typer.Option(help="The recogniser's name at a URL.")] = "whisper-1",
    asr_key: AsrKey = "none",
    llm: Llm = "http://localhost:11434/v1",
    llm_model: Annotated[str, typer.Option(help="Its model's name.")] = "llama3.2",
    llm_key: LlmKey = "none",
    prompt: Prompt = None,
    greeting: Annotated[str, typer.Option(help="Said at the beginning.", show_default=False)] = "",
    eagerness: Eagerness = "medium",
    echo_guard: Annotated[
        bool, typer.Option("--echo-guard/--headphones", help="Whether the microphone may hear the loudspeaker.")
    ] = True,
    seed: Seed = None,
    model: ModelName = None,
    device: Device = "auto",
    engine: EngineName = "auto",
    revision: Revision = None,
    token: Token = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Talk with a voice that remembers the sound of both sides. Speak into its answer to interrupt it.

    It speaks while the language model still writes. After each answer it shows where the time went.
    """
    import asyncio
    from functools import partial

    from ..agent.language import PROMPT, ChatEndpoint
    from ..agent.listening import Listener
    from ..agent.recognition import open_recogniser
    from ..agent.talker import Talker
    from ..agent.turn_detection import SemanticVad
    from .console import Console

    console = Console(quiet)
    line = _line(wav, out, fast, microphone, speaker)
    ears = Listener(SemanticVad(eagerness=eagerness), guard_echo=echo_guard)  # type: ignore[arg-type]
    mind = ChatEndpoint(llm, llm_model, llm_key, prompt or PROMPT)
    console.note("Loading the model…")
    loaded = ModelOptions(model, device, engine, revision, token, offline).load()
    mouth = _mouth(loaded, voice, seed)
    recogniser = open_recogniser(asr, asr_model, asr_key)
    console.note(f"{loaded.name}, {recogniser.name}, {mind.name}. You are talking to a machine; Ctrl-C ends it.")
    talker = Talker(line, ears, recogniser, mind, mouth, partial(_tell, console, as_json))
    try:
        asyncio.run(talker.run(greeting))
    except KeyboardInterrupt:
        console.note("Good-bye.")
    finally:
        mouth.close()
        if out is not None and wav is not None:
            _save(line, out, console)


def _line(wav: Path | None, out: Path | None, fast: bool, microphone: str | None, speaker: str | None) -> Line:
    if wav is None:
        for name, given in (("out", out), ("fast", fast)):
            if given:
                raise InputError(f"--{name} goes with --wav only.", hint="Give a recording.", field=name)
        from ..agent.device_line import DeviceLine

        return DeviceLine(microphone, speaker)
    from ..agent.file_line import FileLine, RecordedCaller

    return FileLine(RecordedCaller.from_file(wav), fast=fast)


def _mouth(model: Model, voice: str | None, seed: int | None) -> Any:
    from ..agent.mouth import ConversationMouth
    from ..speaking import GenerationConfig

    options = GenerationConfig(check=not model.card.noise)
    return ConversationMouth(model.conversation(voice), seed=seed, options=options)


def _save(line: Any, out: Path, console: Any) -> None:
    recorded: FileLine = line
    recorded.save(out)
    console.note(f"{out}: {len(recorded.heard) / 24_000:.1f} s, the caller left, the voice right")


def _tell(console: Any, as_json: bool, event: TalkEvent) -> None:
    """One line for a person, or one JSON document a line."""
    from ..agent.events import Answered, Failed, Heard, Ignored, Interrupted, Said

    if as_json:
        import json

        print(json.dumps({"event": type(event).__name__.lower()} | event.to_dict(), ensure_ascii=False), flush=True)
        return
    match event:
        case Heard(words):
            console.note(f"you   {words}")
        case Said(phrase):
            console.note(f"      {phrase}")
        case Answered(times=times) if times.marks:
            stages = " + ".join(f"{milliseconds:.0f} {stage}" for stage, milliseconds in times.budget().items())
            console.note(f"      {sum(times.budget().values()):.0f} ms to the first sound: {stages}")
        case Interrupted(words):
            console.note(f"      — interrupted; remembered: {words or 'nothing'}")
        case Ignored(words):
            console.note(f"      ({words or 'a noise'}: not an interruption)")
        case Failed(message):
            console.note(f"      {message}")
        case _:
            pass
