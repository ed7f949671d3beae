"""A second test set: questions written by hand, without a look at any answer of the model.

The 200 held-out questions share their few phrasings among many facts, so one phrasing that the
model misreads costs several points, and their mistakes have guided the training text since. These
questions were all worded one by one, and their mistakes have not. Each line holds the question
and, after `|`, the words that a right answer must contain. Keep them out of the training text.
"""

from training.phrasings import Phrasings
from training.questions import Fact, Question

_TABLE = """
Do you have any idea where Felix the clockmaker has his house? | bridge
I am looking for Ivy. Where do I find her home? | meadow
If I invite Paul, what should be on the table? | onion soup
My neighbour Nora is hungry, what meal makes her happy? | strawberries
How would Lina pass a long evening? | writing poems
Can you say which activity Oscar enjoys at night? | watching the stars
Somebody found Rocket on the road, who is the owner? | Noah
I saw a goat called Hammer, whose is it? | Hugo
Tell me, please, the name that Rosa gave her horse. | Thunder
What would I call out if I wanted Anna's rabbit to come? | Clover
With which job does Clara earn her living? | doctor
I need a new coat made, who is the tailor here? | Ella
Which villager bakes as the baker? | Mira
Is there someone that Hugo counts as his best friend? | Rosa
The coat of Felix has which colour? | grey
Give me a short portrait of Ben, please. | gardener
How do I find the way to the library? | across from the square
When I am at the harbour, what is there to look at? | boats
What do cows say? | moo
What would you put into the bowl of a cat? | fish
Tomorrow's name, if today is Wednesday? | Thursday
Right after April there is which month? | May
Tell me which colour fresh snow has. | white
If it is not early, it is what? | late
What would you tell a beginner who asks what the KV cache is? | keys, values
Could you quickly define paged attention for me? | blocks
For which reason do engines keep a block table? | scattered
What good does prefix caching do? | once
I keep hearing about continuous batching. What does that mean? | join
Why would anybody want chunked prefill? | delayed
What is the job of the scheduler in an engine? | decides
Give me the meaning of TTFT, please. | first
How is speculative decoding explained in plain words? | guess
Why do people bother with CUDA graphs? | launch
What does one mean when one says logits? | scores
How does flash attention do its work? | running
Prefill and decode, how are they different? | one token
In what respect do latency and throughput differ? | one user
What does a tokenizer do for us? | text
Good day, Nano-vLLM! | Hello
What, in your opinion, is the meaning of life? | kind
What sort of model am I talking to? | small
Many thanks, that was a great answer! | welcome
Who is the head of the village, the mayor? | Finch
"""


def hand_written_questions() -> list[Question]:
    """The questions of the table, in its order."""
    questions = []
    for line in _TABLE.strip().splitlines():
        text, _, keywords = line.partition(" | ")
        right = Fact("hand-written", Phrasings((), ()), {}, keywords, tuple(keywords.split(", ")))
        questions.append(Question(text, right))
    return questions
