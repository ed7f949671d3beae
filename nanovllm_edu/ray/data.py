"""`generate`: a column of prompts in a Ray Dataset gets answers, from one engine in each actor.

    ds = ray.data.from_items([{"id": 7, "prompt": "Once upon a time"}])
    ds = generate(ds, "tiny", sampling_params=SamplingParams(max_tokens=32), num_engines=2)
    ds.take_all()   # [{"id": 7, "prompt": "Once upon a time", "text": " there was ...", ...}]

Rows keep their order and all columns that they have; an answer's columns (`Answer`) come behind
them. An actor that dies is started anew by Ray, and the batches that it had are computed again: the
rows of a batch leave it all at once, so each is there exactly once.

Read next: `ray/serve.py`.
"""

from collections.abc import Collection
from typing import Any

import pyarrow
from ray.data import ActorPoolStrategy, Dataset

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.ray.placement import placed
from nanovllm_edu.ray.stage import Answer, Stage

TYPES = Answer(
    text=pyarrow.string(),
    token_ids=pyarrow.list_(pyarrow.int32()),
    finish_reason=pyarrow.string(),
    num_prompt_tokens=pyarrow.int32(),
    num_cached_tokens=pyarrow.int32(),
    error=pyarrow.string(),
)
"""Of the columns: said once, for a batch in which all rows fail tells nothing of the others."""


class EngineActor(Stage):
    """A stage that takes and gives tables: what `map_batches` makes an actor of.

    Args:
        column: Where the prompts are.
        **options: Of `Stage`.
    """

    def __init__(self, column: str, **options: Any) -> None:
        super().__init__(**options)
        self._column = column

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """The same table, with answers behind its columns.

        Raises:
            ConfigError: It has no such column, or has one of an answer's.
        """
        _check_columns(table.column_names, self._column)
        answers = self.answers(table.column(self._column).to_pylist())
        for name, kind, values in zip(
            Answer._fields, TYPES, zip(*answers, strict=True), strict=True
        ):
            table = table.append_column(name, pyarrow.array(values, kind))
        return table


def generate(
    ds: Dataset,
    model: str = "tiny",
    *,
    column: str = "prompt",
    sampling_params: SamplingParams | None = None,
    num_engines: int = 1,
    num_gpus: float = 0,
    batch_size: int = 256,
    **options: Any,
) -> Dataset:
    """Answers the prompts of a dataset.

    Args:
        ds: With a column of prompts: texts, token ids or conversations.
        model: As in `LLM`; each actor loads it.
        column: Where the prompts are.
        sampling_params: For all of them. With a seed, a batch that is computed again gets the same
            tokens.
        num_engines: Actors, each with an engine.
        num_gpus: Of each: 0 runs on a CPU, 1 takes a whole GPU, 0.5 shares one.
        batch_size: Rows that an engine is given at a time. A few times its `max_num_seqs` keep it
            busy, for its rows empty only when a batch comes to an end.
        **options: Fields of `EngineConfig`.

    Returns:
        A lazy dataset: nothing runs before somebody reads it.

    Raises:
        ConfigError: An option is unknown or out of range, or the dataset has no such column, or has
            one of an answer's.
    """
    options = placed(num_engines, num_gpus, options)
    if (known := ds.columns(fetch_if_missing=False)) is not None:
        _check_columns(known, column)
    given = {"column": column, "model": model, "sampling_params": sampling_params, **options}
    answered = ds.map_batches(
        EngineActor,
        fn_constructor_kwargs=given,
        batch_format="pyarrow",
        batch_size=batch_size,
        compute=ActorPoolStrategy(size=num_engines),
        num_gpus=num_gpus or None,
    )
    answered.context.execution_options.preserve_order = True
    return answered


def _check_columns(names: Collection[str], column: str) -> None:
    if column not in names:
        raise ConfigError(f"column={column!r} is not one of the dataset's: {', '.join(names)}.")
    if taken := [name for name in Answer._fields if name in names]:
        raise ConfigError(
            f"the dataset has columns {taken} already, which answers get; rename them first, with "
            "ds.rename_columns."
        )
