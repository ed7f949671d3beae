from nanovllm_edu.core.events import Preempted
from tests.lessons.wrong_answers import wrong


@wrong("08.1", "Some of it is found in the cache again")
def adds_up_what_was_lost(records):
    events = [event for record in records for event in record.events]
    return sum(event.num_lost_tokens for event in events if isinstance(event, Preempted))


@wrong("08.1", "That is the number of preemptions")
def counts_preemptions(records):
    return sum(len(record.preempted) for record in records)


@wrong("08.1", "Those are all computed tokens")
def counts_everything(records):
    return sum(span.num_tokens for record in records for span in record.spans)


@wrong("08.1", "you found")
def mixes_up_the_sequences(records):
    seen, count = set(), 0
    for record in records:
        for span in record.spans:
            for position in range(span.start, span.end):
                count += position in seen
                seen.add(position)
    return count


@wrong("08.2", "the engine preempts")
def forgets_the_answer(num_blocks, block_size, num_prompt_tokens, max_tokens):
    return num_blocks // -(-num_prompt_tokens // block_size)


@wrong("08.2", "its last block is its own even if it is partly filled")
def counts_tokens_not_blocks(num_blocks, block_size, num_prompt_tokens, max_tokens):
    return num_blocks * block_size // (num_prompt_tokens + max_tokens - 1)


@wrong("08.2", "sampled and never computed")
def counts_the_last_token(num_blocks, block_size, num_prompt_tokens, max_tokens):
    return num_blocks // -(-(num_prompt_tokens + max_tokens) // block_size)


@wrong("08.2", "is safe, but so is")
def one_at_a_time(num_blocks, block_size, num_prompt_tokens, max_tokens):
    return 1


@wrong("08.1", "one that is computed three times counts twice")
def counts_distinct_tokens(records):
    seen, again = set(), set()
    for record in records:
        for span in record.spans:
            for position in range(span.start, span.end):
                place = span.seq_id, position
                (again if place in seen else seen).add(place)
    return len(again)


@wrong("08.2", "there are only 40 blocks")
def far_too_many(num_blocks, block_size, num_prompt_tokens, max_tokens):
    return 10**12
