"""Admission: rows are given in order, and who can't be served soon is told so with a time."""

import asyncio

import pytest

from duologue.server.admission import Admission
from duologue.server.errors import ApiError
from duologue.server.pace import WINDOW_CHUNKS, Pace
from duologue.server.settings import ServerSettings


def settings(**values: object) -> ServerSettings:
    return ServerSettings(**{"max_streams": 2, "max_waiting": 2, "max_wait_seconds": 0.05, **values})  # type: ignore[arg-type]


async def refusal(admission: Admission, key: str = "") -> ApiError:
    with pytest.raises(ApiError) as caught:
        await admission.enter(key)
    return caught.value


def test_a_waiting_request_gets_the_row_that_becomes_free_first_come_first_served() -> None:
    async def main() -> None:
        admission = Admission(settings(max_wait_seconds=5))
        first, _ = await admission.enter(), await admission.enter()
        order: list[str] = []

        async def wait(name: str) -> None:
            permit = await admission.enter()
            order.append(name)
            permit.release()

        waiting = [asyncio.create_task(wait("a")), asyncio.create_task(wait("b"))]
        await asyncio.sleep(0)
        assert admission.waiting == 2
        first.release()
        await asyncio.gather(*waiting)
        assert order == ["a", "b"]
        assert admission.active == 1

    asyncio.run(main())


def test_a_wait_that_is_too_long_becomes_503_with_retry_after() -> None:
    async def main() -> None:
        admission = Admission(settings())
        for _ in range(2):
            await admission.enter()
        error = await refusal(admission)
        assert (error.status, error.code) == (503, "server_overloaded")
        assert int(error.headers["retry-after"]) >= 1
        assert admission.waiting == 0
        assert admission.active == 2

    asyncio.run(main())


def test_a_full_queue_is_refused_at_once() -> None:
    async def main() -> None:
        admission = Admission(settings(max_waiting=0, max_wait_seconds=30))
        for _ in range(2):
            await admission.enter()
        assert (await asyncio.wait_for(refusal(admission), 0.05)).status == 503

    asyncio.run(main())


def test_one_key_cannot_take_all_rows() -> None:
    async def main() -> None:
        admission = Admission(settings(max_streams_per_key=1))
        permit = await admission.enter("greedy")
        error = await refusal(admission, "greedy")
        assert (error.status, error.type) == (429, "rate_limit_error")
        await admission.enter("modest")
        permit.release()
        await admission.enter("greedy")

    asyncio.run(main())


def test_a_request_that_gives_up_while_waiting_leaves_no_hole() -> None:
    async def main() -> None:
        admission = Admission(settings(max_wait_seconds=5))
        permits = [await admission.enter(), await admission.enter()]
        waiting = asyncio.create_task(admission.enter())
        await asyncio.sleep(0)
        waiting.cancel()
        permits[0].release()
        permits[0].release()  # twice is once
        await asyncio.gather(waiting, return_exceptions=True)
        assert (admission.active, admission.waiting) == (1, 0)
        permits[1].release()
        assert admission.active == 0

    asyncio.run(main())


def test_a_row_that_comes_in_the_moment_of_cancelling_is_passed_on() -> None:
    async def main() -> None:
        admission = Admission(settings(max_streams=1, max_wait_seconds=5))
        permit = await admission.enter()
        gives_up, stays = asyncio.create_task(admission.enter()), asyncio.create_task(admission.enter())
        await asyncio.sleep(0)
        permit.release()
        gives_up.cancel()
        await asyncio.gather(gives_up, return_exceptions=True)
        assert gives_up.cancelled()
        (await stays).release()
        assert admission.active == 0

    asyncio.run(main())


def test_draining_sends_away_those_who_wait_and_lets_speech_finish() -> None:
    async def main() -> None:
        admission = Admission(settings(max_wait_seconds=5, drain_seconds=5))
        permits = [await admission.enter(), await admission.enter()]
        waiting = asyncio.create_task(admission.enter())
        await asyncio.sleep(0)
        drain = asyncio.create_task(admission.drain())
        with pytest.raises(ApiError, match="shutting down"):
            await waiting
        assert (await refusal(admission)).code == "server_draining"
        for permit in permits:
            permit.release()
        assert await drain

    asyncio.run(main())


def test_draining_ends_in_its_time() -> None:
    async def main() -> None:
        admission = Admission(settings(drain_seconds=0.02))
        await admission.enter()
        assert not await admission.drain()

    asyncio.run(main())


def test_no_more_rows_than_the_machine_carries_whatever_their_number() -> None:
    async def main() -> None:
        carried = 1
        admission = Admission(settings(max_streams=8, max_wait_seconds=60), lambda: carried)
        first = await admission.enter()
        waiting = [asyncio.create_task(admission.enter()) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert (admission.active, admission.waiting, admission.capacity) == (1, 2, 1)
        assert (await refusal(admission)).status == 503, "the queue is full"
        carried = 2  # the machine turned out to be faster
        second = await waiting[0]
        assert admission.active == 2
        carried = 1
        first.release()
        await asyncio.sleep(0.3)
        assert admission.active == 1, "a row that became free isn't given on while two are too many"
        second.release()
        await waiting[1]
        assert admission.active == 1

    asyncio.run(main())


def test_what_the_machine_carries_is_what_all_rows_together_made() -> None:
    pace = Pace()
    assert pace.rows(8) == 8, "nothing is known yet"
    for _ in range(WINDOW_CHUNKS):
        pace.chunk(0.08, 0.02, 1)  # one row, four times as fast as speech
    assert pace.throughput == pytest.approx(4.0)
    assert pace.rows(8) == 3
    for _ in range(WINDOW_CHUNKS):
        pace.chunk(0.08, 0.04, 3)  # three rows together make six seconds a second
    assert (pace.throughput, pace.rows(8), pace.rows(2)) == (pytest.approx(6.0), 4, 2)
    for _ in range(WINDOW_CHUNKS):
        pace.chunk(0.08, 0.5, 4)  # too slow for anyone: still one at a time
    assert pace.rows(8) == 1
