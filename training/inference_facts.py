"""What the bundled model knows about LLM inference: one entry per term.

Facts only, as a table of text. A block starts with the names of a term (`+` marks a plural),
then come `what:` and, for some terms, `why:` and `how:` answers. After `#` stand the key words
that a right answer must contain. Used by `questions.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One answer and the key words that make it right."""

    text: str
    keywords: tuple[str, ...]


@dataclass(frozen=True)
class Term:
    """A term of LLM inference; `answers` maps "what" / "why" / "how" to an Answer."""

    names: tuple[str, ...]
    answers: dict[str, Answer]


_TERMS = """
a KV cache|the KV cache|a key-value cache|the KV-cache
what: A KV cache stores the keys and values of past tokens, so the model does not compute them again for every new token. # keys, values
why: Without a KV cache, every new token would need all earlier keys and values to be computed again. The cache trades memory for speed. # memory, speed
how: In every layer, the new token adds its key and value to the cache, and attention reads all keys and values stored so far. # adds, attention

prefill|the prefill phase|prefilling
what: Prefill is the first phase of inference. The model reads all prompt tokens at once and fills the KV cache. # prompt, cache
why: Prefill is needed because the keys and values of the prompt must be in the cache before the first new token is made. # prompt, first
how: Prefill sends the whole prompt through the model in parallel, so it is limited by compute and keeps the GPU busy. # parallel, compute

decode|the decode phase|decoding
what: Decode is the second phase of inference. The model makes one new token per step for each sequence. # one, step
why: Decode is needed because each new token depends on the token before it, so they must be made one after another. # depends, before
how: Decode reads all weights and the KV cache to make one token, so it is limited by memory bandwidth. # bandwidth

paged attention|PagedAttention
what: Paged attention keeps the KV cache in small blocks that may lie anywhere in memory, like the pages of an operating system. # blocks, pages
why: Paged attention wastes almost no memory, because a sequence only takes blocks as it grows, so more sequences fit on the GPU. # memory, blocks
how: Paged attention looks up the block table of a sequence to find where the keys and values of each position are stored. # block table

a block table|the block table|+block tables
what: A block table lists the cache blocks of one sequence in order. It maps positions in the text to places in memory. # blocks, order
why: A block table is needed because the blocks of a sequence are scattered in memory, and attention must find them in order. # scattered
how: To find a token, divide its position by the block size. The result picks the entry of the block table, and the rest is the offset in the block. # divide, offset

a slot mapping|the slot mapping|slot mapping
what: A slot mapping says into which cache slot the key and value of each new token are written. # slot, written
how: The slot of a token is its block number times the block size plus its offset in the block. # times, offset

a block|a cache block|a KV cache block|a KV block
what: A block is a small piece of the KV cache. It holds the keys and values of a fixed number of tokens, for example 16. # fixed, tokens
why: Blocks let the cache grow in small steps, so memory is not reserved for text that may never be written. # grow, reserved

the block size|a block size
what: The block size is the number of tokens that one cache block can hold. # number, hold
why: A small block size wastes less memory and shares more prefixes. A large block size means fewer table entries. # small, large

the block manager|a block manager
what: The block manager hands out cache blocks, counts who uses them, and takes them back when a sequence ends. # hands out, back
why: The block manager is needed so that sequences can share one pool of memory without losing or mixing up blocks. # share, pool
how: The block manager keeps a list of free blocks, a reference count for each block, and a table from hash to block for prefix caching. # free, reference count

continuous batching|in-flight batching
what: Continuous batching lets new sequences join the batch at every step, and finished ones leave at once. # join, leave
why: Continuous batching keeps the GPU full. With static batching, short sequences must wait for the longest one. # full, wait
how: Before every step, the scheduler removes finished sequences and admits waiting ones, as long as there is room. # removes, admits

static batching|a static batch
what: Static batching starts a group of sequences together and waits until the last one is finished. # together, last

prefix caching|automatic prefix caching|a prefix cache|the prefix cache
what: Prefix caching reuses the cache blocks of a prompt prefix that was computed before, for example a shared system prompt. # reuses, prefix
why: Prefix caching saves work. When many prompts begin with the same text, that text is computed only once. # same, once
how: Each full block gets a hash of its tokens and of the hash before it. If a new prompt has the same hash, its block is shared. # hash, shared

a prefix|a shared prefix|the prefix
what: A prefix is the beginning of a prompt. A shared prefix is the same for many prompts. # beginning, prompt

a block hash|the block hash|a chained hash
what: A block hash is a number computed from the tokens of a full block and the hash of the block before it. # number, before
why: The hash is chained, because equal tokens only have equal keys and values when all the tokens before them are equal too. # equal

a reference count|the reference count|reference counting
what: A reference count says how many sequences use a block right now. # how many, use
why: A reference count is needed so that a shared block is only freed when the last sequence has let it go. # freed, last

eviction|cache eviction
what: Eviction takes a cached block that nobody uses, forgets its old content, and gives it to a new sequence. # forgets
why: Eviction is needed because memory is limited, and old cached blocks must make room for new tokens. # limited, room

LRU|the LRU policy|least recently used
what: LRU means least recently used. It evicts the block that has not been used for the longest time. # least recently

the scheduler|a scheduler
what: The scheduler decides at every step which sequences run and how many tokens of each are computed. # decides, run
why: A scheduler is needed because memory and tokens per step are limited, and many requests want to run at once. # limited, requests
how: The scheduler first continues the running sequences, then admits waiting ones while blocks, slots and token budget last. # running, waiting

preemption|a preemption
what: Preemption stops a running sequence, frees its blocks, and puts it back into the waiting queue. # stops, waiting
why: Preemption is needed when no free block is left. One sequence must give up its memory so that others can go on. # free, memory
how: The scheduler picks a victim, frees its blocks, and later computes its tokens again. This is called recomputation. # victim, again

recomputation|recompute
what: Recomputation means that a preempted sequence computes its keys and values again when it comes back. # preempted, again

swapping|swapping out
what: Swapping moves the cache blocks of a preempted sequence to CPU memory and later brings them back. # moves, cpu

chunked prefill|a chunked prefill
what: Chunked prefill splits a long prompt into pieces that are computed over several steps. # splits, pieces
why: Chunked prefill keeps a long prompt from blocking the other sequences, so their next tokens are not delayed. # long, delayed
how: In each step, the running sequences decode first, and the rest of the token budget is filled with a piece of the prompt. # budget, piece

the token budget|a token budget
what: The token budget is the largest number of tokens that one step may compute. # largest, step
why: The token budget keeps every step short, so that no sequence waits too long for its next token. # short

the waiting queue|a waiting queue
what: The waiting queue holds the sequences that have arrived but do not run yet. # arrived, not

the running queue|a running queue|the running list
what: The running queue holds the sequences that own cache blocks and get new tokens at every step. # own, every

admission|admission control
what: Admission moves a sequence from the waiting queue to the running queue when there is enough room for it. # waiting, running

a token|the token
what: A token is a small piece of text, like a word or a part of a word. The model reads and writes tokens as numbers. # piece, text
why: A model works with tokens because a fixed list of pieces can spell any text. # fixed, any

a tokenizer|the tokenizer
what: A tokenizer turns text into token ids and token ids back into text. # text, ids
why: A tokenizer is needed because a model computes with numbers and not with letters. # numbers, letters
how: A tokenizer splits text into bytes and then joins the pairs that it has learned, until no pair is left. # bytes, pairs

byte pair encoding|BPE|byte-level BPE
what: Byte pair encoding starts with single bytes and learns to merge the pairs that appear most often. # merge, pairs

the vocabulary|a vocabulary
what: The vocabulary is the list of all tokens that a model knows. # list, knows

the context length|the context window|a context window
what: The context length is the largest number of tokens that a model can look at in one sequence. # largest, sequence

a prompt|the prompt
what: A prompt is the text that you give to the model. The model continues it. # text, continues

a system prompt|the system prompt
what: A system prompt is the first message of a chat. It tells the model how to behave. # first, behave

a chat template|the chat template
what: A chat template turns a list of messages into one text with special tokens that mark who is speaking. # messages, special

a sequence|one sequence
what: A sequence is one request inside the engine: its prompt tokens, the tokens made so far, and its block table. # request, tokens

a request|one request
what: A request is a prompt together with its sampling parameters, sent by a user to the engine. # prompt, user

+logits|+the logits
what: Logits are the scores that the model gives to every token of the vocabulary before softmax. # scores
why: Logits are needed to choose the next token. A higher score means a more likely token. # choose, likely

softmax|the softmax function
what: Softmax turns scores into probabilities that are positive and add up to one. # probabilities

sampling|token sampling
what: Sampling picks the next token at random, according to the probabilities of the model. # random, probabilities
why: Sampling makes the text more varied than always taking the most likely token. # varied

greedy decoding|greedy sampling|greedy search
what: Greedy decoding always takes the token with the highest score. It is the same as temperature zero. # highest

the temperature|temperature
what: Temperature divides the logits before sampling. A low temperature gives safe text, and a high one gives surprising text. # low, high
why: Temperature lets you choose between text that is predictable and text that is creative. # predictable, creative
how: Temperature works by dividing all logits by one number. A number below one makes the best token even more likely. # dividing

top-p|top-p sampling|nucleus sampling
what: Top-p keeps the smallest set of tokens whose probabilities add up to p, and samples only from them. # smallest, p

top-k|top-k sampling
what: Top-k keeps only the k tokens with the highest scores and samples from them. # k tokens

min-p|min-p sampling
what: Min-p drops every token whose probability is less than a fraction of the best one. # drops, fraction

a repetition penalty|the repetition penalty
what: A repetition penalty lowers the scores of tokens that were already used, so the text repeats itself less. # lowers, already

a stop string|+stop strings
what: A stop string ends the answer as soon as it appears in the text. # ends, appears

the end token|the EOS token|an EOS token
what: The end token is a special token that the model writes when its answer is complete. # special, complete

a CUDA graph|+CUDA graphs|the CUDA graph
what: A CUDA graph records many GPU kernels once and replays them with a single launch. # records, replays
why: CUDA graphs save the time that the CPU needs to launch kernels, which is large when each kernel is short. # launch, cpu
how: The engine captures a decode step for some batch sizes, and later copies new inputs into the same buffers and replays the graph. # captures, replays

a kernel|a GPU kernel|a CUDA kernel
what: A kernel is a small program that runs on the GPU with many threads at once. # program, threads

flash attention|FlashAttention
what: Flash attention computes attention in small tiles that stay in fast memory, and never stores the whole score matrix. # tiles
why: Flash attention is fast because it moves far less data between slow and fast memory. # less, memory
how: Flash attention goes through the keys tile by tile and keeps a running maximum and a running sum for the softmax. # running

attention|self-attention|the attention layer
what: Attention lets each token look at earlier tokens and mix their values, weighted by how well query and key match. # query, key
why: Attention is needed so that a token can use what was said before. # before
how: Attention multiplies the query with all keys, applies softmax, and adds up the values with these weights. # softmax, values

a query|the query
what: A query is a vector that says what a token is looking for in the tokens before it. # looking for

a key|an attention key
what: A key is a vector that says what a token has to offer. Queries are compared with keys. # offer, compared

a value|an attention value
what: A value is a vector with the content that a token passes on when another token attends to it. # content

grouped-query attention|GQA
what: Grouped-query attention lets several query heads share one key and value head, which makes the KV cache smaller. # share, smaller

an attention head|+attention heads
what: An attention head is one of several attention computations that run side by side in a layer. # side by side

a causal mask|the causal mask|causal masking
what: A causal mask hides the future, so that each token sees only itself and the tokens before it. # future, before

rotary position embedding|RoPE|+rotary embeddings
what: Rotary position embedding turns queries and keys by an angle that depends on their position in the text. # angle, position

RMSNorm|RMS normalization
what: RMSNorm scales a vector so that its root mean square is one, and then multiplies it by learned weights. # root mean square

an embedding|the embedding layer|+token embeddings
what: An embedding is a vector that stands for a token inside the model. # vector, stands

a transformer|the transformer
what: A transformer is a model made of layers, each with attention and a feed-forward network. # layers, feed-forward

a layer|a transformer layer
what: A layer is one step of the transformer. It applies attention and then a feed-forward network. # attention, feed-forward

a feed-forward network|the MLP|an MLP
what: A feed-forward network changes each token on its own, with two or three matrix multiplications and a nonlinear function. # each token, matrix

a batch|batching
what: A batch is a group of sequences that are computed together in one step. # group, together
why: A batch makes better use of the GPU, because the weights are read once for many sequences. # weights, once

time to first token|TTFT
what: Time to first token is how long a user waits between sending the prompt and seeing the first token. # waits, first

inter-token latency|the time between tokens|ITL
what: Inter-token latency is the time between one token of an answer and the next. # between, next

throughput|the throughput
what: Throughput is the number of tokens that the engine makes per second for all users together. # per second
why: Throughput matters because it decides how many users one GPU can serve. # users, serve

latency|the latency
what: Latency is the time that one user waits for an answer. # time, waits

memory bandwidth|the memory bandwidth
what: Memory bandwidth is how many bytes per second a chip can read from its memory. # bytes per second

tensor parallelism|TP
what: Tensor parallelism splits each weight matrix over several GPUs, which compute their parts at the same time. # splits, several

quantization|weight quantization
what: Quantization stores weights with fewer bits, so the model needs less memory and less bandwidth. # fewer bits

speculative decoding|speculation
what: Speculative decoding lets a small model guess several tokens, and the large model checks them all in one step. # guess, checks
why: Speculative decoding is faster because checking many tokens costs about as much as making one. # checking

streaming|token streaming
what: Streaming sends each token to the user as soon as it is made. # as soon as

an inference engine|an LLM inference engine|the engine
what: An inference engine runs a trained model for many users. It schedules requests, manages the cache and makes tokens. # runs, requests
how: An inference engine repeats three things: plan which tokens to compute, run the model, and commit the new tokens. # plan, run, commit

a language model|an LLM|a large language model
what: A language model is a program that predicts the next token of a text. # predicts, next
how: A language model turns tokens into vectors, sends them through many layers, and gives a score to every possible next token. # vectors, score

inference|LLM inference
what: Inference means using a trained model to make new text. # trained

training|model training
what: Training changes the weights of a model until it predicts the next token well. # weights, predicts

vLLM|the vLLM project
what: vLLM is a well-known engine for LLM inference. It made paged attention popular. # engine, paged

Nano-vLLM|nano-vllm|nanovllm
what: Nano-vLLM is a small inference engine that one can read in an evening. It shows the ideas of vLLM in little code. # small, engine

the model runner|a model runner
what: The model runner prepares the batch, runs the model on the device, and returns the sampled tokens. # batch, tokens

GPU memory|the memory of a GPU
what: GPU memory holds the weights, the KV cache and the values in between. What the weights leave free goes to the cache. # weights, cache

a GPU|the GPU
what: A GPU is a chip with thousands of small cores that do many simple computations in parallel. # chip, parallel
"""  # noqa: E501 - a table reads best with one answer per line


