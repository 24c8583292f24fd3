"""Under load and with clients that misbehave: nothing is mixed up, nothing stays behind, nobody waits in silence."""

from __future__ import annotations

import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from duologue.api import Model
from duologue.server.settings import ServerSettings
from tests.server.conftest import PacedEngine, Running, Serve, running

LONG = "This is a sentence that takes quite a while to be spoken from its start to its end."


def ask(seed: int, text: str = "Hello there.", **more: object) -> dict[str, object]:
    return {"model": "tiny", "voice": "one", "input": text, "response_format": "pcm", "seed": seed, **more}


def raw_request(server: Running, body: str) -> socket.socket:
    """A client of nothing but a socket, with small buffers so that its slowness is felt."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = server.url.removeprefix("http://").split(":")
    connection.connect((host, int(port)))
    head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return connection


def until(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_first_bytes_come_before_the_last_frame_exists(serve: Serve, paced: PacedEngine) -> None:
    paced.allowed = threading.Semaphore(3)
    server = serve(paced)
    with server.client() as client, client.stream("POST", "/v1/audio/speech", json=ask(1)) as response:
        arriving = response.iter_bytes()
        assert len(next(arriving)) > 0
        assert paced.frames_drawn <= 3
        paced.allowed.release(10_000)
        assert len(b"".join(arriving)) > 10 * 3840


def test_a_client_that_leaves_ends_its_row_within_two_frames(serve: Serve, paced: PacedEngine) -> None:
    paced.allowed = threading.Semaphore(3)
    server = serve(paced)
    with server.client() as client, client.stream("POST", "/v1/audio/speech", json=ask(1, LONG)) as response:
        next(response.iter_bytes())
    time.sleep(0.3)  # the server learns of it
    drawn = paced.frames_drawn
    paced.allowed.release(10_000)
    server.wait_until_idle()
    assert paced.frames_drawn - drawn <= 2
    assert 'duologue_streams_total{outcome="left"} 1.0' in server.client().get("/metrics").text


def test_a_slow_reader_pauses_its_row_and_still_gets_everything(serve: Serve, paced: PacedEngine) -> None:
    server = serve(paced, buffer_chunks=2)
    with server.client() as client:
        whole = client.post("/v1/audio/speech", json=ask(1, LONG)).content
        frames = paced.frames_drawn
        with raw_request(server, httpx.Request("POST", "http://x", json=ask(1, LONG)).content.decode()) as slow:
            stops: list[int] = []
            until(lambda: stops.append(paced.frames_drawn) or (len(stops) > 60 and stops[-1] == stops[-50]), 30)
            paused_at = paced.frames_drawn - frames
            assert client.post("/v1/audio/speech", json=ask(2)).status_code == 200, "others go on"
            received = b""
            while not received.endswith(b"0\r\n\r\n"):
                received += slow.recv(65536)
    assert paused_at < frames, "the row stood still before it was done"
    assert len(received) > len(whole)


def test_a_reader_that_takes_nothing_is_let_go(serve: Serve) -> None:
    server = serve(buffer_chunks=2, stalled_seconds=0.3)
    body = httpx.Request("POST", "http://x", json=ask(1, LONG)).content.decode()
    with raw_request(server, body):
        told = lambda: server.client().get("/metrics").text  # noqa: E731
        until(lambda: 'outcome="stalled"} 1' in told() or 'outcome="left"} 1' in told(), 30)  # row and connection race
        server.wait_until_idle()


def test_more_than_fits_is_answered_503_and_the_rest_is_served(serve: Serve, paced: PacedEngine) -> None:
    paced.allowed = threading.Semaphore(0)
    server = serve(paced, max_streams=1, max_waiting=1, max_wait_seconds=20)
    with ThreadPoolExecutor(3) as threads, server.client() as client:
        speaking = threads.submit(client.post, "/v1/audio/speech", json=ask(1))
        until(lambda: server.services.streams.admission.active == 1)
        waiting = threads.submit(client.post, "/v1/audio/speech", json=ask(2))
        until(lambda: server.services.streams.admission.waiting == 1)
        refused = client.post("/v1/audio/speech", json=ask(3))
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "server_overloaded"
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert client.get("/health").status_code == 200
        paced.allowed.release(10_000)
        assert speaking.result().status_code == waiting.result().status_code == 200
        assert client.get("/ready").status_code == 200


def test_sixteen_at_once_each_equal_their_solo_run(server: Running) -> None:
    def speak(seed: int) -> bytes:
        with server.client() as client:
            for _ in range(50):
                response = client.post("/v1/audio/speech", json=ask(seed, voice=("one", "two")[seed % 2]))
                if response.status_code != 503:
                    break
                time.sleep(0.1)
            assert response.status_code == 200
            return response.content

    alone = {seed: speak(seed) for seed in range(4)}
    with ThreadPoolExecutor(16) as threads:
        together = list(threads.map(speak, [seed % 4 for seed in range(16)]))
    for index, sound in enumerate(together):
        assert sound == alone[index % 4], f"stream {index}"
    assert len(set(alone.values())) == 4


def test_forty_clients_that_leave_at_random_moments_leave_nothing_behind(server: Running) -> None:
    draw = random.Random(0)
    before = threading.active_count()
    expected = server.client().post("/v1/audio/speech", json=ask(5)).content

    def vanish(moment: float) -> None:
        body = httpx.Request("POST", "http://x", json=ask(int(moment * 1e6), LONG)).content.decode()
        with raw_request(server, body) as connection:
            time.sleep(moment)
            if moment > 0.1:
                connection.recv(1000)

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(vanish, [draw.uniform(0, 0.2) for _ in range(40)]))
    server.wait_until_idle(30)
    assert server.services.streams.admission.waiting == 0
    assert server.client().post("/v1/audio/speech", json=ask(5)).content == expected
    assert threading.active_count() <= before + server.services.settings.max_streams


def test_a_failure_in_the_middle_cuts_the_answer_and_becomes_an_sse_event(serve: Serve, paced: PacedEngine) -> None:
    real = paced.frames

    def frames(requests: list) -> list:  # type: ignore[type-arg]
        if requests[0].index == 5:
            raise RuntimeError("the device is gone")
        return real(requests)

    paced.frames = frames  # type: ignore[method-assign]
    server = serve(paced)
    with server.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.post("/v1/audio/speech", json=ask(1))
        events = client.post("/v1/audio/speech", json=ask(1, stream_format="sse")).text
    assert "speech.audio.delta" in events
    assert "speech.audio.error" in events
    assert "the device is gone" not in events, "what nobody foresaw stays in the log"
    assert "speech.audio.done" not in events


def engines() -> int:
    return sum(thread.name == "duologue-engine" for thread in threading.enumerate())


def test_shutdown_lets_speech_finish(tiny_model: Model, paced: PacedEngine) -> None:
    before = engines()
    paced.seconds_per_step = 0.01
    model = Model(tiny_model.card, paced, tiny_model.codec, tiny_model.reader, tiny_model.voices)
    with ThreadPoolExecutor(1) as threads:
        with running(model, ServerSettings()) as server:
            whole = server.client().post("/v1/audio/speech", json=ask(1)).content
            drawn = paced.frames_drawn
            speaking = threads.submit(server.client().post, "/v1/audio/speech", json=ask(1))
            until(lambda: paced.frames_drawn > drawn + 2)
        assert speaking.result().content == whole
    assert engines() == before


def test_metrics_count_what_happened(serve: Serve) -> None:
    server = serve()
    with server.client() as client:
        sound = client.post("/v1/audio/speech", json=ask(1)).content
        server.wait_until_idle()
        text = client.get("/metrics").text
    seconds = len(sound) / 48_000
    assert "duologue_time_to_first_audio_seconds_count 1.0" in text
    assert "duologue_real_time_factor_count 1.0" in text
    assert 'duologue_streams_total{outcome="finished"} 1.0' in text
    made = float(next(line for line in text.splitlines() if line.startswith("duologue_audio_seconds_total")).split()[1])
    assert made == pytest.approx(seconds, abs=0.001)
    assert "duologue_under_runs_total" in text
    assert "duologue_step_rows_bucket" in text


def test_under_runs_are_counted_by_when_a_listener_would_wait() -> None:
    from duologue.server.metrics import PlayClock

    smooth, late = PlayClock(), PlayClock()
    for index in range(10):
        smooth.chunk(0.05 * index, 0.08)
        late.chunk(0.05 * index + (0.5 if index > 5 else 0), 0.08)
    assert smooth.under_runs == 0
    assert late.under_runs == 1


def test_a_reader_that_takes_nothing_gives_its_row_to_who_waits(serve: Serve) -> None:
    server = serve(max_streams=1, max_wait_seconds=20, buffer_chunks=2, stalled_seconds=60)
    body = httpx.Request("POST", "http://x", json=ask(1, LONG, speed=0.25)).content.decode()
    with raw_request(server, body), server.client() as client:
        until(lambda: server.services.streams.admission.active == 1)
        began = time.monotonic()
        assert client.post("/v1/audio/speech", json=ask(2)).status_code == 200
        assert time.monotonic() - began < 20
        assert 'outcome="stalled"} 1' in client.get("/metrics").text


def test_a_slow_machine_speaks_to_one_and_tells_the_others_when_to_come_back(serve: Serve, paced: PacedEngine) -> None:
    """Six rows are set, but the engine makes little more than a second of speech a second: one listener, no gaps."""
    paced.seconds_per_step = 0.06
    server = serve(paced, max_streams=6, real_time=True, max_waiting=1, max_wait_seconds=0.2)
    with server.client() as client:
        assert client.get("/ready").json()["capacity"] == 1, "measured before the first request"

        def listen(seed: int) -> httpx.Response:
            return client.post("/v1/audio/speech", json=ask(seed, LONG))

        with ThreadPoolExecutor(4) as threads:
            answers = [*threads.map(listen, range(4))]
    assert sorted(answer.status_code for answer in answers) == [200, 503, 503, 503]
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert 'duologue_refused_total{code="server_overloaded"} 3.0' in server.services.metrics.text().decode()


def test_a_model_without_voices_is_measured_too(tiny_model: Model) -> None:
    model = Model(tiny_model.card, tiny_model.engine, tiny_model.codec, tiny_model.reader, {})
    with running(model, ServerSettings(real_time=True)) as server, server.client() as client:
        assert server.services.streams.pace.throughput
        assert client.get("/ready").json()["capacity"] >= 1
