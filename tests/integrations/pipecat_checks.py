"""Contract with the real pipecat: our own service in a pipeline, and its OpenAI service against our server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    UserStartedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.services.tts_service import TTSService
from pipecat.tests.utils import SleepFrame, run_test

from duologue.api import Model
from duologue.audio import to_audio
from duologue.integrations.pcm import to_pcm
from duologue.integrations.pipecat import DuologueTTSService, HearingProcessor

RECORDING = Path(__file__).parents[1] / "data" / "librivox_austen.flac"


def run(processor: object, frames: list[Frame]) -> list[Frame]:
    async def work() -> list[Frame]:
        down, up = await run_test(processor, frames_to_send=frames, start_timeout=20.0)  # type: ignore[arg-type]
        return [*down, *[frame for frame in up if isinstance(frame, ErrorFrame)]]

    return asyncio.run(asyncio.wait_for(work(), 120))


def sound(frames: list[Frame]) -> np.ndarray:
    spoken = [frame for frame in frames if isinstance(frame, TTSAudioRawFrame)]
    assert {(frame.sample_rate, frame.num_channels) for frame in spoken} == {(24_000, 1)}
    return np.frombuffer(b"".join(frame.audio for frame in spoken), np.int16)


def test_text_of_a_language_model_is_spoken_sentence_by_sentence(model: Model) -> None:
    service = DuologueTTSService(model=model, voice="heart", seed=1)
    bits = ["Good mor", "ning to you. I am ", "glad that you came."]
    texts = [LLMTextFrame(bit) for bit in bits]
    frames = run(service, [LLMFullResponseStartFrame(), *texts, LLMFullResponseEndFrame(), SleepFrame(4.0)])
    kinds = [type(frame) for frame in frames]
    assert kinds.index(TTSStartedFrame) < kinds.index(TTSAudioRawFrame) < kinds.index(TTSStoppedFrame)
    assert np.abs(sound(frames)).max() > 1_000
    turns = [turn.text for turn in service.mouth.conversation.turns]
    assert turns == ["Good morning to you.", "I am glad that you came."]


def test_an_interruption_cuts_the_memory_to_what_was_played(model: Model) -> None:
    service = DuologueTTSService(model=model, voice="heart", seed=1)
    long = "Once upon a time there was a king who had three daughters and a very old and quiet horse."
    frames: list[Frame] = [TTSSpeakFrame(long), SleepFrame(3.0), BotStartedSpeakingFrame(), SleepFrame(1.0)]
    run(service, [*frames, InterruptionFrame(), SleepFrame(1.5)])
    (turn,) = service.mouth.conversation.turns
    assert long.startswith(turn.text.rstrip("."))
    assert 0 < len(turn.text.split()) < 12
    assert 0.9 <= turn.frames * 0.08 <= 1.6


def test_it_hears_the_user_as_sound_and_words(model: Model) -> None:
    service = DuologueTTSService(model=model, voice="heart", seed=1)
    pcm = to_pcm(to_audio(RECORDING).samples[:72_000])
    blocks = [InputAudioRawFrame(pcm[start : start + 9_600], 24_000, 1) for start in range(0, len(pcm), 9_600)]
    words = TranscriptionFrame("And Mister John Dashwood had then leisure", "user", "now")
    pipeline = Pipeline([HearingProcessor(service), service])
    run(pipeline, [UserStartedSpeakingFrame(), *blocks, SleepFrame(0.2), words, SleepFrame(1.0)])
    (turn,) = service.mouth.conversation.turns
    assert not turn.own
    assert turn.text.startswith("And Mister John")
    assert abs(turn.frames * 0.08 - 3.0) < 0.2


def test_it_is_a_tts_service_and_frames_pass_it(model: Model) -> None:
    service = DuologueTTSService(model=model)
    assert isinstance(service, TTSService)
    assert service.can_generate_metrics()
    assert FrameDirection.DOWNSTREAM
    frames = run(service, [UserStartedSpeakingFrame()])
    assert any(isinstance(frame, UserStartedSpeakingFrame) for frame in frames)


def test_the_openai_service_speaks_through_our_server(url: str) -> None:
    service = OpenAITTSService(api_key="none", base_url=url, settings=OpenAITTSService.Settings(voice="alloy"))
    frames = run(service, [TTSSpeakFrame("Hello there."), SleepFrame(4.0)])
    assert np.abs(sound(frames)).max() > 1_000
    assert not [frame for frame in frames if isinstance(frame, ErrorFrame)]


def test_its_realtime_service_answers_in_a_pipeline(partner: str) -> None:
    address = partner.replace("http", "ws") + "/v1/realtime"
    service = OpenAIRealtimeLLMService(api_key="none", base_url=address)
    context = LLMContext(messages=[{"role": "user", "content": "Are you listening?"}])
    frames = run(Pipeline([service]), [SleepFrame(1.0), LLMContextFrame(context), SleepFrame(12.0)])
    assert not [frame for frame in frames if isinstance(frame, ErrorFrame)]
    assert len(sound(frames)) / 24_000 > 1
    assert np.abs(sound(frames)).max() > 1_000
