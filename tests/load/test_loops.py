"""An open loop shows what a closed one hides."""

import asyncio

from nanovllm_edu.load import loops
from nanovllm_edu.load.answer import SLO, Answer
from nanovllm_edu.load.arrivals import Job, steady
from nanovllm_edu.load.client import Heard, Target
from nanovllm_edu.load.loops import closed_loop, open_loop
from nanovllm_edu.load.report import report
from tests.load.stub import DONE, OK, PIECE, stub


class OneAtATime:
    """A server with one place, which stands still in front of its third request."""

    def __init__(self, usual: float = 0.002, stall: float = 0.4) -> None:
        self.place, self.usual, self.stall, self.num = asyncio.Lock(), usual, stall, 0
        self.most = self.now = 0

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        async with self.place:
            self.num += 1
            await asyncio.sleep(self.stall if self.num == 3 else self.usual)
            self.now -= 1
            writer.write(OK + PIECE + DONE)


def test_a_closed_loop_hides_a_stall_that_an_open_one_shows():
    """Coordinated omission: who would have come during the stall is never counted."""

    async def main() -> None:
        jobs = [Job(at) for at in steady(100.0, 40)]
        async with stub(OneAtATime()) as url:
            opened = report(await open_loop(Target(url), jobs), SLO())
        async with stub(OneAtATime()) as url:
            closed = report(await closed_loop(Target(url), jobs, users=1), SLO())
        assert opened.num_whole == closed.num_whole == 40
        assert opened.first_token.p50 > 5 * closed.first_token.p50
        assert closed.first_token.max > 0.4  # one of them felt it

    asyncio.run(main())


def test_an_open_loop_sends_at_its_times_and_answers_are_in_order():
    async def main() -> None:
        jobs = [Job(at) for at in (0.0, 0.0, 0.05, 0.1)]
        told: list[tuple[int, int]] = []
        async with stub(OneAtATime(0.02, 0.02)) as url:
            answers = await open_loop(Target(url), jobs, lambda *pair: told.append(pair))
        assert [answer.wanted for answer in answers] == [job.at for job in jobs]
        assert all(answer.sent >= answer.wanted for answer in answers)
        assert told[-1] == (4, 4)
        assert {ended for _, ended in told} >= {0, 4}

    asyncio.run(main())


def test_a_closed_loop_never_has_more_open_than_users():
    async def main() -> None:
        server = OneAtATime(0.002, 0.002)
        async with stub(server) as url:
            answers = await closed_loop(Target(url), [Job(0.0)] * 20, users=3)
        assert len(answers) == 20
        assert server.most == report(answers, SLO()).most_open == 3
        assert all(answer.wanted <= answer.sent for answer in answers)

    asyncio.run(main())


def test_a_user_asks_again_before_the_answer_is_read(monkeypatch):
    noted = []

    async def hear(target, job, index, begin, wanted):
        noted.append("asks")
        await asyncio.sleep(0)
        return Heard(wanted, wanted, wanted, [])

    def answer(self):
        noted.append("is read")
        return Answer(0.0, 0.0, (), 0.0, 0)

    monkeypatch.setattr(loops, "hear", hear)
    monkeypatch.setattr(Heard, "answer", answer)
    answers = asyncio.run(closed_loop(Target("http://none"), [Job(0.0)] * 2, users=1))
    assert noted == ["asks", "asks", "is read", "is read"]
    assert len(answers) == 2
