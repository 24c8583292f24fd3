"""The channel: order is kept, a full one holds the writer up, a reader who leaves frees it."""

import asyncio
import threading
import time

import pytest

from duologue.server.channel import Channel, ReaderGoneError


def in_thread(work: object) -> threading.Thread:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_items_come_in_order_and_then_the_end() -> None:
    async def main() -> list[int]:
        channel: Channel[int] = Channel(3, 5)

        def write() -> None:
            for number in range(200):
                channel.put(number)
            channel.end()

        thread = in_thread(write)
        got = [number async for number in channel]
        thread.join()
        return got

    assert asyncio.run(main()) == list(range(200))


def test_an_error_arrives_after_what_was_put_before_it() -> None:
    async def main() -> None:
        channel: Channel[int] = Channel(3, 5)
        channel.put(1)
        channel.end(ValueError("broken"))
        assert await channel.get() == 1
        with pytest.raises(ValueError, match="broken"):
            await channel.get()

    asyncio.run(main())


def test_a_full_channel_holds_the_writer_until_something_is_read() -> None:
    async def main() -> None:
        channel: Channel[int] = Channel(2, 5)
        put: list[int] = []

        def write() -> None:
            for number in range(4):
                channel.put(number)
                put.append(number)

        thread = in_thread(write)
        await asyncio.sleep(0.05)
        assert put == [0, 1]
        assert [await channel.get() for _ in range(4)] == [0, 1, 2, 3]
        thread.join()
        assert channel.held_seconds > 0.04

    asyncio.run(main())


def test_a_reader_who_leaves_frees_the_writer_at_once() -> None:
    async def main() -> str:
        channel: Channel[int] = Channel(1, 60)
        fate: list[str] = []

        def write() -> None:
            try:
                while True:
                    channel.put(0)
            except ReaderGoneError as gone:
                fate.append(str(gone))

        thread = in_thread(write)
        await asyncio.sleep(0.02)
        began = time.monotonic()
        channel.leave()
        thread.join()
        assert time.monotonic() - began < 1
        return fate[0]

    assert asyncio.run(main()) == "left"


def test_a_reader_who_takes_nothing_is_given_up() -> None:
    async def main() -> None:
        channel: Channel[int] = Channel(1, 0.05)
        channel.put(0)
        with pytest.raises(ReaderGoneError, match="stalled"):
            await asyncio.to_thread(channel.put, 1)

    asyncio.run(main())
