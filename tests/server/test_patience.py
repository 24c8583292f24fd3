"""Connections that do nothing are cut; those that only wait for their answer are not."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from duologue.evaluation.load_hostile import UPGRADE, post, slow_reader, speech
from tests.server.conftest import PacedEngine, Running, Serve

PATIENCE = 0.3


def port_of(server: Running) -> int:
    return int(server.url.rsplit(":", 1)[1])


def seconds_until_cut(connection: socket.socket, limit: float = 10) -> float:
    """How long it lasts, reading whatever comes."""
    began = time.monotonic()
    connection.settimeout(limit)
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le",
        post("/v1/audio/speech", b'{"model":"tiny","input":"Hello."}')[:-5],
        b"POST /v1/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n1234",
    ],
)
def test_half_a_request_is_not_waited_for_for_ever(serve: Serve, sent: bytes) -> None:
    server = serve(stalled_seconds=PATIENCE)
    with socket.create_connection(("127.0.0.1", port_of(server))) as connection:
        connection.sendall(sent)
        assert PATIENCE * 0.8 < seconds_until_cut(connection) < 10 * PATIENCE


def test_nor_is_one_that_dribbles_in(serve: Serve) -> None:
    server = serve(stalled_seconds=PATIENCE)
    whole, began = speech(1), time.monotonic()
    with socket.create_connection(("127.0.0.1", port_of(server))) as connection, pytest.raises(ConnectionError):
        for byte in whole:
            connection.sendall(bytes([byte]))
            time.sleep(PATIENCE / 10)
    assert time.monotonic() - began < len(whole) * PATIENCE / 10


def test_a_reader_that_takes_nothing_loses_its_connection_too(serve: Serve) -> None:
    server = serve(stalled_seconds=PATIENCE, buffer_chunks=2)
    with slow_reader(port_of(server), speech(1, speed=0.25)) as connection:
        deadline = time.monotonic() + 60
        while "duologue_streams_total{" not in server.client().get("/metrics").text:
            assert time.monotonic() < deadline, "its row goes on"
            time.sleep(0.05)
        server.wait_until_idle()
        received = b""
        connection.settimeout(5)
        with suppress(ConnectionError):
            while data := connection.recv(65536):
                received += data
    assert b" 200 OK" in received[:20]
    assert not received.endswith(b"0\r\n\r\n"), "it isn't told that this was all"


def test_who_waits_for_an_answer_may_wait(serve: Serve, paced: PacedEngine) -> None:
    paced.allowed = threading.Semaphore(0)
    server = serve(paced, stalled_seconds=PATIENCE)
    with ThreadPoolExecutor(1) as threads, server.client() as client:
        asked = {"model": "tiny", "input": "Hello.", "response_format": "pcm"}
        answer = threads.submit(client.post, "/v1/audio/speech", json=asked)
        time.sleep(5 * PATIENCE)
        paced.allowed.release(10_000)
        assert len(answer.result().content) > 10_000


def test_an_open_web_socket_is_left_alone(serve: Serve) -> None:
    server = serve(stalled_seconds=PATIENCE)
    with socket.create_connection(("127.0.0.1", port_of(server))) as connection:
        connection.sendall(UPGRADE)
        connection.settimeout(5 * PATIENCE)
        with pytest.raises(TimeoutError):
            while connection.recv(65536):
                pass
