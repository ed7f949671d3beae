"""`/watch`: the engine's own steps, hidden text, bounded memory; and nothing if nobody watches."""

import asyncio
import gc
import json
import re
import time
import weakref
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.core.events import EVENT_TYPES
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import TooBusyError
from nanovllm_edu.introspect.storage import load
from nanovllm_edu.introspect.view import encode_view
from nanovllm_edu.serve import watch as watch_module
from nanovllm_edu.serve.hidden import PLAIN, SENTENCES, hidden_document, hidden_entry
from nanovllm_edu.serve.limits import ServeLimits
from nanovllm_edu.serve.watch import Watch
from tests.engine.slow_runner import SlowRunner
from tests.proof.small_llm import Letters, right, small_llm
from tests.serve.servers import HTTP, serving

GREEDY = SamplingParams(temperature=0, max_tokens=20)
SECRET = [777, 778, 779, 780, 781, 782]


class Pieces(Letters):
    def pieces(self, token_ids: list[int]) -> list[str]:
        return [f"<{token_id}>" for token_id in token_ids]


def watched_llm(depth: int = 0, **options: Any) -> AsyncLLM:
    llm = small_llm(depth, **options)
    llm.tokenizer = Pieces()  # type: ignore[assignment]
    llm.engine._intake = type(llm.engine._intake)(Pieces(), 1000, 0)
    return AsyncLLM(llm)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "SECONDS", 0.01)


def parsed(event: bytes) -> tuple[str, Any]:
    name, data = event.decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


class Page:
    """What a browser would hold: a document that grows."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        self.events, self.document, self.num_documents = events, {}, 0

    async def read(self) -> None:
        name, data = parsed(await anext(self.events))
        if name == "document":
            self.document, self.num_documents = data, self.num_documents + 1
        else:
            self.document["journal"] += data["entries"]
            self.document["pieces"] |= data["pieces"]

    def num_steps(self) -> int:
        return sum("step" in entry for entry in self.document["journal"])

    async def until_step(self, step_id: int) -> None:
        async with asyncio.timeout(10):
            while not any(entry.get("step") == step_id for entry in self.document["journal"]):
                await self.read()


@pytest.mark.parametrize("depth", [0, 1])
def test_a_page_gets_what_a_recorder_of_its_own_would_show(depth: int) -> None:
    async def main() -> None:
        async with watched_llm(depth) as llm:
            watch = Watch(llm, show_text=True)
            async with aclosing(watch.events(lambda: False)) as events:
                page = Page(events)
                await page.read()
                assert page.document["journal"] == []
                output = await llm.generate(SECRET, GREEDY)
                assert output.token_ids == right(SECRET, GREEDY)
                await page.until_step(19)
                recording = await watch.recording()
                assert page.document == json.loads(json.dumps(encode_view(recording)))
                assert "<777>" in page.document["pieces"].values()

    asyncio.run(main())


def test_what_comes_while_news_are_written_is_in_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another page's look makes the view longer in the middle of it."""

    async def main() -> None:
        async with watched_llm(num_blocks=256) as llm:
            watch = Watch(llm)

            def while_others_look(entry: Any) -> Any:
                recorder, looked = watch._recorder, watch._newest
                assert recorder is not None and looked is not None
                if "step" in entry and entry["step"] % 3 == 0 and llm.num_unfinished:
                    until = len(recorder) + 1
                    while len(recorder) < until and llm.num_unfinished:
                        time.sleep(0.0005)
                    looked.view.extend(recorder.recording)
                return hidden_entry(entry)

            async with aclosing(watch.events(lambda: False)) as events:
                page = Page(events)
                await page.read()
                monkeypatch.setattr(watch_module, "hidden_entry", while_others_look)
                params = SamplingParams(temperature=0, max_tokens=60)
                answer = asyncio.create_task(llm.generate(SECRET, params))
                await page.until_step(59)
                await answer
                steps = [entry["step"] for entry in page.document["journal"] if "step" in entry]
                assert steps == list(range(60))

    asyncio.run(main())


