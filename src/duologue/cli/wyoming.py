"""`duologue wyoming`: a voice for Home Assistant. Thin: the protocol is in duologue.server.wyoming."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from ..errors import BackendUnavailable, InputError
from .options import Device, EngineName, ModelName, ModelOptions, Offline, Revision, Token

Uri = Annotated[str, typer.Option(help="Where to listen: tcp://HOST:PORT or unix://PATH.")]


def wyoming(
    uri: Uri = "tcp://127.0.0.1:10200",
    asr: Annotated[str | None, typer.Option(help="Also read speech: a Whisper (base.en, small, a folder).")] = None,
    streams: Annotated[int, typer.Option(min=1, help="How many can be spoken to at the same time.")] = 4,
    public: Annotated[bool, typer.Option("--public", help="Allow an address that other machines reach.")] = False,
    model: ModelName = None,
    device: Device = "auto",
    engine: EngineName = "auto",
    revision: Revision = None,
    token: Token = None,
    offline: Offline = False,
) -> None:
    """Speak for Home Assistant, over the Wyoming protocol. It has no keys: let only trusted networks reach it."""
    try:
        from wyoming.server import AsyncServer
    except ImportError as error:
        hint = 'pip install "duologue[serve,wyoming]"'
        raise BackendUnavailable("Serving Wyoming needs the wyoming package.", hint=hint) from error
    _check_address(uri, public)
    try:
        server = AsyncServer.from_uri(uri)
    except ValueError as error:
        raise InputError(f"{uri} is no address: {error}.", hint="Use tcp://HOST:PORT.", field="uri") from error
    options = ModelOptions(model, device, engine, revision, token, offline)
    typer.echo("Loading the model…", err=True)
    try:
        asyncio.run(_run(server, uri, options, asr, streams))
    except KeyboardInterrupt:
        typer.echo("Good-bye.", err=True)


def _check_address(uri: str, public: bool) -> None:
    from urllib.parse import urlparse

    from ..server.settings import ServerSettings

    host = urlparse(uri).hostname
    if host is not None and not public and ServerSettings(host=host).is_public:
        hint = "Wyoming knows no keys; say --public if everyone who reaches it may use it."
        raise InputError(f"{host} can be reached from other machines.", hint=hint, field="uri")


async def _run(server: Any, uri: str, options: ModelOptions, asr: str | None, streams: int) -> None:
    from ..agent.recognition import Whisper
    from ..server.services import Services
    from ..server.settings import ServerSettings
    from ..server.talk_parts import TalkParts
    from ..server.wyoming import sessions

    here = Services(options.load(), ServerSettings(max_streams=streams), TalkParts(Whisper(asr) if asr else None))
    typer.echo(f"{here.model_id} on {uri} (Ctrl-C ends it).", err=True)
    try:
        async with here.conversations.sweeping():
            await server.run(sessions(here))
    finally:
        await here.close()
