"""What the lessons and the glossary make one ask, beyond `inference_facts.py`, in its notation.

Apart from it, so that every training run is measured with the same generated questions. The words
are those of `docs/glossary.md`; other projects are named as the lessons name them.
"""

from training.inference_facts import Answer, parse_terms

LESSON_TERMS = parse_terms("""
acceptance|the acceptance|the acceptance rate|the acceptance of guesses
what: Acceptance is the share of guesses that come true. Behind a wrong guess, nothing counts any more.
why: Acceptance decides whether guessing pays: each accepted guess saves a step, and each wrong one costs work.

admission by deadline|an admission deadline|max_queue_seconds
what: Admission by deadline turns away a request that has waited so long that its answer would come too late.
why: Admission by deadline keeps goodput up when a server is asked for more than it can do.

ageing|aging|the ageing of requests
what: Ageing means that the longer a sequence waits, the better its rank gets.
why: Ageing is the cure for starvation: whoever waits long enough will be served at last.

an all-reduce|all-reduce|the all-reduce
what: In an all-reduce, each of several ranks has a part of a sum, and afterwards all of them have the whole sum.
why: Tensor parallelism needs an all-reduce twice in a layer, to put the partial sums of the devices together.

a block copy|+block copies|the block copy
what: A block copy is an order in a plan: copy a block's content in all layers before the step begins.

bounded load|the bounded load
what: Bounded load is a rule of a router: no replica gets more than so many times the mean load.
why: Bounded load keeps one replica from drowning, however well all requests would fit its cache.

a cached block|+cached blocks
what: A cached block is a block that nobody uses but whose content can still be found. It counts as free.

calibration|a calibration|the calibration
what: A calibration holds the seconds that each piece of work takes on one device with one model.
why: A calibration lets a virtual clock say how long a step would have taken on that device.

a checksum runner|the checksum runner
what: The checksum runner has no model. Each slot holds a checksum of all tokens before it, so a misplaced block gives a wrong token.
why: The checksum runner finds bugs of the scheduler and of block tables quickly, because any mistake changes a token.

a claim|the claim of a plan
what: A claim counts the tokens that will come at most, so that the next step can be planned before the values are known.

a closed loop|closed-loop load|the closed loop
what: A closed loop is a load of so many users, each of whom asks again when the last answer is here.
why: A closed loop cannot overload a server, so it hides that others would have had to wait.

an open loop|open-loop load|the open loop
what: An open loop is a load whose users come when they want, whether or not the last answer is here.
why: An open loop shows what really happens under load, because each request is timed from the moment it came.

a collision|a hash collision|+hash collisions
what: A collision means that two different prefixes have the same hash. The engine compares tokens, so it never gives a wrong answer.

commit|the commit phase|committing
what: Commit is the last verb of a step: take in the sampled tokens, append them, and free what is done.

plan|the plan phase|a plan|the plan of a step
what: The plan is the first verb of a step. It says which tokens of which sequences are computed, and in which blocks.

launch|the launch phase|launching
what: Launch is the middle verb of a step: turn the plan into tensors and start the device.

being memory-bound|memory-bound|a memory-bound step
what: A memory-bound step waits for the bytes that it must read. Decode of few sequences is memory-bound.

being compute-bound|compute-bound|a compute-bound step
what: A compute-bound step waits for the arithmetic units. Prefill is compute-bound.

coordinated omission|the coordinated omission problem
what: Coordinated omission leaves out of a measurement those who would have had to wait, because the measurer waited, too.
why: Coordinated omission makes a slow server look fast. An open loop avoids it.

depth|the depth|the depth of the engine
what: Depth is how many steps are planned and launched before the result of an earlier one is taken in.
why: With depth one, the engine plans a step while the device computes the one before, so the host is not in the way.

a draft|a guess|a draft token|+draft tokens
what: A draft is a token that somebody thinks will come next. The model verifies it.

a draft model|the draft model|a small draft model
what: A draft model is a small model that guesses what a large one will say.
why: A draft model is so small that its guesses cost little, and each right guess saves a step of the large model.

a draft proposer|the draft proposer|a proposer
what: A draft proposer is whatever guesses tokens: by looking them up in the text, or by asking a small model.

prompt lookup|prompt lookup decoding|n-gram lookup
what: Prompt lookup guesses that what followed the last tokens earlier in the text follows them again.
why: Prompt lookup needs no second model, and it is good at text that repeats itself.

verification|verifying|the verification of guesses
what: To verify means to sample at each guessed position as if there were no guess, and to keep the tokens up to the first one that differs.

rejection sampling|the rejection sampling rule
what: Rejection sampling keeps a guess with probability min(1, p / q), and draws from what is missing otherwise.
why: With rejection sampling, what comes out is distributed as the model's own draws, so guesses do not change the text.

an event|+events|the events of a step
what: An event is one decision or effect of a step, with its numbers and a sentence that says why.

flash-decoding|flash decoding
what: Flash-decoding splits one long context over many programs and merges their partial results at the end.
why: Flash-decoding keeps the whole GPU busy when there are few sequences with long contexts.

the floor|a floor|the floor of a step
what: The floor is the time that a step takes at least: all bytes it must read, divided by the memory bandwidth.

a fork|the fork of an engine|forking
what: A fork is an independent engine in the same state, made from a running one, to try something else from here.

a GEMM|GEMM|+GEMMs
what: A GEMM is a product of two matrices, the bulk of a model's work: the tokens of a step times the weights of a layer.

the gate|a gate|the engine's gate
what: The gate lets one thread at a time into the engine, and no interrupt.

a ghost|a ghost block|+ghosts
what: A ghost is a content of the hash index whose block was evicted while others stand behind it. It holds no memory and keeps the chain whole.

goodput|the goodput
what: Goodput is the number of requests per second that were answered as promised.
why: An overloaded server has throughput without goodput: it makes many tokens, but all of them too late.

a group of layers|+layer groups|a layer group
what: A group is a set of layers that share a block table.

Gumbel noise|the Gumbel noise|the Gumbel-max trick
what: Gumbel noise is made of random numbers of a certain distribution. The largest of logit plus noise is a sample of the softmax.
why: Gumbel noise can be computed from the seed and the position alone, so a sample needs no generator and no state.
how: Add Gumbel noise to every logit and take the largest sum. That token is a sample of the softmax.

a hash index|the hash index
what: A hash index is a prefix cache that finds a block by a hash of its tokens and of everything before it.

a radix tree|the radix tree|a radix cache|RadixAttention
what: A radix tree is a prefix cache that finds blocks by walking a tree, with one block of tokens on each edge.
why: In a radix tree, leaves are evicted first, so whatever is cached can still be reached.

being in flight|a step in flight|in flight
what: A step in flight is launched and not yet committed. Its tokens are on the device, and their values are not here yet.

a judge|the judge
what: The judge decides the text of one request and where it ends: at a stop string, or at a token that means the end.

the last-token rule|the rule of the last token
what: The last token of a prompt is always computed, however much is cached, because the logits of the next token come out of it.

a lease|the lease of a sequence
what: A lease is what a prefix cache remembers of one sequence, from its arrival to its end.

least squares|the method of least squares
what: Least squares finds constants from more equations than unknowns: those that miss all of them by as little as possible, in squares.

Little's law|the law of Little
what: Little's law says: how many are inside on average is how many come per second times how long each stays.
why: With Little's law, one can say from the load and the latency how many requests are inside, and how many replicas are needed.

a log probability|+log probabilities|+logprobs|a logprob
what: A log probability is the logarithm of a token's probability. Zero is certain; the more negative, the less likely.

FIFO|the FIFO policy|FIFO eviction|first in, first out
what: FIFO means first in, first out. It evicts the block that was cached first, whether it was used since or not.
why: FIFO is simple, because it needs no record of uses. On some workloads it even finds more than LRU.

a token mask|the token mask|a mask of a grammar|a grammar mask
what: A token mask says which tokens may come next. The logits of all others become minus infinity before the draw.
why: A token mask makes sure that the text follows a grammar, such as a JSON schema, at every single token.

constrained decoding|structured output|guided decoding|a grammar|a JSON schema
what: Constrained decoding lets a model say only what a grammar or a JSON schema allows. A token mask drops all other tokens.

a match|a cache match|a prefix match
what: A match is the leading blocks of a sequence that are found in the cache, and the reason why there are not more.

offloading|KV offloading|cache offloading
what: Offloading moves blocks of the KV cache to CPU memory or to a disk instead of losing them.
why: Offloading pays when copying a block back is faster than computing its tokens again.

online softmax|an online softmax|the online softmax
what: Online softmax computes a softmax over a long row in pieces. Whenever a larger score appears, the sum so far is scaled down.
why: Online softmax needs only one pass and never holds all scores, so attention can work tile by tile.

a Poisson process|+Poisson arrivals|the Poisson process
what: A Poisson process means arrivals that know nothing of each other: so many per second on average, some close together, some far apart.

a policy|the policy|a scheduling policy
what: A policy ranks sequences: who goes first, and who gives way when memory runs out. It never counts tokens or blocks.

a position|the position of a token
what: A position is the index of a token in its sequence, counted from zero.

prefix affinity|the prefix affinity of a router|cache-aware routing
what: Prefix affinity means that a router sends a request to the replica that has most of its prompt in its cache.
why: Prefix affinity saves prefill work, because each replica caches the prompts of its own users.

a replica|+replicas|one replica
what: A replica is one of several engines with the same model, each with a cache of its own.
why: Replicas let a service answer more users than one engine can, and go on when one of them dies.

a router|the router|a load balancer
what: A router stands in front of the replicas and decides which of them gets a request.

publishing a block|publishing
what: Publishing makes a full block findable for other sequences. Only blocks of computed tokens are published.

a rank|+ranks|the rank of a process
what: A rank is one of several processes that share a model, each with a part of every large matrix.

a reference|the reference version|a reference implementation
what: A reference is the readable version of a fast path. A test checks that both say the same.

a remote runner|the remote runner
what: A remote runner has its model in another process or on another machine. Plans go there as bytes, and outputs come back.

the roofline|a roofline|the roofline model
what: The roofline draws the two limits of a device, arithmetic and memory bandwidth, as one line. It shows which one holds a step back.

the ridge point|a ridge point|the ridge
what: The ridge point is how many operations per byte a device needs before arithmetic, and not memory, is its limit.

arithmetic intensity|the arithmetic intensity
what: Arithmetic intensity is how many operations a step does for each byte that it reads from memory.

a row|the row of a sequence
what: A row is a running sequence's line in the device's tables: its tokens, its block table, and how it is sampled.

settling|a settled token|to settle
what: To settle means to take in the tokens that really came and hand back the rest. A token is settled when its value is known.

the shield|a shield
what: The shield holds an interrupt back while the engine's books are written, so that stopping a cell breaks nothing.

+siblings|sibling sequences|+sibling answers
what: Siblings are the answers to one prompt. They share the prompt's blocks and nothing else.

an SLO|SLO|a service level objective
what: An SLO is a service level objective: what each user is promised, such as a first token within a second, and for how many requests it must hold.

a slot|a cache slot|+slots
what: A slot is the place of one token's key and value in the KV cache: block number times block size plus offset.

a span|the span of a sequence|+spans
what: A span is the tokens of one sequence that one step computes: a prompt, a piece of one, or a single decode token.

starvation|the starvation of requests
what: Starvation means that a sequence waits without end, because others keep overtaking it.

a step record|the step record|+step records
what: A step record is what one step returns: the plan, and what came of it.

thrashing|cache thrashing
what: Thrashing means so many preemptions that most of the work is recomputation.

a ticket|the ticket of a launch
what: A ticket is what launch returns at once. Waiting on it blocks until the output of the step is there.

a tier|a memory tier|+tiers
what: A tier is one kind of memory for blocks: tier 0 is the KV cache, and tier 1 is the memory of the host.

a tile|+tiles|one tile
what: A tile is the piece of keys and values that a kernel works on at a time.

Triton|the Triton language
what: Triton is a language for GPU kernels that looks like Python. Its interpreter runs them on a CPU, for tests.

a victim|the victim of preemption
what: A victim is the sequence that the policy chooses to preempt.

a virtual clock|the virtual clock|virtual time
what: A virtual clock passes only as steps are counted: decisions are real, and the device's work is replaced by how long it would have taken.
why: A virtual clock lets you study hours of load on a big GPU within seconds on a laptop.

weight-only quantization|int8 weights|8-bit weights
what: Weight-only quantization keeps weights in fewer bits than they are computed with, here 8 bits with a shared scale for every 64.

the work of a step|step work
what: The work of a step is what it makes a device do, in numbers: rows, keys and values that are read, prompt tokens, and pairs.

SGLang|the SGLang engine|sglang
what: SGLang is an open engine for LLM inference, like vLLM. It made the radix tree for prefix caching popular.

TensorRT-LLM|NVIDIA's TensorRT-LLM
what: TensorRT-LLM is the inference engine of NVIDIA, with kernels that are compiled for one model and one kind of GPU.

Hugging Face|the transformers library|Hugging Face transformers
what: Hugging Face makes the library transformers, with which one loads and runs models, and a site where models are shared.

PyTorch|torch
what: PyTorch is a library for tensors and neural networks in Python. The engine uses it to run the model.

a mixture of experts|MoE|+MoE models|an MoE model|mixture of experts
what: A mixture of experts has many feed-forward networks in a layer, and a small router picks a few of them for each token.
why: A mixture of experts has many weights but reads only a few of them for each token, so it is large and still quick.

sliding window attention|a sliding window|the sliding window
what: With a sliding window, a token attends only to the last few tokens, for example 128, so old keys and values can be dropped.

an expert|+experts
what: An expert is one of many feed-forward networks in a layer of a mixture of experts. Each token visits only a few of them.

a percentile|p95|the 95th percentile|p99
what: A percentile is the value that so many of a hundred requests stay under. With p95, 95 of 100 are faster.

a presence penalty|a frequency penalty|the presence penalty|the frequency penalty
what: A presence penalty lowers the score of each token that was used before, and a frequency penalty does so once for every use.

a seed|the seed|a random seed
what: A seed is a number that fixes the random draws, so that the same prompt gives the same text again.

fine-tuning|finetuning
what: Fine-tuning trains a finished model a little further on a small set of texts.

bfloat16|bf16
what: Bfloat16 is a number format of 16 bits with the range of a 32-bit float and less precision. The weights are stored in it.

a radix key|content hashing|hashing tokens
what: Hashing turns the tokens of a block into one number, so that equal blocks are found without comparing all of them.

head-of-line blocking|the head of the line
what: Head-of-line blocking means that a big request at the front of the queue keeps small ones behind it waiting.

shortest job first|shortest prompt first|SJF
what: Shortest job first runs the request with the least work first. The average wait gets shorter, but long requests may starve.

first come, first served|FCFS|arrival order
what: First come, first served runs requests in the order in which they arrived. Nobody starves.

round robin|round-robin routing
what: Round robin gives each replica a request in turn, without looking at load or cache.

a weight matrix|+weights|the weights of a model
what: Weights are the numbers that a model has learned. They stay the same during inference.

a tensor|+tensors
what: A tensor is an array of numbers with any number of dimensions, such as a vector or a matrix.

a parameter|+parameters|+model parameters
what: A parameter is one of the numbers that a model has learned in training.

Nano-vLLM's viewer|the viewer|the timeline
what: The viewer shows each step of the engine: the text, the plan, the blocks of the KV cache, and why something was decided.
""")  # noqa: E501 - a table reads best with one answer per line

