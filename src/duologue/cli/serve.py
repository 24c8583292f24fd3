"""`duologue serve`: load a model, open the door. Thin: everything else is in duologue.server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BackendUnavailable, InputError
from .options import Device, EngineName, ModelName, ModelOptions, Offline, Revision, Token

if TYPE_CHECKING:
    from ..server.settings import ServerSettings
    from ..server.talk_parts import TalkParts

Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--api-key", envvar="DUOLOGUE_API_KEYS", help="Ask clients for one of these keys.", show_default=False
    ),
]
Origins = Annotated[
    list[str] | None, typer.Option("--allow-origin", help="Origin of a web page that may use this server.")
]
VoicesFolder = Annotated[Path | None, typer.Option("--voices", help="Keep created voices here; else in memory only.")]
WrittenConsent = Annotated[
    bool, typer.Option("--written-consent", help="A typed consent is enough to add a voice.", show_default=False)
]
WatermarkKey = Annotated[
    str, typer.Option(envvar="DUOLOGUE_WATERMARK_KEY", show_default=False, help="Tag all speech with this key.")
]
Patience = Annotated[
    float, typer.Option(min=1.0, help="Seconds after which a client that sends or takes nothing is let go.")
]
RealTime = Annotated[
    bool,
    typer.Option(
        "--real-time/--any-pace", help="Of --streams, admit as many as this machine speaks in real time, or all."
    ),
]
StateFolder = Annotated[Path | None, typer.Option("--state", help="Keep conversations here, to survive a restart.")]


def serve(
    model: ModelName = None,
    host: Annotated[str, typer.Option(envvar="DUOLOGUE_HOST", help="Address to bind.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="DUOLOGUE_PORT", min=1, max=65535)] = 8000,
    api_keys: Keys = None,
    no_key: Annotated[bool, typer.Option("--no-key", help="Let other machines in without a key.")] = False,
    allowed_origins: Origins = None,
    streams: Annotated[int, typer.Option(min=1, help="How many can be spoken to at the same time.")] = 8,
    real_time: RealTime = True,
    waiting: Annotated[int, typer.Option(min=0, help="How many more can wait for a row.")] = 16,
    voices: VoicesFolder = None,
    state: StateFolder = None,
    written_consent: WrittenConsent = False,
    watermark_key: WatermarkKey = "",
    patience: Patience = 60.0,
    asr: Annotated[
        str | None,
        typer.Option(help="Who reads what is said: a Whisper (base.en, a folder) or an OpenAI-compatible URL."),
    ] = None,
    asr_model: Annotated[str, typer.Option(help="Its model's name, for a URL.")] = "whisper-1",
    asr_key: Annotated[str, typer.Option(envvar="DUOLOGUE_ASR_KEY", show_default=False, help="Its API key.")] = "none",
    llm: Annotated[
        str | None, typer.Option(help="Who answers: base URL of an OpenAI-compatible chat endpoint.")
    ] = None,
    llm_model: Annotated[str, typer.Option(help="Its model's name.")] = "default",
    llm_key: Annotated[str, typer.Option(envvar="DUOLOGUE_LLM_KEY", show_default=False, help="Its API key.")] = "none",
    device: Device = "auto",
    engine: EngineName = "auto",
    revision: Revision = None,
    token: Token = None,
    offline: Offline = False,
) -> None:
    """Serve speech over HTTP: a page, OpenAI's speech API, and conversations."""
    _check_installed()
    from ..server.settings import ServerSettings

    settings = ServerSettings(
        host=host,
        port=port,
        api_keys=tuple(api_keys or ()),
        allowed_origins=tuple(allowed_origins or ()),
        max_streams=streams,
        real_time=real_time,
        max_waiting=waiting,
        voices_folder=voices,
        state_folder=state,
        written_consent=written_consent,
        watermark_key=watermark_key,
        stalled_seconds=patience,
    )
    if settings.is_public and not settings.api_keys and not no_key:
        hint = "Give --api-key KEY, or --no-key if everyone who reaches it may use it."
        raise InputError(f"{host} can be reached from other machines.", hint=hint, field="api_key")
    from ..agent.language import ChatEndpoint
    from ..agent.recognition import open_recogniser
    from ..server.talk_parts import TalkParts

    ears = open_recogniser(asr, asr_model, asr_key) if asr else None
    mind = ChatEndpoint(llm, llm_model, llm_key) if llm else None
    _run(settings, ModelOptions(model, device, engine, revision, token, offline), TalkParts(ears, mind))


# Longer than Retry-After and than a proxy's own limit: who comes back when told to must not meet a closing connection.
KEEP_ALIVE_SECONDS = 75


def _run(settings: ServerSettings, options: ModelOptions, parts: TalkParts) -> None:
    import uvicorn

    from ..server.app import create_app
    from ..server.patience import patient_protocol

    typer.echo("Loading the model…", err=True)
    model = options.load()
    shown = "localhost" if settings.host in ("127.0.0.1", "::1") else settings.host
    place = f"http://{shown}:{settings.port}"
    typer.echo(f"{model.name} on {model.engine.name}. Open {place} (Ctrl-C ends it).", err=True)
    uvicorn.run(
        create_app(model, settings, parts),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        server_header=False,
        http=patient_protocol(settings.stalled_seconds),
        ws_max_size=settings.max_request_bytes,
        timeout_graceful_shutdown=int(settings.drain_seconds) + 5,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def _check_installed() -> None:
    try:
        import av  # noqa: F401
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        hint = 'pip install "duologue[serve]"'
        raise BackendUnavailable(f"Serving needs {error.name}, which is not installed.", hint=hint) from error
