"""Text in, sound out over one WebSocket: for programs whose text comes bit by bit, as a language model's does.

A sentence is spoken as soon as it is whole, as the next turn of one conversation, so that it continues the sound of the
sentence before. To the client: session.created; for each sentence audio.start, binary chunks, audio.done; and
input.finished when all text up to an input.done is spoken. Errors are events; the socket stays open.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from .audio_formats import FORMATS
from .conversations import HeldConversation
from .errors import ApiError, known
from .guard import KEY_PROTOCOL
from .sentences import SentenceBuffer
from .services import Services, services_of
from .socket_messages import MESSAGES, Config, InputCancel, InputDone, InputText, Message, SessionClose
from .streams import Delivery, SpeechStream

router = APIRouter()
MAX_QUEUED = 256  # sentences that wait to be spoken
IDLE_SECONDS = 300.0


@router.websocket("/v1/audio/speech/stream")
async def text_socket(socket: WebSocket) -> None:
    offered = [name for name in socket.scope.get("subprotocols", ()) if not name.startswith(KEY_PROTOCOL)]
    await socket.accept(offered[0] if offered else None)
    session = TextSession(socket, services_of(socket))
    with suppress(WebSocketDisconnect):
        await session.run()


class TextSession:
    """One socket: a reader that takes text in, and a speaker that works off whole sentences."""

    def __init__(self, socket: WebSocket, here: Services) -> None:
        self._socket, self._here = socket, here
        self._buffer = SentenceBuffer()
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue()  # None: an input.done
        self._config = Config()
        self._held: HeldConversation | None = None
        self._borrowed = False
        self._stream: SpeechStream | None = None
        self._spoken = 0
        self._cancels = 0

    async def run(self) -> None:
        """Serve until the client leaves or says good-bye."""
        await self._send("session.created", sample_rate=24_000, request_id=self._socket.state.request_id)
        speaker = asyncio.create_task(self._speak_all())
        try:
            while await self._take_one():
                pass
        finally:
            speaker.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect):
                await speaker
            if self._held is not None and not self._borrowed:
                self._here.conversations.delete(self._held.id)
        await self._socket.close()

    async def _take_one(self) -> bool:
        """Take in one message; False at the end."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = MESSAGES.validate_json(await self._receive())
        except TimeoutError:
            return False
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"][1:]) or None
            await self._fail(ApiError(400, f"{place or 'message'}: {first['msg']}.", code="invalid_event", param=place))
            return True
        try:
            return await self._handle(message)
        except Exception as error:
            if isinstance(error, WebSocketDisconnect):
                raise
            await self._fail(known(error))
            return True

    async def _receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        return message.get("text") or message.get("bytes") or b""

    async def _handle(self, message: Message) -> bool:
        match message:
            case Config():
                await self._configure(message)
            case InputText():
                self._queue(self._with_room(message.text))
            case InputDone():
                self._queue([*self._buffer.flush(), None])
            case InputCancel():
                await self._cancel(message.heard_ms)
            case SessionClose():
                return False
        return True

    async def _configure(self, config: Config) -> None:
        if self._held is not None:
            raise ApiError(409, "This session has begun to speak; open another one.", code="session_begun")
        if config.conversation is not None:
            self._held, self._borrowed = self._here.conversations.find(config.conversation), True
        self._here.voices.find(config.voice_id)
        self._config = config
        await self._send("session.configured", response_format=config.response_format, speed=config.speed)

    def _with_room(self, text: str) -> list[str]:
        self._here.check_length(text, "text")
        if self._sentences.qsize() > MAX_QUEUED or len(self._buffer) > self._here.settings.max_characters:
            raise ApiError(429, "More text waits than can be held; wait for audio.done.", code="too_much_text")
        return self._buffer.push(text)

    def _queue(self, sentences: list[str] | list[str | None]) -> None:
        for sentence in sentences:
            self._sentences.put_nowait(sentence)

    async def _cancel(self, heard_ms: int | None) -> None:
        self._cancels += 1
        self._buffer.flush()
        while not self._sentences.empty():
            self._sentences.get_nowait()
        if self._stream is not None:
            self._stream.leave()
            self._stream = None
        remains = None
        if heard_ms is not None and self._held is not None:
            remains = await self._held.cut(heard_ms / 1000)
        await self._send("input.cancelled", remains=remains)

    async def _speak_all(self) -> None:
        while True:
            sentence = await self._sentences.get()
            if sentence is None:
                await self._send("input.finished")
                continue
            try:
                await self._speak(sentence)
            except WebSocketDisconnect:
                return
            except Exception as error:  # one sentence's failure is told; the next one may go well
                await self._fail(known(error))

    async def _speak(self, sentence: str) -> None:
        if self._held is None:
            self._held = await self._here.conversations.create([self._here.voices.find(self._config.voice_id)])
        cancels = self._cancels
        delivery = Delivery(self._config.response_format, self._config.speed)
        voice = self._here.voices.find(self._config.voice_id) if self._config.voice is not None else None
        key = self._socket.state.client_key
        stream, seed = await self._held.say(sentence, voice, self._config, delivery, key)
        if self._cancels != cancels:  # it came while the first frame was being made
            stream.leave()
            return
        self._stream = stream
        try:
            await self._deliver(stream, sentence, seed)
        finally:
            self._stream = None
            stream.leave()

    async def _deliver(self, stream: SpeechStream, sentence: str, seed: int) -> None:
        index, self._spoken = self._spoken, self._spoken + 1
        kind = FORMATS[self._config.response_format].content_type
        await self._send("audio.start", sentence_index=index, sentence_text=sentence, content_type=kind, seed=seed)
        async for chunk in stream.chunks():
            if not stream.was_left:
                await self._socket.send_bytes(chunk)
        seconds = round(stream.figures.audio_seconds, 3)
        await self._send("audio.done", sentence_index=index, audio_seconds=seconds, cancelled=self._stream is None)

    async def _fail(self, error: ApiError) -> None:
        await self._send("error", **error.body())

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send_json({"type": kind, **fields})
