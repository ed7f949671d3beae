"""Bytes become an answer, whatever way they were cut and whatever a server sends."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanovllm_edu.errors import WorkloadError
from nanovllm_edu.load.arrivals import Job
from nanovllm_edu.load.client import Reading, Target, ask, get
from nanovllm_edu.load.loops import open_loop
from tests.load.stub import DONE, OK, PIECE, stub

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\r\n\r\n"


STREAM = (
    CHUNKED
    + chunked(PIECE)
    + chunked(PIECE)
    + chunked(event(choices=[], usage={"completion_tokens": 7}) + DONE)
    + b"0\r\n\r\n"
)


def test_a_stream_is_read():
    read = Reading([(1.0, STREAM[:100]), (2.0, STREAM[100:])])
    assert (read.status, read.num_tokens, read.error) == (200, 7, "")
    assert len(read.pieces) == 2


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_however_it_is_cut_each_piece_has_the_time_of_its_last_byte(cuts: list[int]):
    ends = sorted({*cuts, len(STREAM)} - {0})
    begins = [0, *ends[:-1]]
    arrived = [(float(end), STREAM[begin:end]) for begin, end in zip(begins, ends, strict=True)]
    read = Reading(arrived)
    wanted = []
    start = 0
    for _ in range(2):
        line_end = STREAM.index(b"null}]}\n", start) + len(b"null}]}\n")
        wanted.append(next(float(end) for end in ends if end >= line_end))
        start = line_end
    assert read.pieces == wanted
    assert read.error == ""


def test_a_chats_pieces_are_those_that_say_something():
    role = event(choices=[{"delta": {"role": "assistant", "content": ""}}])
    thought = event(choices=[{"delta": {"reasoning_content": "Hm"}}])
    said = event(choices=[{"delta": {"content": "Hello"}}])
    end = event(choices=[{"delta": {}, "finish_reason": "stop"}])
    data = [OK, role, thought, said, end, DONE]
    read = Reading([(float(i), piece) for i, piece in enumerate(data)])
    assert read.pieces == [2.0, 3.0]


def test_an_answer_may_be_nothing_but_its_end():
    end = event(choices=[{"text": "", "finish_reason": "stop"}])
    read = Reading([(1.0, OK), (2.0, end + DONE)])
    assert (read.pieces, read.error) == ([2.0], "")


WRONG = {
    "cut off": OK + PIECE,
    "no answer": b"",
    "not OpenAI's events": OK + b"data: {\n\n" + DONE,
    "too_slow": OK + PIECE + event(error={"code": "too_slow"}) + DONE,
    "429 too_busy": b'HTTP/1.1 429 No\r\nContent-Length: 31\r\n\r\n{"error": {"code": "too_busy"}}',
    "503": b"HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\n<html",
    "HttpParserInvalidStatusError": b"HTTP/1.1 abc\r\n\r\n",
}


@pytest.mark.parametrize("error", WRONG)
def test_what_goes_wrong_has_a_name(error: str):
    assert Reading([(0.0, WRONG[error])]).error == error


@given(st.binary(max_size=200))
def test_no_server_can_make_it_fail(data: bytes):
    for head in (b"", OK, OK + b"data: "):
        Reading([(0.0, head + data)])


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x, max_size=3)
                    | st.dictionaries(st.sampled_from(["choices", "usage", "error", "delta"]), x,
                                      max_size=3)))  # fmt: skip
def test_no_json_can_make_it_fail(value: object):
    Reading([(0.0, OK + b"data: " + json.dumps(value).encode() + b"\n\n")])
    Reading([(0.0, b"HTTP/1.1 500 No\r\n\r\n" + json.dumps(value).encode())])


def test_a_request_has_what_a_server_wants_and_no_two_are_alike():
    target = Target("http://h:1/v1/", "m", "secret", is_chat=True, extra={"ignore_eos": True})
    bodies = [json.loads(target.body(Job(0.0, 5, 6), index)) for index in (0, 1)]
    assert bodies[0]["messages"] != bodies[1]["messages"]
    assert len(bodies[0]["messages"][0]["content"].split()) == 5
    assert bodies[0]["max_tokens"] == 6
    assert bodies[0]["stream"] and bodies[0]["ignore_eos"] and bodies[0]["model"] == "m"
    message = target.message("POST", "/v1/x", b"{}")
    assert b"Authorization: Bearer secret\r\n" in message
    assert b"Host: h:1\r\n" in message
    assert "secret" not in repr(target)
    completion = json.loads(Target("http://h").body(Job(0.0, prompt="Hi"), 0))
    assert completion["prompt"] == "Hi" and "model" not in completion


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://h/v1", "http://", "http://[::1",
                                 "http://h:99999/v1", 5, None])  # fmt: skip
def test_a_url_that_is_none_is_refused(url: str):
    with pytest.raises(WorkloadError, match="is not like"):
        _ = Target(url).place


def test_a_user_gives_up_and_a_refused_connection_is_an_answer():
    async def main() -> None:
        async def silent(request: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(OK + PIECE)
            await asyncio.sleep(5)

        async with stub(silent) as url:
            target = Target(url, timeout=0.05)
            answer = await ask(target, Job(0.0), 0, asyncio.get_running_loop().time(), 0.0)
            assert (answer.error, answer.is_whole) == ("timeout", False)
        answer = await ask(target, Job(0.0), 0, 0.0, 0.0)
        assert answer.error == "ConnectionRefusedError"

    asyncio.run(main())


def test_who_cannot_be_asked_says_so():
    async def no(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(WRONG["429 too_busy"])

    async def main() -> None:
        async with stub(no) as url:
            with pytest.raises(WorkloadError, match=r"status 429: 429 too_busy; .* /v1"):
                await get(Target(url), "/v1/models")
        with pytest.raises(WorkloadError, match="cannot be reached"):
            await get(Target(url), "/v1/models")

    asyncio.run(main())


def test_an_interrupted_run_leaves_no_connection():
    async def main() -> None:
        gone = asyncio.Event()

        async def behave(request: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(OK)
            while not writer.is_closing():
                writer.write(PIECE)
                await asyncio.sleep(0.005)
            gone.set()

        async with stub(behave) as url:
            run = asyncio.create_task(open_loop(Target(url), [Job(0.0)]))
            await asyncio.sleep(0.05)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            async with asyncio.timeout(5):
                await gone.wait()

    asyncio.run(main())