LESSON_COMPARISONS = {
    ("LRU", "FIFO"): Answer(
        "LRU evicts the block that has not been used for the longest time. FIFO evicts the block "
        "that was cached first, used since or not.",
        (),
    ),
    ("an open loop", "a closed loop"): Answer(
        "In an open loop, users come when they want. In a closed loop, each user waits for the "
        "last answer before asking again.",
        (),
    ),
    ("throughput", "goodput"): Answer(
        "Throughput counts all that comes out per second. Goodput counts only requests that were "
        "answered as promised.",
        (),
    ),
    ("a hash index", "a radix tree"): Answer(
        "A hash index looks up each block by a chained hash. A radix tree walks from block to "
        "block along its edges.",
        (),
    ),
    ("time to first token", "inter-token latency"): Answer(
        "Time to first token is how long one waits for the first token. Inter-token latency is the "
        "time between one token and the next.",
        (),
    ),
    ("a draft model", "prompt lookup"): Answer(
        "A draft model is a small model that guesses tokens. Prompt lookup copies its guesses from "
        "earlier text and needs no model.",
        (),
    ),
    ("vLLM", "SGLang"): Answer(
        "Both are engines for LLM inference. vLLM finds cached prefixes by hashes of blocks, and "
        "SGLang by a radix tree.",
        (),
    ),
    ("vLLM", "Nano-vLLM"): Answer(
        "vLLM is a large engine for production. Nano-vLLM shows its ideas in little code that one "
        "can read in an evening.",
        (),
    ),
    ("a block", "a slot"): Answer(
        "A slot holds the key and value of one token. A block is a fixed number of neighbouring "
        "slots.",
        (),
    ),
    ("paged attention", "flash attention"): Answer(
        "Paged attention finds keys and values through a block table. Flash attention computes "
        "tile by tile, so that scores never go to memory.",
        (),
    ),
    ("preemption", "eviction"): Answer(
        "Preemption stops a running sequence and takes its blocks. Eviction forgets a cached block "
        "that nobody uses.",
        (),
    ),
    ("being compute-bound", "being memory-bound"): Answer(
        "A compute-bound step waits for the arithmetic units, and a memory-bound step waits for "
        "bytes from memory.",
        (),
    ),
    ("a logit", "a probability"): Answer(
        "A logit is a score without limits. Softmax turns all logits into probabilities, which add "
        "up to one.",
        (),
    ),
    ("plan", "commit"): Answer(
        "Plan comes first and decides what a step computes. Commit comes last and takes in the "
        "tokens that were sampled.",
        (),
    ),
    ("a row", "a slot"): Answer(
        "A row is the line of one running sequence in the device's tables. A slot is the place of "
        "one token in the KV cache.",
        (),
    ),
    ("chunked prefill", "continuous batching"): Answer(
        "Chunked prefill splits a long prompt over several steps. Continuous batching lets "
        "sequences join and leave at every step.",
        (),
    ),
    ("starvation", "thrashing"): Answer(
        "Starvation means that one sequence waits without end. Thrashing means that most of the "
        "work is done twice because of preemptions.",
        (),
    ),
}