def test_what_is_new_is_written_once_for_all_pages() -> None:
    async def main() -> None:
        async with watched_llm() as llm:
            watch = Watch(llm)
            async with aclosing(watch.events(lambda: False)) as events:
                await anext(events)
                before = watch._newest
                await llm.generate(SECRET, GREEDY)
                news = await anext(events)
                assert before is not None and watch._newest is not None
                assert watch._news_event(before, watch._newest) is news

    asyncio.run(main())


def test_nobody_watches_and_the_engine_knows_nothing_of_it() -> None:
    async def main() -> None:
        async with watched_llm() as llm:
            watch = Watch(llm)
            driver = llm._driver
            assert driver.stepper is driver.engine
            with pytest.raises(TooBusyError, match="nobody watches"):
                await watch.recording()
            async with aclosing(watch.events(lambda: False)) as one:
                await anext(one)
                async with aclosing(watch.events(lambda: False)) as other:
                    await anext(other)
                recorder = weakref.ref(driver.stepper)
                assert recorder() is not driver.engine
            assert driver.stepper is driver.engine
            gc.collect()
            assert recorder() is None and watch.num_watchers == 0
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@pytest.mark.parametrize("depth", [0, 1])
def test_old_steps_go_and_the_page_begins_anew_with_the_newest(
    depth: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(watch_module, "KEPT_STEPS", 10)
    monkeypatch.setattr(watch_module, "MOST_STEPS", 30)

    async def main() -> None:
        async with watched_llm(depth, num_blocks=64) as llm:
            watch = Watch(llm, show_text=True)
            async with aclosing(watch.events(lambda: False)) as events:
                page = Page(events)
                await page.read()
                for round_ in range(6):
                    prompts = [[round_, i, 3, 4, 5] for i in range(3)]
                    await asyncio.gather(*(llm.generate(p, GREEDY) for p in prompts))
                    await asyncio.sleep(0.02)
                    await page.read()
                step_id = llm.llm.engine.newest_record.step_id  # type: ignore[union-attr]
                await page.until_step(step_id)
                assert page.num_documents > 2
                assert 10 <= page.num_steps() <= 60
                recording = await watch.recording()
                assert recording.state_at(len(recording) - 1) == llm.llm.engine.state()
                assert page.document == json.loads(json.dumps(encode_view(recording)))
                from nanovllm_edu.introspect import save

                assert load(save(recording, tmp_path / "run.json")) == recording

    asyncio.run(main())


def test_cancelled_requests_and_failed_steps_are_in_it() -> None:
    async def main() -> None:
        runner = SlowRunner(64, 4)
        llm = AsyncLLM(small_llm(0, runner, num_blocks=64))
        llm.llm.engine._intake = type(llm.llm.engine._intake)(None, 1000, 0)
        async with llm:
            watch = Watch(llm, show_text=True)
            async with aclosing(watch.events(lambda: False)) as events:
                page = Page(events)
                await page.read()
                runner.leave.release(3)
                stream = llm.stream([1, 2, 3], GREEDY)
                await anext(stream)
                stream.cancel()
                runner.leave.release(100)
                assert (await llm.generate([5], GREEDY)).token_ids == right([5], GREEDY)
                step_id = llm.llm.engine.newest_record.step_id  # type: ignore[union-attr]
                await page.until_step(step_id)
                assert any("abort" in entry for entry in page.document["journal"])
                assert page.num_documents == 1

    asyncio.run(main())


def test_somebody_who_goes_round_the_driver_makes_it_begin_anew_and_harms_nobody() -> None:
    async def main() -> None:
        async with watched_llm() as llm:
            watch = Watch(llm, show_text=True)
            async with aclosing(watch.events(lambda: False)) as events:
                page = Page(events)
                await page.read()
                stranger = llm.llm.stream([9, 9, 9, 9, 9], GREEDY)
                next(stranger)
                stranger.close()
                outputs = await asyncio.gather(
                    *(llm.generate([i + 1, 2], GREEDY) for i in range(3))
                )
                assert [o.token_ids for o in outputs] == [
                    right([i + 1, 2], GREEDY) for i in range(3)
                ]
                for _ in range(3):
                    await page.read()
                    await llm.generate([4, 5], GREEDY)
                step_id = llm.llm.engine.newest_record.step_id  # type: ignore[union-attr]
                await page.until_step(step_id)

    asyncio.run(main())


def test_what_was_said_is_hidden_unless_the_server_shows_it() -> None:
    async def main() -> None:
        params = SamplingParams(
            temperature=0, max_tokens=8, stop_token_ids=[779], logit_bias={781: 1.0}, seed=424242,
            bad_words_token_ids=[[782]], logprobs=1,
        )  # fmt: skip
        async with watched_llm() as llm:
            watch = Watch(llm)
            async with aclosing(watch.events(lambda: False)) as events:
                page = Page(events)
                await page.read()
                await llm.generate(SECRET, params)
                outputs = await llm.generate(SECRET, params)
                await page.until_step(llm.llm.engine.newest_record.step_id)  # type: ignore[union-attr]
                for entry in page.document["journal"]:
                    entry.pop("times", None), entry.pop("at", None)
                text = json.dumps(page.document)
        for token_id in {*SECRET, *outputs.token_ids}:
            if token_id > 100:  # smaller numbers are positions, too
                assert not re.search(rf"\b{token_id}\b", text), token_id
        assert "<7" not in text and "424242" not in text
        assert page.document["pieces"] == {"0": "·"}
        assert all(not _is_hash(word) for word in text.replace('"', " ").split())

    asyncio.run(main())


def _is_hash(word: str) -> bool:
    return len(word) == 16 and all(letter in "0123456789abcdef" for letter in word)


def test_only_what_is_named_passes() -> None:
    entry = {"step": 1, "spans": [], "times": [], "secret": "x", "state": {"secret": 1, "seqs": []}}
    shown = hidden_entry(entry)
    assert "secret" not in json.dumps(shown)
    assert shown["state"] == {"seqs": []} and "secret" not in PLAIN
    document = {"initial": {"requests": [], "state": {}}, "journal": [entry], "pieces": {"5": "x"}}
    assert hidden_document(document)["pieces"] == {"0": "·"}
    quoting = {"Finished", "DraftVerified", "DraftFailed"}
    assert len(SENTENCES) == len(EVENT_TYPES) - len(quoting & set(EVENT_TYPES))


def test_downloads() -> None:
    for show_text in (False, True):
        with serving(show_text=show_text) as server:
            url = f"{server.url}/watch"
            page = HTTP.get(url)
            assert page.status_code == 200 and "Download" in page.text
            assert HTTP.get(f"{url}/page.js").headers["content-type"].startswith("text/javascript")
            assert ".nv" in HTTP.get(f"{url}/page.css").text
            assert HTTP.get(f"{url}/recording.html").status_code == 429  # nobody watches
            with HTTP.stream("GET", f"{url}/events") as events:
                lines = events.iter_lines()
                assert next(lines) == "event: document"
                HTTP.post(f"{server.url}/v1/completions", json={"prompt": [1, 2], "max_tokens": 3})
                answer = HTTP.get(f"{url}/recording.html")
                assert "attachment" in answer.headers["content-disposition"]
                assert "3 steps of an LLM inference engine" in answer.text
                answer = HTTP.get(f"{url}/recording.json")
                if not show_text:
                    assert answer.status_code == 403
                else:
                    assert answer.json()["format"] == "nanovllm-edu recording"


def test_pages_are_counted_and_end_with_the_server() -> None:
    with serving(limits=ServeLimits(max_watchers=1)) as server:
        url = f"{server.url}/watch/events"
        with HTTP.stream("GET", url) as events:
            lines = events.iter_lines()
            next(lines)
            assert HTTP.get(url).status_code == 429
            server.server.end()
            assert list(lines)  # the stream ends by itself
    assert server.server.served.watch.num_watchers == 0