def _term(block: str) -> Term:
    names, *lines = block.splitlines()
    answers = {}
    for line in lines:
        aspect, _, rest = line.partition(": ")
        text, _, keywords = rest.partition(" # ")
        answers[aspect] = Answer(text, tuple(keywords.split(", ")) if keywords else ())
    return Term(tuple(names.split("|")), answers)


def parse_terms(table: str) -> tuple[Term, ...]:
    """Reads a table of terms; an answer without key words is trained and not measured."""
    return tuple(_term(block) for block in table.strip().split("\n\n"))


TERMS = parse_terms(_TERMS)

COMPARISONS = {
    ("prefill", "decode"): Answer(
        "Prefill reads the whole prompt at once, and decode makes one token per step.",
        ("prompt", "one token"),
    ),
    ("latency", "throughput"): Answer(
        "Latency is how long one user waits. Throughput is how many tokens all users get together.",
        ("one user", "all users"),
    ),
    ("static batching", "continuous batching"): Answer(
        "Static batching waits for the longest sequence. Continuous batching lets sequences join "
        "and leave at every step.",
        ("longest", "join"),
    ),
    ("top-k", "top-p"): Answer(
        "Top-k keeps a fixed number of tokens. Top-p keeps as many tokens as are needed to reach "
        "the probability p.",
        ("fixed number", "probability"),
    ),
    ("swapping", "recomputation"): Answer(
        "Swapping saves the blocks in CPU memory. Recomputation throws them away and computes "
        "them again.",
        ("cpu", "again"),
    ),
    ("training", "inference"): Answer(
        "Training changes the weights of a model. Inference only uses them to make text.",
        ("changes", "uses"),
    ),
    ("a token", "a word"): Answer(
        "A word may be one token or several. A token is the piece of text that the model works "
        "with.",
        ("several", "piece"),
    ),
    ("greedy decoding", "sampling"): Answer(
        "Greedy decoding always takes the best token. Sampling picks a token at random by its "
        "probability.",
        ("always", "random"),
    ),
}
