"""Terms by what they do, in other words than their answers: "What decides who runs next?".

People who forgot a word describe it. Each line holds the first name of a term and, with choices
(`choices.py`), what may be said of it behind "What", "the thing that" or "it". `more_facts.py`
makes questions of them.
"""

DESCRIBED = """
a KV cache: [remembers|keeps|saves] what attention [needs|wants] of [earlier|old|past] tokens|[saves us from|spares us|avoids] [computing|working out] [old|earlier|the same] keys and values [again|twice|over and over]|grows by one [key and value|entry] with each token[| in every layer]
prefill: [comes|happens] before the first [new |]token [appears|is made]|[reads|processes|swallows|goes through] the [whole|complete|entire] prompt[| in one go| in one step]|is the [first|parallel|compute-heavy] [part|half|phase|stage] of a request
decode: [makes|produces|writes] [the answer|text] token by token|[comes|happens|follows] after the prompt [was|has been|is] read|is the [second|slow|one-by-one] [part|phase|half|stage] of a request
paged attention: [cuts|divides|splits] the cache into [pages|small pieces|blocks][| as an operating system does]|[works like|is like|imitates] [virtual memory|the pages of an operating system]|lets [a sequence's|the] keys and values [lie|be|sit] [scattered|anywhere|in any place]
a block table: [knows|tells|says] where [the blocks|the pages|the pieces] of a sequence [lie|are|are found]|is [like a page table|the page table of a sequence|a map from positions to blocks]
a slot mapping: [tells|says|knows] where [the key and value of a new token|new keys and values] [go|are put|are stored|must be written]
a block: holds [a fixed number of|sixteen|some neighbouring] tokens[' keys and values| of the cache]|is the [unit|piece|page|smallest part] [in which|of which] cache memory is [given out|handed out|shared|made]
the block size: says how many tokens [fit|go|belong] into [one block|a block|a page of the cache]
the block manager: [gives out|hands out|lends|allocates] [cache memory|blocks|pages of the cache][| and takes them back]|[knows|keeps track of|counts] which blocks are [free|in use]|owns the [pool|list] of free blocks
continuous batching: lets [a newcomer|new requests|a late request] [start|join|get in] while others are [still |]running|[changes|refills|rebuilds] the [batch|group] [after|at|before] [each|every] step|does not wait until [everybody|the whole batch|the slowest one] is [done|finished]
static batching: [waits for|is held up by] the [slowest|longest] [one|sequence|answer] of a group|keeps a [batch|group] together [until|till] the [last|slowest] is [done|finished]
prefix caching: [reuses|keeps|saves|shares] the [beginning|start|common part] of [prompts|a prompt] [that many users have|for the next user|that came before]|[saves|avoids] [computing|reading] [the same|a shared] [system prompt|beginning|start] [twice|again|for each user]
a prefix: is [how|what] a prompt [starts|begins][| with]|is the [start|beginning|first part|opening] of a [prompt|text]
a block hash: is a [number|fingerprint|name] of [a block's tokens|all tokens up to the end of a block]|[identifies|names|tells us] [a full block|what is in a block][| by its tokens]
a reference count: [counts|says|tells] how many [users|sequences|owners] [a block has|share a block|hold a block]|[keeps|stops|prevents] a shared block [from being freed too early|from vanishing while it is used]
eviction: [throws away|forgets|drops|deletes] [old|unused] [cached blocks|cache contents][| to make room]|makes room [in the cache|for new tokens] [by forgetting|by throwing away] something old
LRU: [throws out|drops|evicts|forgets] [what was not touched for longest|whatever has been idle longest|the block nobody asked for in a long time]
the scheduler: [chooses|decides|says|determines] [who runs next|who is next|which requests run|whose tokens are computed]|[fills|makes up|composes] the batch of [each|every|the next] step
preemption: [takes|wins] back the memory of a running [request|sequence]|[pauses|interrupts|throws out] somebody [who runs|in the middle of an answer] [because|when] memory [is short|runs out|is full]|sends a running sequence back to the [queue|waiting room|line]
recomputation: [does|computes] [the same|lost|thrown away] [work|keys and values] [again|once more|a second time] [after a preemption|when a sequence returns]
swapping: [parks|saves|keeps] a [stopped|paused|preempted] sequence's cache in [CPU|host|the computer's] memory|[brings|copies] blocks [out to the CPU and back|to host memory and back]
chunked prefill: [cuts|breaks|divides|splits] a [long|huge|big] prompt [into pieces|into parts|over several steps|up]|[keeps|stops|prevents] a [long|huge] prompt [from holding up everybody|from blocking the others|from delaying other users]
the token budget: [limits|bounds|caps] [the tokens of a step|how many tokens a step computes|how much one step may do]|is the [limit|ceiling|maximum] [of|for] tokens [in a step|per step]
the waiting queue: is where [new requests|newcomers|requests that do not run yet] [wait|stand|stay|go first]|holds [those who have not started|requests without any memory yet]
the running queue: is where [active|started|admitted] sequences [are|stay]|holds [those who run|the active ones|sequences with blocks of their own]
admission: lets a [waiting|new] request [in|start|run]|is the [moment|step] [when|at which] a request [gets its first blocks|leaves the waiting queue]
a token: is the [unit|piece|smallest piece] of text [that a model reads|for a model|that a model writes]|may be a [word|part of a word|single letter]
a tokenizer: [cuts|chops|splits|breaks] text into [tokens|pieces|ids]|[turns|translates|converts] [words|letters|strings] into [numbers|ids]
byte pair encoding: [joins|merges|glues together] [frequent|common] [pairs|neighbours]|[builds|learns|makes] a vocabulary by [merging|joining] pairs
the vocabulary: [holds|lists|contains] [every|each|all] [token|tokens] [a model can say|of a model|there are]
the context length: [limits|bounds|says] how [long a text may be|much text a model can see|far a model can look back]
a prompt: is [what|the text] [I type|the user writes|a user sends] [first|before the answer|to the model]
a system prompt: [tells|teaches|instructs] the model [how to act|who it is|how to answer] before [the user speaks|the chat starts]
a chat template: [wraps|puts|writes] [messages|a conversation|the turns of a chat] [into one text|with special marks|in the form the model knows]
logits: are the [raw|first|unscaled] scores [of|for] [all|the] tokens|come out [at the end of the model|of the last layer] before softmax
softmax: [makes|turns] [scores|logits] into [chances|probabilities|shares]|makes [numbers|scores] [sum to one|positive with a sum of one]
sampling: [draws|rolls dice for|picks by chance|chooses at random] the next token|makes [answers|texts] [differ|vary] from one [run|time] to [the next|another]
greedy decoding: [never rolls dice|always takes the top token|takes the best score every time]|gives the same [text|answer] [every|each] time because no dice are [rolled|thrown]
the temperature: [makes|turns] the [text|answer|output] [wilder|tamer|more daring|more predictable]|[controls|sets|decides] how [random|daring|creative] [the text|sampling|an answer] is|[scales|flattens|sharpens] the [scores|logits] before [the draw|sampling]
top-p: keeps [enough|the best] tokens to [cover|reach] [a share|some part|90 percent] of the probability
top-k: keeps [only the best few|a fixed number of] [tokens|candidates]|[cuts|drops] all [tokens|candidates] but the best [few|ten|forty]
min-p: [drops|removes|cuts] [tokens|candidates] that are much [less likely|weaker] than the best one
a repetition penalty: [punishes|lowers|discourages] [words|tokens] that [were said before|already occurred]|[stops|keeps] a [model|text] from [saying the same thing|repeating itself|going in circles]
a stop string: [ends|finishes|cuts] [generation|an answer|the text] when certain [words|letters|characters] [appear|come up]
the end token: [tells|shows|signals] that the [model|answer] is [done|finished|over]
a CUDA graph: [replays|repeats] [recorded|a recording of] [GPU work|kernels]|[saves|avoids] [launching|starting] [many|hundreds of] [kernels|small programs] one by one
a kernel: is a [function|program|piece of code] [for|that runs on] [the GPU|many threads of a GPU]
flash attention: never [writes|stores|keeps] the [big|whole|full] [score matrix|table of scores]|computes attention [piece by piece|tile by tile|in fast memory]
attention: lets [a token|each word] look [back|at others|at earlier ones]|[compares|matches] queries with keys
a query: says what a token [wants|needs|searches][| from others]|is [compared|matched] with [all|the] keys
a key: is what [queries are compared with|a query is matched against]|[advertises|says|shows] what a token [has|offers]
a value: is [mixed|summed|added up|passed on] by attention [after the weights are known|with its weight]
grouped-query attention: lets [many|several] query heads [use|share] [one|the same] key [and value|head]|[shrinks|makes smaller] the cache by sharing [heads|keys and values]
an attention head: is one of [many|several] [small |]attentions [in a layer|side by side]
a causal mask: [hides|covers|blocks] [later tokens|the future|what comes later]|[forbids|stops] a token [to look ahead|from looking ahead|from seeing what follows]
rotary position embedding: [turns|rotates] [queries and keys|vectors][| by their place in the text]|tells the model [where a token stands|the order of tokens] by [rotation|angles]
RMSNorm: [keeps|brings] [vectors|numbers|activations] [at one size|in a good range]|[divides|scales] a vector by its root mean square
an embedding: [turns|maps] a token id [into a vector|to a row of numbers]|is the [vector|row of numbers] [of|for] a token
a transformer: is made of [many layers of attention|stacked layers|layers with attention and feed-forward networks]
a layer: is one of the [stacked|many] [floors|steps|parts] of a transformer
a feed-forward network: [works on|changes] each token [alone|by itself|without the others]|[comes|follows] after attention in [a|each] layer
a batch: is [computed|run] [together|at once|in one step]|[shares|spreads] the cost of reading the weights
time to first token: [measures|says|tells] how long [I stare at an empty screen|nothing appears|one waits until text starts]|[grows|gets worse] when [a prompt is long|the queue is long]
inter-token latency: [measures|says|tells] how [smoothly|fast|steadily] [text|an answer] [flows|appears|comes]|is the [pause|gap|time] between two [words|tokens] on the screen
throughput: [measures|counts|says] how much [an engine|a server|the GPU] [makes|gets done|delivers] [per second|in a second|for all users]
latency: [measures|says] how long [one person|one user|a single request] has to wait
memory bandwidth: [measures|says|tells] how fast [bytes|weights|data] [come from|can be read from|travel from] memory
tensor parallelism: [splits|spreads|cuts] [a model|each matrix|one layer] [over|across|among] [several|many|two] [GPUs|devices]
quantization: [stores|keeps|writes] [weights|numbers] in [8|4|fewer] bits|makes [weights|a model] smaller [by rounding|with less precision]
speculative decoding: [guesses|bets on] [several|a few] tokens [and checks them|that a large model checks][| at once]|uses a [small|quick|cheap] model to [speed up|help] a [large|slow] one
streaming: [shows|sends|delivers] [words|tokens|text] [while|as] [the answer is written|they are made|they come]
an inference engine: [runs|serves] [a model|models] for many [people|users][| at once]
a language model: [guesses|predicts] [the next word|what comes next|how a text goes on]
inference: [uses|runs] a [finished|trained] model [to write text|without changing it]
training: [changes|adjusts|improves] [the weights|a model] [by showing it text|until it predicts well]
vLLM: made paged attention [famous|popular|known]
Nano-vLLM: is [small enough to read in an evening|a small engine for learning]
the model runner: [turns|makes] [a plan|the batch] into tensors[| and runs the model]|[calls|runs] the model [on the device|in each step]
GPU memory: [holds|contains] [the weights and the cache|both weights and cache]
a GPU: has thousands of [small |]cores|[computes|does] [many|thousands of] [simple |]things [at once|in parallel]
acceptance: says how many guesses [come true|were right|are kept]
admission by deadline: [refuses|turns away|rejects] requests that [waited too long|would be answered too late]
ageing: [raises|improves|lifts] the rank of [those who wait|an old request|whoever waits long]
an all-reduce: [adds up|sums] [partial results|parts of a sum] [of all ranks|across devices][| and gives everybody the sum]
a block copy: [duplicates|copies] a block [before the step|in all layers]
bounded load: [keeps|stops] a [popular|busy|favourite] replica [from getting too much|from drowning|from being overloaded]
a cached block: is [free|unused] but [still|can still be] [findable|found|remembered]
calibration: [tells|says|holds] how [long|many seconds] [each kind of work|a piece of work] takes on a [device|GPU]
a checksum runner: [stands in for|replaces] a model and [shows|finds] [misplaced blocks|bugs] [by sums|with checksums]
a closed loop: has users who [wait for the answer|ask again only after an answer]
an open loop: has users who [come whenever they like|do not wait for each other|ask whether or not the server is busy]
a collision: [happens|occurs] when two [prefixes|contents|texts] get one hash
commit: [takes in|books|writes down] the [new|sampled] tokens [at the end of a step|after the model ran]
plan: [comes first in a step|decides before anything is computed]|[lists|says] which tokens [the next step|a step] [computes|will compute]
launch: [starts|sets off] the [work|device|GPU] [of a step|after planning]
being memory-bound: means [waiting for bytes|that reading weights is what takes the time|that arithmetic units sit idle]
being compute-bound: means [waiting for arithmetic|that calculating is what takes the time|that the arithmetic units are full]
coordinated omission: [hides|leaves out|forgets] [the waiting of those who would have come|slow answers][| in a benchmark]
depth: says how many steps are [planned ahead|under way at once|launched before their results are known]
a draft: is a [guessed|proposed|hoped-for] token
a draft model: is [the small model|the quick helper] that [guesses|proposes][| tokens] for the [large|big] one
a draft proposer: [comes up with|makes|delivers] [guesses|drafts]
prompt lookup: [copies|takes|finds] guesses [from the text itself|from what was said before|in the prompt]
verification: [checks|tests] [guesses|drafts][| against the model's own draws]
rejection sampling: keeps a guess [with a probability|by chance] [and|so that] the distribution [stays|is] [right|the same]
an event: [reports|records|describes] [one decision|what happened] [in a step|with a reason]
flash-decoding: [splits|divides] [a long context|one long sequence] [among|over] many [programs|cores]
the floor: is the [shortest|least] time [a step can take|that reading all bytes takes]
a fork: lets [me|us|one] [try something else|go another way] from the same state[| of an engine]
a GEMM: [multiplies|is the product of] two matrices
the gate: lets [only one thread|one caller at a time] [in|into the engine]
goodput: counts only [answers|requests] [that kept the promise|that came in time|in time]
a group of layers: [shares|has in common] one block table
Gumbel noise: is [added to the logits|random and added to scores] [to draw a token|before taking the largest]|[turns|makes] [sampling|a draw] into taking the largest
a hash index: finds [cached |]blocks by [a number|a fingerprint|a hash]
a radix tree: finds [cached |]blocks by walking [edges|branches|from node to node]|keeps prefixes [in branches|as a tree]
being in flight: means [launched and not yet back|that a step's values are not known yet]
a judge: [decides|says|knows] when [an answer|the text] [is over|ends]
the last-token rule: [makes|lets|forces] us [compute|to compute] one token even [if|when] the whole prompt is cached
Little's law: [connects|relates|links] [load, waiting and number inside|how many come, how long they stay and how many are there]
a log probability: is the logarithm of [how likely a token is|a probability]
FIFO: [throws out|drops|evicts|forgets] [the oldest|what came first|whoever came first][| whether used or not]
a token mask: [forbids|rules out|blocks] [tokens|all tokens that the grammar does not allow]
constrained decoding: [makes sure that|guarantees that] [the output is valid JSON|an answer fits a schema|the text follows a grammar]
a match: is [how much of a prompt is found in the cache|what the cache already has of a prompt]
offloading: [moves|copies] [cached blocks|the cache] to [CPU memory|a disk][| instead of dropping them]
online softmax: [needs|makes] only one pass over the scores|[rescales|corrects] [its|the] sum when a larger score [comes|turns up]
a Poisson process: [describes|models] [arrivals|visitors|requests] that [know nothing of each other|come at random]
a policy: [ranks|orders|sorts] the [sequences|requests][| and names the victim]
a position: says where a token stands in its sequence
prefix affinity: [sends|routes|brings] [a request|users] to the [replica|engine] that [knows|has cached] the prompt
a replica: is a [copy|twin] of the engine [with|that has] its own cache
a router: [spreads|distributes|sends] requests [over|among|to] [replicas|engines|several servers]
publishing a block: makes a block [visible|findable] [for|to] others
a rank: is one [process|part] of a model [on several GPUs|that is split]
a reference: is the [slow|readable|simple] version [that a fast one is checked against|of a kernel]
a remote runner: has the model [somewhere else|on another machine|in another process]
the roofline: [draws|shows] [both limits of a device|what holds a step back] in one [picture|line|chart]
the ridge point: is where [memory stops and arithmetic starts to be the limit|both limits of a device meet]
arithmetic intensity: [divides|compares] operations [by|with] bytes
settling: [takes in|keeps] the tokens that really came[| and gives the rest back]
the shield: [holds back|delays] [an interrupt|Ctrl-C][| while books are written]
siblings: are [several|many] answers to the same prompt
an SLO: is a promise [to users|about waiting times]
a slot: is the place [of one token in the cache|for one key and value]
a span: is [the piece of a sequence|what of one sequence] [that is computed in a step|one step computes]
starvation: [happens|occurs] [to those who are overtaken for ever|when somebody never gets a turn]
a step record: [is returned by|comes out of] [each|every|a] step
thrashing: [wastes|spends] [most|nearly all] work on [recomputing|preempting][| again and again]
a ticket: is handed out at launch[| and waited on later]
a tier: is a kind of memory [for blocks|such as GPU or host]
a tile: is the [small |]piece [a kernel works on|of keys and values that fits fast memory]
Triton: lets [me|people|us] write GPU kernels in [a kind of |]Python
a victim: is [chosen|picked] to [give up its blocks|be preempted|make room]
a virtual clock: [jumps|moves|passes] without waiting|[replaces|stands in for] real [time|seconds] with [counted|calculated] ones
weight-only quantization: keeps [only weights|weights] in [8|eight] bits
SGLang: made the radix tree [popular|famous|known] for caching
a mixture of experts: [uses|asks|wakes] only [a few|some] of its [networks|experts] for [each|a] token|is [big|large] but [quick|cheap] because [few|only some] weights are read
sliding window attention: [looks|lets a token look] only at the [last|nearest] tokens|[forgets|drops] old keys and values[| on purpose]
an expert: is one of the networks [that a router picks|in an MoE layer]
a percentile: says what [95|99|so many] of a hundred [requests|users] [stay below|get]
a presence penalty: [lowers|punishes] [tokens|words] that [were used|occurred] [at all|before]
a seed: makes [random draws|random text|sampling] [repeatable|the same again]
fine-tuning: trains a [finished|ready] model [a little more|further]
bfloat16: is a [16-bit|short] [number format|kind of float]
head-of-line blocking: lets [one big request|somebody at the front] hold up [all|everybody] behind
shortest job first: [prefers|starts with|picks] the [smallest|shortest|quickest] [request|job]
first come, first served: [keeps|follows|respects] the order of [arrival|coming]
round robin: gives [everybody|each replica|each server] one [in turn|after the other]
"""  # noqa: E501 - a table reads best with one term per line