# What the same things are called, too; by the first name of the term.
ALIASES = {
    "a KV cache": ("KV caching", "caching keys and values"),
    "prefill": ("reading the prompt",),
    "decode": ("making tokens one by one",),
    "preemption": ("preempting", "being preempted", "preempting a sequence"),
    "recomputation": ("recomputing", "computing tokens again", "recomputed tokens"),
    "eviction": ("evicting", "evicting a block", "evicted blocks", "to evict"),
    "quantization": ("quantizing", "to quantize", "quantized weights"),
    "swapping": ("to swap out", "swapped blocks"),
    "offloading": ("to offload", "offloaded blocks"),
    "verification": ("to verify", "verifying a guess", "verified guesses"),
    "calibration": ("calibrating", "to calibrate"),
    "ageing": ("getting older in the queue",),
    "a collision": ("colliding hashes", "colliding prefixes"),
    "a draft": ("guessed tokens", "drafting"),
    "a fork": ("to fork", "forking an engine"),
    "prefix caching": ("caching prefixes", "reusing prefixes", "a cached prefix"),
    "continuous batching": ("batching continuously",),
    "chunked prefill": ("prefill in chunks", "chunking a prompt", "chunks of a prompt"),
    "batching": ("to batch",),
    "sampling": ("to sample", "drawing a token"),
    "streaming": ("to stream", "streaming an answer"),
    "admission by deadline": ("turning requests away", "refusing late requests"),
    "speculative decoding": ("speculating", "guessing tokens", "decoding with guesses"),
    "greedy decoding": ("greedy", "decoding greedily", "being greedy"),
    "tensor parallelism": ("splitting a model over GPUs", "tensor parallel"),
    "publishing a block": ("to publish", "published blocks"),
    "thrashing": ("to thrash", "a thrashing engine"),
    "starvation": ("starving", "a starving request"),
    "a Poisson process": ("Poisson arrivals", "a Poisson load"),
    "time to first token": ("the first token's delay", "waiting for the first token"),
    "inter-token latency": ("the pause between tokens", "the gap between tokens"),
    "a stop string": ("stopping at a string",),
    "the end token": ("EOS", "the end of sequence", "end of sequence"),
    "LRU": ("LRU eviction", "the LRU order"),
    "FIFO": ("the FIFO order", "FIFO"),
    "a causal mask": ("causality", "being causal", "causal"),
    "rotary position embedding": ("rotary position embeddings", "RoPE embeddings"),
    "an end token": ("EOS",),
    "the ridge point": ("the ridge of a roofline",),
    "constrained decoding": ("constrained output", "JSON output", "valid JSON", "grammars"),
    "a percentile": ("p95 latency", "p99 latency", "p50"),
    "a replica": ("several engines", "copies of an engine"),
    "head-of-line blocking": ("blocking at the head of the line", "a blocked queue"),
    "bfloat16": ("the bfloat16 format",),
    "Gumbel noise": ("adding Gumbel noise", "noise of Gumbel"),
}
