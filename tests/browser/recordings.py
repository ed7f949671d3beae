"""What the browser tests look at: small runs in which everything happens."""

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.detokenizer import Decoder
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect import Recorder, Recording
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens

SHARED = [11, 12, 13, 14, 15, 16, 17, 18]


class Letters(Decoder):
    """A tokenizer of one letter per token; one of them looks like markup."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        return "".join(self.pieces(token_ids))

    def pieces(self, token_ids: list[int]) -> list[str]:
        return ["<b>&amp;</b>" if i == 7 else chr(97 + i % 26) for i in token_ids]


def large_block_recording() -> Recording:
    """Blocks of 256 tokens, as on a GPU, long prompts with a shared beginning, no tokenizer."""
    runner = ChecksumRunner(24, 256, vocab_size=150_000)
    engine = LLMEngine(runner, EngineConfig(max_num_seqs=4, max_num_batched_tokens=2048))
    recorder = Recorder(engine)
    shared = [1000 + i for i in range(600)]
    for number in range(3):
        prompt = [*shared, *range(5000 * number, 5000 * number + 200)]
        recorder.add_request(prompt, SamplingParams(temperature=0.0, max_tokens=6))
    for _ in recorder.run(0):
        pass
    return recorder.recording


def overlapped_recording() -> Recording:
    """Each step is planned while the one before is in flight."""
    engine = LLMEngine(ChecksumRunner(16, 4), EngineConfig(max_num_seqs=4))
    recorder = Recorder(engine)
    for number in range(3):
        recorder.add_request([*SHARED, number], SamplingParams(max_tokens=10))
    for _ in recorder.run(1):
        pass
    return recorder.recording


def guessed_recording() -> Recording:
    """Three guesses in each step, of which the last one is wrong."""
    params = SamplingParams(temperature=0.0, max_tokens=12)
    text = [*SHARED, *expected_tokens(SHARED, params, 0)]

    class Nearly:
        def propose(self, token_ids: list[int], num_tokens: int) -> list[int]:
            first, second, third = [*text[len(token_ids) :], 0, 0, 0][:3]
            return [first, second, third + 1][:num_tokens]

    engine = LLMEngine(ChecksumRunner(16, 4), EngineConfig(draft_proposer=Nearly()))
    recorder = Recorder(engine)
    recorder.add_request(SHARED, params)
    for _ in recorder.run(0):
        pass
    return recorder.recording


def eventful_recording(tokenizer: object = None) -> Recording:
    """Six requests on 14 blocks: hits, chunked prefill, preemption, eviction, a queue."""
    engine = LLMEngine(
        ChecksumRunner(14, 4),
        EngineConfig(max_num_seqs=4, max_num_batched_tokens=12, max_model_len=40),
        tokenizer,  # type: ignore[arg-type]
    )
    recorder = Recorder(engine)
    for number, length in enumerate([14, 18, 12, 16]):
        params = SamplingParams(temperature=0.0, max_tokens=length)
        recorder.add_request([*SHARED, 100 + number, 7], params)
    for _ in range(9):
        recorder.step()
    for number in range(2):
        recorder.add_request([*SHARED, 200 + number], SamplingParams(max_tokens=8))
    for _ in recorder.run(0):
        pass
    return recorder.recording
