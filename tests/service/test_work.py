"""Requests that wait: so many and no more, in order, until their time is over or nobody wants them."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pnpovss.service.work import Full, GivenUp, Late, Stopped, Workers, go_on


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def test_answers_come_in_order_and_errors_are_the_clients():
    async def main() -> None:
        order: list[int] = []
        workers = Workers(1, 8)
        works = [workers.submit(lambda i=i: order.append(i) or i, 10) for i in range(5)]
        assert [await work.answer for work in works] == [0, 1, 2, 3, 4]
        assert order == [0, 1, 2, 3, 4]
        broken = workers.submit(lambda: 1 // 0, 10)
        with pytest.raises(ZeroDivisionError):
            await broken.answer
        assert await workers.submit(lambda: "lives on", 10).answer == "lives on"
        workers.close()

    run(main)


def test_a_full_queue_refuses_and_says_when_to_come_back():
    async def main() -> None:
        go, taken = threading.Event(), threading.Event()
        workers = Workers(1, 2)
        running = workers.submit(lambda: taken.set() or go.wait(10), 10)
        await asyncio.to_thread(taken.wait, 10)
        waiting = [workers.submit(lambda: 1, 10) for _ in range(2)]
        assert workers.is_full
        with pytest.raises(Full) as refused:
            workers.submit(lambda: 1, 10)
        assert 1 <= refused.value.retry_after <= 60
        workers.give_up(waiting[0])
        assert not workers.is_full, "who goes away frees a place at once"
        go.set()
        assert await running.answer
        assert await waiting[1].answer == 1
        workers.close()

    run(main)


def test_who_would_wait_too_long_is_refused():
    async def main() -> None:
        go, taken = threading.Event(), threading.Event()
        workers = Workers(1, 100, patience=2.5)
        workers.seconds = 1.0
        works = [workers.submit(lambda: taken.set() or go.wait(10), 10)]
        await asyncio.to_thread(taken.wait, 10)
        works += [workers.submit(lambda: True, 10) for _ in range(3)]
        with pytest.raises(Full):
            workers.submit(lambda: True, 10)
        go.set()
        assert all(await asyncio.gather(*(work.answer for work in works)))
        workers.close()

    run(main)


def test_what_nobody_waits_for_is_not_begun_and_ends_where_it_asks():
    async def main() -> None:
        begun, ended = threading.Event(), threading.Event()

        def long() -> None:
            begun.set()
            try:
                while True:
                    go_on()
                    time.sleep(0.005)
            except GivenUp:
                ended.set()
                raise

        workers = Workers(1, 8)
        work = workers.submit(long, 60)
        never = workers.submit(lambda: pytest.fail("begun"), 60)
        await asyncio.to_thread(begun.wait, 10)
        workers.give_up(never)
        workers.give_up(work)
        assert await asyncio.to_thread(ended.wait, 10)
        assert await workers.submit(lambda: "next", 10).answer == "next"
        workers.close()

    run(main)


def test_time_that_is_over_ends_a_request():
    async def main() -> None:
        workers = Workers(1, 8)

        def long() -> None:
            while True:
                go_on()
                time.sleep(0.005)

        with pytest.raises(Late):
            await workers.submit(long, 0.05).answer
        with pytest.raises(Late):
            await workers.submit(lambda: pytest.fail("begun"), -1).answer
        workers.close()

    run(main)


def test_a_stop_finishes_what_was_accepted():
    async def main() -> None:
        workers = Workers(2, 16)
        works = [workers.submit(lambda i=i: time.sleep(0.02) or i, 10) for i in range(10)]
        await asyncio.to_thread(workers.close)
        assert [await work.answer for work in works] == list(range(10))
        with pytest.raises(Stopped):
            workers.submit(lambda: 1, 10)

    run(main)


def test_threads_are_told_how_many_are_busy():
    async def main() -> None:
        told: list[int] = []
        go = threading.Event()
        workers = Workers(2, 8, told.append)
        both = [workers.submit(lambda: go.wait(10), 10) for _ in range(2)]
        while len(told) < 2:
            await asyncio.sleep(0.01)
        go.set()
        await asyncio.gather(*(work.answer for work in both))
        assert max(told) == 2
        workers.close()

    run(main)


def test_go_on_outside_of_a_request_does_nothing():
    go_on()
