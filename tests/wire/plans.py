"""Random plans and outputs, of every kind that the records allow."""

from array import array

from hypothesis import strategies as st

from nanovllm_edu.core.plan import (
    BlockCopy,
    BlockRef,
    BlockUpdate,
    Joined,
    RowMasks,
    SamplingUpdate,
    Span,
    Spans,
    StepOutput,
    StepPlan,
)
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import TOKEN_TYPE, TokenLogprobs

counts = st.integers(0, 2**31 - 1)
tokens = st.lists(counts, max_size=5).map(tuple)
seeds = st.integers(0, 2**64 - 1)
chances = st.floats(0, 1, width=32)
words = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5), max_size=2
)
params = st.builds(
    SamplingParams,
    temperature=chances,
    top_k=counts,
    top_p=st.floats(0.125, 1, width=32),
    min_p=chances,
    repetition_penalty=st.floats(0.5, 2, width=32),
    seed=st.none() | seeds,
    max_tokens=st.none() | st.integers(1, 2**31 - 1),
    stop=words,
    stop_token_ids=tokens,
    ignore_eos=st.booleans(),
    logprobs=st.none() | counts,
    logit_bias=st.none() | st.dictionaries(counts, st.floats(-100, 100, width=32), max_size=2),
    bad_words=words,
    allowed_token_ids=st.none() | st.lists(counts, min_size=1, max_size=3),
    bad_words_token_ids=st.lists(st.lists(counts, min_size=1, max_size=3), max_size=2),
    structured_outputs=st.none()
    | st.sampled_from(
        [{"regex": "[0-9]+"}, {"choice": ["yes", "no"]}, {"json": {"type": "object"}}]
    ),
)
spans = st.builds(Span, counts, counts, counts, counts, tokens, counts, st.booleans())
arrays = st.lists(counts, max_size=5).map(lambda ids: array(TOKEN_TYPE, ids))
blocks = st.builds(BlockRef, counts, counts)
plans = st.builds(
    StepPlan,
    counts,
    st.lists(spans, max_size=4).map(Spans),
    st.lists(st.builds(Joined, counts, counts, arrays, counts, params, seeds), max_size=2).map(
        tuple
    ),
    tokens,
    st.lists(st.builds(SamplingUpdate, counts, counts, params), max_size=2).map(tuple),
    st.lists(st.builds(BlockUpdate, counts, counts, counts, tokens), max_size=3).map(tuple),
    st.lists(st.builds(BlockCopy, blocks, blocks), max_size=2).map(tuple),
    masks=st.lists(
        st.builds(RowMasks, counts, counts, st.lists(st.binary(max_size=9), max_size=2).map(tuple)),
        max_size=2,
    ).map(tuple),
)
likeliest = st.lists(st.tuples(counts, st.floats(allow_nan=False)), max_size=3).map(tuple)
logprobs = st.builds(TokenLogprobs, counts, st.floats(allow_nan=False), likeliest)
outputs = st.builds(
    StepOutput,
    st.dictionaries(counts, tokens, max_size=4),
    st.dictionaries(counts, st.lists(logprobs, max_size=2).map(tuple), max_size=2),
    st.dictionaries(counts, st.text(max_size=9), max_size=2),
    st.dictionaries(st.sampled_from(["prepare", "forward"]), st.floats(0, 9), max_size=2),
)
