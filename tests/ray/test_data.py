"""Our stage in a real Ray, whose actors are processes of this machine."""

import pytest

pytest.importorskip("ray", reason="make test-ray installs Ray")

import ray.data

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.ray.data import generate

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),
]  # Ray's own

FEW = SamplingParams(max_tokens=4, temperature=0)
BAD = 97
"""Every so many rows one is empty."""


def rows(count: int) -> list[dict]:
    return [{"id": f"row {i}", "prompt": f"What is {i}?" if i % BAD else ""} for i in range(count)]


def test_every_row_is_there_once_though_an_actor_was_killed_in_the_middle(cluster, kill):
    asked = rows(2000)
    answered = generate(
        ray.data.from_items(asked), sampling_params=FEW, num_engines=2, batch_size=50
    )
    coming = iter(answered.iter_rows())
    first = [next(coming) for _ in range(200)]
    kill("MapWorker(MapBatches(EngineActor))")
    got = [*first, *coming]
    assert [row["id"] for row in got] == [row["id"] for row in asked], "all, once, in order"
    failed = {row["id"] for row in got if row["error"] is not None}
    assert failed == {row["id"] for row in asked if not row["prompt"]}
    assert all("the prompt is empty" in row["error"] for row in got if row["id"] in failed)
    sample = [row for row in got if row["error"] is None][::400]
    with LLM(device="cpu") as llm:
        outputs = llm.generate([row["prompt"] for row in sample], FEW, use_tqdm=False)
    assert [row["text"] for row in sample] == [output.text for output in outputs]
    assert [list(row["token_ids"]) for row in sample] == [output.token_ids for output in outputs]


def test_conversations_of_any_length_and_rows_that_are_none(cluster):
    question = {"role": "user", "content": "What is a KV cache?"}
    asked = [
        {"id": 1, "messages": [question]},
        {"id": 2, "messages": [{"role": "system", "content": "Be short."}, question]},
        {"id": 3, "messages": [question, {"role": "assistant", "content": "A memory."}, question]},
        {"id": 4, "messages": None},
    ]
    answered = generate(
        ray.data.from_items(asked).repartition(1), column="messages", sampling_params=FEW
    )
    got = answered.take_all()
    assert [row["id"] for row in got] == [1, 2, 3, 4]
    assert [row["error"] is None for row in got] == [True, True, True, False]
    with LLM(device="cpu") as llm:
        one, *_ = llm.chat([question], FEW, use_tqdm=False)
    assert got[0]["text"] == one.text


def test_columns_are_checked_before_anything_runs(cluster):
    ds = ray.data.from_items([{"id": 1, "text": "Once"}])
    with pytest.raises(ConfigError, match="column='prompt' is not one of the dataset's: id, text"):
        generate(ds)
    with pytest.raises(ConfigError, match=r"columns \['text'\] already"):
        generate(ds, column="text")
    with pytest.raises(ConfigError, match="unknown option blocks"):
        generate(ds, blocks=3)


def test_the_order_is_asked_for_of_this_dataset_alone(cluster):
    generate(ray.data.from_items([{"prompt": "Once"}]))
    assert not ray.data.DataContext.get_current().execution_options.preserve_order
