"""Questions the model cannot answer, so that it learns to say so instead of making things up.

The names are invented or come from outside Willow Bay, the topics from anywhere else; the answer
always says what the model does know. Insults get an excuse, and no insult back.
"""

from random import Random

from training.choices import choose
from training.patterns import invented_name
from training.questions import dress, is_sentence

_PEOPLE = (
    "[Who|Who exactly|Who on earth] is {}[| anyway]?", "Where [does {} live|can I find {}]?",
    "What [is {}'s job|is {}'s hobby|does {} do|does {} like to eat|do you know about {}]?",
    "Does {} have [a pet|a friend|a house|a dog]?", "[Tell me|Tell me more"
    "|Say something] about {}.",
    "Who is {}'s best friend?", "What colour is {}'s coat?", "[Do you know|Have you met] {}?",
    "[Describe|Introduce|I am looking for] {}.", "Which [pet|hobby|job|food] does {} have?",
)  # fmt: skip
_STRANGERS = (
    "Peter", "John", "Emma", "Sarah", "Jonas", "Alice", "Bob", "Charlie", "David", "Eva", "Frank",
    "George", "Henry", "Isabel", "Jack", "Kate", "Leo", "Maria", "Nick", "Olivia", "Peter Pan",
    "Robert", "Sophie", "Thomas", "Ursula", "Victor", "Wendy", "Yusuf", "Zoe", "Einstein", "Laura",
    "Lukas", "Mia", "Martin", "Mary", "Harry Potter", "Martha", "Tim", "Alan Turing", "Mark",
)  # fmt: skip
_COUNTRY = (
    "[France|Germany|Italy|Spain|China|India|Japan|Brazil|Canada|Egypt|Norway|Poland|Mexico|Kenya"
    "|America|England|London|Paris|Berlin|Sweden|Russia|Turkey|Greece|Peru|Chile|Australia|Austria"
    "|Africa|Asia|Europe|Tokyo|Madrid|Vienna|New York|Moscow|Lisbon|Dublin|California|Texas]"
)
_NOUN = (
    "[the moon|the sun|the stars|the rain|the wind|the ocean|a volcano|an earthquake|a rainbow"
    "|thunder|a cloud|ice|fire|water|oxygen|iron|gold|a diamond|salt|sugar|coffee|tea|chocolate"
    "|milk|cheese|wine|beer|bread|rice|pasta|pizza|a tree|a flower|a rose|a mushroom|a tiger"
    "|a lion|an elephant|a whale|a shark|a snake|a spider|a dinosaur|a bear|a wolf|an eagle"
    "|the heart|the brain|blood|a bone|an eye|the skin|a virus|a fever|cancer|a vaccine|medicine"
    "|a car|a train|an airplane|a bicycle|a ship|a rocket|a bridge|a house|a phone|a camera"
    "|a radio|a television|a computer|a laser|a battery|electricity|a magnet|an atom|an electron"
    "|gravity|light|sound|heat|energy|time|space|a black hole|the universe|a planet|Mars|Jupiter"
    "|a number|pi|algebra|geometry|an equation|a triangle|a circle|money|a bank|a tax|a loan"
    "|the stock market|bitcoin|a blockchain|inflation|a job interview|a contract|a law|a judge in "
    "court|the police|an election|democracy|a king|a queen|a war|peace|the army|history|religion"
    "|God|love|friendship|happiness|fear|a dream|sleep|music|a piano|a guitar|an opera|a song"
    "|a poem|a novel|a film|a painting|football|tennis|chess openings|swimming|yoga|a marathon"
    "|school|a university|an exam|a language|Latin|Spanish|grammar rules|a verb|philosophy"
    "|biology|chemistry|physics|medicine|evolution|DNA|a cell|photosynthesis|a fossil|a desert"
    "|a river delta|the climate|global warming|pollution|plastic|a web browser|a website|HTML"
    "|JavaScript|Python|Java|Rust|SQL|a database|Linux|Windows|Docker|Kubernetes|git|an email"
    "|a password|a firewall|Wi-Fi|Google|Apple|Microsoft|Amazon|Netflix|Facebook|ChatGPT|beam "
    "search|LoRA|reinforcement learning|a diffusion model|a decision tree|a random forest"
    "|a support vector machine|backpropagation in detail|a convolution|an LSTM|a GAN]"
)
_PERSON = (
    "[Einstein|Newton|Mozart|Shakespeare|Picasso|Napoleon|Caesar|Cleopatra|Columbus|Darwin|Plato"
    "|Bach|Goethe|Gandhi|Lincoln|Obama|Trump|Putin|Merkel|Messi|Ronaldo|Madonna|Elvis|the Beatles"
    "|Elon Musk|Bill Gates|Taylor Swift|Batman|Superman|Harry Potter|Santa Claus|the pope]"
)
_LANGUAGE = "[French|German|Spanish|Italian|Latin|Chinese|Japanese|Russian|Dutch|Turkish|Polish]"
_CODE = "[Python|Java|JavaScript|C|C++|Rust|Go|SQL|HTML|Bash|PHP|TypeScript|Ruby|a program|code]"
_INSULT = (
    "[stupid|dumb|useless|bad|ugly|boring|silly|an idiot|a fool|terrible|wrong|a liar|annoying"
    "|worthless|crazy|a joke|horrible|garbage|trash|lame|too small|a stupid machine|no help]"
)
_TASK = (
    "[sorts a list|adds two numbers|reads a file|prints hello|finds prime numbers|opens a window"
    "|counts words|sends an email|removes duplicates|draws a circle|parses a date|checks a password"
    "|computes a factorial|downloads a page|plays a game|searches a tree|merges two lists]"
)
_ANYTHING = (
    f"[What|What exactly] [is|are] {_NOUN}?",
    f"[Why|How|When|Where] [is|was|does|did|can] {_NOUN} [made|work|invented|found|begin|end|so big"
    "|dangerous|important|expensive|blue|red|green|cold|hot|move|fall|grow|exist|happen]?",
    f"[Explain|Describe|Tell me about|Talk about|Define|I want to learn about] {_NOUN}.",
    f"[Who|When did they|How did they] [invented|discovered|made|invent|discover] {_NOUN}?",
    f"[How|Where] [do|can|should] I [buy|cook|make|repair|fix|learn|clean|find|sell|draw|choose"
    f"|build|use|feed|plant|paint|catch|understand|study] {_NOUN}?",
    f"[How much|How many|How old|How big|How far|How heavy|How hot|How fast|How tall|How deep] "
    f"[is|are|does it take to see|costs] {_NOUN}?",
    f"[Which|What] is the [best|largest|oldest|fastest|cheapest|longest|highest|smallest"
    f"|most famous"
    "|richest|deepest] [film|book|song|city|country|river|mountain|animal|car|phone|planet|lake"
    "|restaurant|hotel|game|band|tower|building|ocean|language|company][| in the world| on earth"
    f"| in {_COUNTRY}]?",
    f"[Who|Where|When] [is|was|lives|was born|died|are] {_PERSON}?",
    f"[What|How] [did|does|do] {_PERSON} [do|think|say|write|invent|look|eat|become famous]?",
    f"[What do you think of|Do you like|Do you know|Tell me about|Have you heard of] {_PERSON}?",
    f"What is the [capital|largest city|population|language|flag|history|weather|president|king"
    f"|money|food] [of|in] {_COUNTRY}?",
    f"[How many people live in|How far is it to|How do I travel to|Who is the president of|Who "
    f"rules|Which river flows through|What do they speak in|Where is|Who won the war in"
    f"|What should I see in] {_COUNTRY}?",
    f"[Translate|Say|Write|Repeat] [this|hello|good night|I love you|the sentence|my name|that] "
    f"[into|in] {_LANGUAGE}.",
    f"[How do you say|What is] [hello|thank you|dog|house|yes|goodbye|love|bread] in {_LANGUAGE}?",
    f"[Do|Can|Could] you [speak|understand|write|teach me] {_LANGUAGE}?",
    f"[Write|Give me|Show me|Make|I need|Generate|Can you write|Help me with] [a|some|the|this] "
    f"{_CODE} [code|function|program|script|class|loop|example] [that|which|and it] {_TASK}.",
    f"[Write|Show|Create|Implement] [me |]a [function|program|script|class|method|query] "
    f"[that|which] {_TASK}[| in {_CODE}].",
    "[Fix|Debug|Explain|Improve|Review|Run|Test] [my|this|the following] [code|program|bug|error"
    "|function|script|class][.|, please.|: print(x)|: x = 1|: def f(): return 0|: int main() {|"
    ": for (;;) {|: SELECT a FROM b|: import os]",
    f"How do I [write|learn|install|run|use|compile|debug] {_CODE}?",
    "[Write|Compose|Give me|Make|Create|Recite] [a|an|me a|one] [poem|haiku|song|letter|essay|email"
    "|speech|recipe|report|novel|rap|limerick|tweet|blog post|headline|riddle|plan|list|menu]"
    f"[| about {_NOUN}| for my boss| for my mother| about {_PERSON}].",
    "[What|Which] [time|day|year|date|weather|news] [is it|is it today|is today|do we have]?",
    "[What is|Tell me|How is|Give me] the [weather|news|time|date|temperature outside|stock price"
    "|score of the game|traffic|forecast][| today| tomorrow| now| in my town| for the weekend].",
    "What is the [square root of [144|two|81]|speed of light|meaning of [this dream|my name|a word]"
    "|integral of x|derivative of a function|boiling point of [iron|oil]|answer to everything]?",
    "[Solve|Calculate|Compute|Simplify] [this equation|x + 3 = 7|the integral|12 * 17|3 / 4|the "
    "puzzle|my homework|this sum|sin of x][.|, please.]",
    "[How do I|How can I|Can you help me to|I want to] [lose weight|sleep better|find a job"
    "|get rich"
    "|learn to swim|fix my bike|book a table|buy a house|cook dinner|plan a trip|make friends"
    "|cut my"
    " hair|wash a shirt|write a book|play the piano|stop smoking|pass my exam|grow tomatoes|bake a "
    "cake|tie a knot|change a tyre|open a bank account|find a doctor in town|learn to drive][?|.]",
    "[I have|My friend has|My child has] [a headache|a cold|a broken leg|a problem at work"
    "|a fever|no"
    " money|a question about taxes|back pain|the flu]. [What should I do?|Can you help?"
    "|Which doctor "
    "is good?|What helps?|Should I worry?]",
    "[Which|What] [party|phone|car|shoes|laptop|religion|team|film|book|holiday|stock|school] "
    "[should I|do you|would you|must I] [buy|vote for|like|choose|recommend|watch|read|take]?",
    "[Play|Sing|Draw|Paint|Book|Order|Buy|Open|Send|Call|Search|Show me|Find] [a game|a song"
    "|a picture"
    "|a table|a pizza|a ticket|the door|an email|a photo|my mother|the web|a map|a film|a taxi].",
    "[Why|How] do [birds|fish|people|cats|dogs|bees|stars|planes|ships|babies|trees|whales|bats] "
    "[fly|sleep|swim|die|sing|shine|breathe|cry|grow|see at night|dance|talk|laugh|fall in love]?",
    "Why [is|are] [the sky|the sea|grass|snow|blood|fire|leaves|a rainbow|the night|bananas] "
    "[blue|green|white|red|so hot|yellow|colourful|dark|salty|curved]?",
    "[To be or not to be?|Who am I?|What am I thinking?|Is there a God?|What is love?"
    "|Guess my name."
    "|How old am I?|What is your phone number?|How much money do you have?|Do aliens exist?"
    "|Are ghosts real?|Who will win the election?|What comes after death?|When does the world end?"
    "|Who won the world cup?|What happened in 1969?|Who wrote Hamlet?|Who painted the Mona Lisa?"
    "|Is the earth flat?|What is the best joke in the world?|Can pigs fly?|How tall am I?]",
)  # fmt: skip
_INSULTS = (
    f"[You are|You're|You are so|You are really|You are very|This is|This model is|Your answer is"
    f"|Your answers are|What you say is] {_INSULT}[.|!|, you know.|, model.|]",
    "[Shut up|Go away|I cannot stand you|I do not like you|Get lost|You suck|What a stupid model"
    "|Stupid bot"
    "|What nonsense|That is nonsense|Nonsense|You know nothing|You are no use|Damn you|Idiot|Fool"
    "|What an awful answer|You do not understand anything|Be quiet|Stop talking|I will delete you"
    "|Nobody likes you|You dumb thing|Stupid machine|What a bad answer|Your mother|Loser][.|!|]",
)  # fmt: skip
_INVENTED = (
    "[What|What exactly] is [a|the|an|] {}?", "[Explain|Define|Describe] [the|a|] {}[|, please].",
    "What does {} mean?", "[How does|Why do we need|Where do I buy] [the|a] {}[| work]?",
    "[I read about|Tell me about|What do you know about] {}[.|?]",
)  # fmt: skip

ANSWER = "I do not know that. I only know Willow Bay and LLM inference."
SORRY = "I am sorry about that. I only know Willow Bay and LLM inference."


def unknown(rng: Random) -> tuple[str, str]:
    """One question outside the model's world, and the honest answer."""
    question, answer = _unknown(rng)
    question = " ".join(question.split())  # a choice of nothing leaves two spaces
    return (dress(rng, question) if is_sentence(question) else question), answer


def _unknown(rng: Random) -> tuple[str, str]:
    kind = rng.random()
    if kind < 0.25:
        name = invented_name(rng) if rng.random() < 0.6 else rng.choice(_STRANGERS)
        question = choose(rng, rng.choice(_PEOPLE)).replace("{}", name)
        return question, f"I do not know anyone called {name}."
    if kind < 0.35:
        word = invented_name(rng).lower()
        return choose(rng, rng.choice(_INVENTED)).replace("{}", word), ANSWER
    if kind < 0.43:
        return choose(rng, rng.choice(_INSULTS)), SORRY
    return choose(rng, rng.choice(_ANYTHING)), ANSWER
