"""Phrasings with choices (`choices.py`), for training alone: a few lines make many thousand.

A model of this size learns to find its fact behind wordings that it has never seen, if hardly two
of those that it has seen are alike. Same kinds and slots as in `phrasings.py`, which reads them.
"""

VARIED = """
job
[what|which] [job|work|profession|trade|occupation] does {name} [have|do|follow|pursue][| in Willow Bay| in the village| all day]?
how does {name} [earn|make] [a living|money|bread|some money]?
what does {name} do [for work|for money|all day|from morning to evening|in Willow Bay|by profession]?
[with what|by what|from what] does {name} [earn a living|live|make money]?
what is {name} [by trade|by profession|in the village|in Willow Bay|for a living]?
[what|where] does {name} work[| as| at]?
[which|what] [craft|trade|profession] is {name}'s?
does {name} have a job[|, and which one| of some kind]?
[I met|I saw|I know|I like] {name}[. What is the job?|. What work is that?|, which job is it?|, but what does {name} do?]
[what|which work] [keeps {name} busy|brings {name} money|fills {name}'s day|puts bread on {name}'s table]?
{name}'s [job|profession|work|trade|occupation][?|, please.| is what?|, what is it?]

who_job
who [is|works as|acts as|has work as|serves as|is employed as] the {job}[| here| of the village| in Willow Bay| around here]?
[who|which person|which villager|which of the people] is [your|our|the village's|the local] {job}?
[what is|tell me|say|give me] the name of the {job}[| of Willow Bay| here].
[I need|I am looking for|I want to see|we need|I must talk to|where do I find] [the|a] {job}[. Who is it?|, who is that?|. Which person do I ask?|, whom do I ask?|. What is the name?]
[somebody|one person|someone] here is the {job}[, who?|. Who is it?|, but who?]
the {job} [is who?|is called what?|has which name?|, who is that?]
[name|tell me] the {job}[| of Willow Bay| of the village].
[something|my house|my garden|my boat|my letter|my cake] [is broken|needs help|is lost|needs care]. [Who|Which villager] is the {job}?
whom [do|should|can] I ask for [the|a] {job}?
[whose job is|who does the work of] the {job}?

home
where [does {name} live|is {name}'s house|is {name}'s home|does {name} stay|is {name} at home|is the house of {name}|does {name} sleep]?
[near|next to|close to|by] [what|which place|which building] does {name} [live|stay|have a house]?
[in which part|in what part|on which side] of [the village|Willow Bay] does {name} live?
[I want|I would like|I need|how do I go|which way is it] to [visit|see|find|meet] {name}[. Where do I go?|. Where is the house?|, where do I have to go?|. Where should I look?|?]
[I have a letter for|I have a present for|I am going to visit|I search] {name}[. Where is the house?|, where is that home?|. Where is it?|, where do I go?]
[where|near what] [would|could|can|might] [I|one|we|somebody] [find|meet|visit|reach] {name}[| at home]?
{name}'s [home|house|address|place][?| is where?|, where is it?]
[what is|tell me|do you know] {name}'s [address|home|place].
where {name} [has a house|has a home|can be found|is at home|stays]

food
what does {name} [like|love|want|prefer|enjoy|choose] to eat[| best| most| most of all| for dinner| for lunch]?
[which|what] [food|meal|dish|dinner|lunch|thing to eat] does {name} [like|love|prefer|enjoy|want|choose][| best| most| most of all| above all]?
[which|what] [food|meal|dish|dinner] [is|would be] {name}'s [favourite|best|first choice]?
what [should|could|can|do|must|would] [I|we|you|one] [cook|make|bake|prepare|serve|bring|give|offer] [for |]{name}[| to eat| for dinner| tonight| on a birthday]?
what [makes|would make] {name} [happy|glad|smile] at [dinner|lunch|the table]?
[I invite|I invited|I want to cook for|I have dinner with|we cook for] {name}[. What should I make?|. What do I cook?|, what should there be to eat?|, what do I put on the table?]
{name} [must be|is always|looks] [fond of|happy with] [which|what] [food|meal]?
{name} is [hungry|coming to dinner|here to eat][, what now?|, what do I cook?|. What does {name} like?|, which food is right?|. What should I make?]
what [is on|lies on|do you see on] {name}'s [plate|table]?
{name}'s [favourite|best loved|preferred] [food|dish|meal][?| is what?|, what is it?]
what {name} [likes to eat|eats most gladly|wants for dinner]

hobby
what does {name} [like|love|enjoy|prefer] [to do|doing][| in the evening| after work| at night| for fun| in free time| on Sundays| all evening]?
[which|what] [hobby|pastime|activity] does {name} [have|enjoy|like|love|prefer][| most| best| in the evening]?
how does {name} [spend|fill|use] [the evening|an evening|free time|a free day|long evenings|the time after work]?
what [does|would|will] {name} do [for fun|in the evening|after work|with free time|on a free evening|for pleasure|when work is done]?
[what|which thing] [is|would be] {name}'s [hobby|pastime|pleasure|favourite activity|favourite thing to do]?
[when|after] work is [done|over][, what does {name} do?|, how does {name} relax?]
{name} has [a free evening|time|nothing to do|a day off][, what will happen?|. What will {name} do?|, what does {name} like to do?]
{name}'s [hobby|pastime|free time][?| is what?|, what is it?]
what [would|will|might] {name} [start|begin|go for] [once|when|as soon as] [the door is closed|the day is over|nobody is watching|it gets dark]?
[where|how|with what] [can|do] I see {name} [happy|relaxed|busy] [in the evening|at night]?
what {name} does [for fun|after work|in the evening]

pet
[which|what] [animal|pet|kind of animal|sort of pet] does {name} [have|own|keep|live with|care for|feed|look after]?
does {name} [have|own|keep|feed] [a pet|an animal|any pet][|, and which one| at home]?
[which|what] [animal|pet] [is|lives] [with|at home with|in the house of] {name}?
[which|what] animal belongs to {name}?
what [kind|sort] of [pet|animal] is {name}'s?
[who|which animal] [keeps {name} company|waits at home for {name}|lives in {name}'s house]?
{name}'s [pet|animal][?| is what?|, what is it?]
[which|what] [creature|animal|beast|sort of animal|four legs or wings] [sleeps|lives|eats|stays] [in|at] {name}'s [house|home|place]?
does {name} [have|keep|own] [a dog|a cat|a bird|a horse|a fish][| or something else| or which pet]?
which pet {name} [has|keeps|owns]

pet_name
what is [the name of|the name for] {name}'s {pet}?
[what|how] is {name}'s {pet} [called|named]?
[what|which] name [does|did] {name} [give to|use for|have for|choose for] [the|a] {pet}?
what does {name} call [the|this] {pet}?
[tell me|say|give me|I forgot|what was|do you know] the name of {name}'s {pet}.
{name} has {article_pet}[. What is it called?|, what is its name?|. Which name does it have?|, how is it called?]
[how|what] do [I|you|we|people] call {name}'s {pet}?
to which name does {name}'s {pet} listen?
{name}'s {pet} [has which name?|is called what?|, what is the name?]

owner
[who|which person|which villager] [owns|has|keeps|feeds|lives with|takes care of|looks after] {pet_name}[| the {pet}]?
[to whom|whom] does {pet_name}[| the {pet}] belong[| to]?
whose [pet|animal|{pet}] is {pet_name}?
who is the [owner|master|friend|human] of {pet_name}[| the {pet}]?
[I found|I met|we saw|there is] [{pet_name}|{pet_name} the {pet}][. Whose is it?|, who is the owner?|. Whom does it belong to?|, whose pet is that?|. Who is looking for it?|. Who owns it?]
{pet_name} [ran away|is lost|sits at my door|is here|is alone][, whom do I tell?|. Who is the owner?|, whose is it?]
{pet_name}'s [owner|master][?| is who?|, who is it?]
who has {pet_name} at home?

friend
who is {name}'s [best |closest |dearest |good |]friend?
[who|which person] [is|would be] [a|the|the best|the closest] friend [of|to|for] {name}?
[with whom|with which person] is {name} [friends|best friends|close]?
[who|which villager] does {name} [like best|trust most|call a friend|meet most often|have as a friend]?
does {name} have a [best |close |good |]friend[|, and who is it| here]?
[who|which person] [knows|understands] {name} [best|better than others]?
[which|what] [friend|best friend] does {name} have?
[who|which villager|which person] does {name} [get on with|understand|meet|talk to|visit] [best|most]?
[who|which person] is [closest|dearest|nearest] to {name}?
{name}'s [best |closest |]friend[?| is who?|, who is it?|, what is the name?]
[who|whom] should I ask about {name}'s best friend?
whom {name} [likes best|calls a best friend|is friends with]

coat
[which|what] [colour|color] [is|has] {name}'s coat?
[which|what] [colour|color] does {name}'s coat have?
[which|what] [colour|color] of coat does {name} [have|wear|own|put on]?
[in|of] [which|what] [colour|color] is [the coat of {name}|{name}'s coat|the coat that belongs to {name}]?
[which|what] coat does {name} [wear|own|put on|have|go out in][| every day| outside| when it is cold]?
[how|by which coat|by what colour] [do|can|will] [I|we|you] [recognise|know|find|spot] {name}[| in a crowd| from far away]?
[what|which kind of coat] does {name} [wear|have on|put on] [outside|in winter|when it is cold|every day]?
{name}'s coat[?| is which colour?|, what colour?| has which colour?]

person
[who|who exactly|who on earth|who in the world] is {name}[| really| then| again| please]?
[tell|teach|show] me [something|a little|a bit|more|all|everything|what you know] about {name}[|, please].
[describe|introduce|present|portray|sketch] {name}[| for me| briefly| in two sentences| to me|, please].
[give|write|make] [me |]a [short |brief |little |small |][picture|description|sketch|profile|summary] of {name}[|, please].
what [can|could|do|would] you [say|tell me|tell us|report] about {name}?
[I do not know|I never met|I have not met|I want to know|I would like to meet|I want to meet|I heard of] {name}[. Who is it?|, who is that?|. Tell me more.|. What kind of person is that?|.]
[do|can] you know [anything|something|a person] [about|called] {name}?
what [should|must|do] I know about {name}?
{name}[?|, who is that?|: who is it?|, please.]

location
where [is|stands|lies|can I find|do I find|would I find|should I look for] the {place}[| of the village| in Willow Bay| here]?
[how|which way] do [I|we] [get|go|come|walk|find the way] to the {place}[| from here| on foot]?
[in which part|in what part|on which side|at which end] of [the village|Willow Bay] is the {place}?
[I am looking for|I want to go to|I have to be at|I need|I cannot find|show me the way to|take me to] the {place}[. Where is it?|, where is that?|. Which way is it?|. Where do I go?|.]
[what|which way] is [the way|the right way|the path|the road] to the {place}?
the {place}[, where is it?| is where?|: where does it stand?|, please: where?]
[excuse me, |sorry, |]is the {place} [near|far]?
what is the [place|position|location] of the {place}?
[direct|guide|lead|bring|send] me to the {place}[|, please].
[I am lost|I am a stranger here|my map is bad], [which way is|where is|how do I get to] the {place}?
to [reach|find|see] the {place}[, where do I go?|, which way do I take?]
where the {place} [can be found|stands|lies]

feature
what [is|can be found|can be seen|do people see|do you see|is there|does one see|will I see|will you see] [at|in|near] the {place}?
what [can|could|will|would|should|do] [I|we|you|one|people] [see|look at|find|discover|visit|admire] [at|in] the {place}?
what is [special|nice|interesting|remarkable|famous|beautiful|worth seeing] [at|about] the {place}?
what [does|can] the {place} [have|show|offer|hold]?
[if|when] I [go to|visit|come to|walk to] the {place}[, what do I see?|, what do I find?|, what will be there?]
why [should|would|do|does] [I|one|we|people|anybody] [visit|go to|walk to|look at] the {place}?
[describe|show me|tell me about] the {place}[|, please| a little].
what [does it look like|is it like] at the {place}?
what do [people|visitors|guests] [come to see|look at|find] at the {place}?
[is|would] [it|a visit|a walk] [worth it|good|nice] to go to the {place}[, and what is there?| and why?|, what do I see?]
[my children|my guests|we|my friends] want to see the {place}[. What is there?|. What will they find?|, what do they see?]

sound
[what|which] [sound|noise|call] does {a_animal} [make|give|have]?
[what|which] [sound|noise] [comes from|do you hear from|is made by|would I hear from] {a_animal}?
how does {a_animal} [sound|go|call|speak|talk]?
what does {a_animal} [say|call|shout|tell us|sing][| all day| to you| in the morning]?
{a_animal} [says what?|makes which sound?|, what does it say?|: which sound?]
[imitate|do|make] the sound of {a_animal}[|, please].
what [would|will] {a_animal} say[| to me]?

diet
what does {a_animal} [eat|like to eat|want to eat|feed on|live on|need to eat|love to eat]?
[what|which] [food|meal|thing] [does {a_animal} like|does {a_animal} eat|is right for {a_animal}|is good for {a_animal}|do I give to {a_animal}]?
what [should|do|can|could|would|must] [I|you|we|one] [give|feed|offer|bring|put in front of] {a_animal}[| to eat]?
[how|with what] [do|should|can] [I|you|we] feed {a_animal}?
[there is|I have|I found|I keep] {a_animal}[, what should it eat?|. What does it eat?|, what food do I buy?|. It is hungry, what now?]
{a_animal} is hungry[, what does it want?|. What do I give it?|, what should I do?]

lair
where does {a_animal} [live|sleep|rest|stay|have its home|spend the night|make its home]?
where [is|would be] the [home|house|bed|place|nest] of {a_animal}?
where [can|could|should|would|do] [I|we|you|one] [find|see|look for|meet|search for] {a_animal}?
[in|at|on] [what|which] [place|spot] does {a_animal} [live|sleep|stay|rest]?
{a_animal} [lives where?|sleeps where?|, where is its home?]
where [does one|do people] find {a_animal}?

what
[what|and what|so what|now what] [is|would be|was] {x}[| again| exactly| really| actually| then| in the end]?
what [is meant by|do you mean by|do people mean by|does one understand by|do engineers mean by|does it mean to say|do we call|do they call] {x}?
what does {x} [mean|do|stand for|refer to|describe|mean here|actually do|really mean|do for us|do in an engine]?
[I|we] [keep hearing|keep reading|hear|just read|just heard|have heard|read] [about|of] {x}[| in the lesson| in the docs| everywhere| today| at work][. What is it?|. What is that?|. What does it mean?|, what is that?|, but what is it?|. Can you explain it?|. Please explain.|. Help me understand.]
[the lesson|the glossary|my teacher|a friend|somebody|this page|the notebook|the viewer|the text|my book|a colleague|the code] [mentions|talks about|speaks of|shows|says|calls something|contains|uses] {x}[, what is that?|. What is meant?|. What does it mean?|. I do not get it.|, and I am lost.|, can you explain it?]
[how|in which words] [would|could|can|do|should] [you|one|I|we] [explain|describe|define|sum up|introduce|put] {x}[| in plain words| to a child| to my grandmother| to somebody new| in one line| in two sentences| to a student]?
[how is|how would|how can] {x} [be explained|be defined|defined|described|be described][| in plain words| in short| for beginners]?
[give|write|send|show|tell] me [a|one|the] [short |brief |quick |simple |clear |][definition|explanation|description|summary|idea] of {x}[|, please].
[tell|teach|show] me [something|more|a bit|a little|everything|what you know] about {x}[|, please| now].
{x}[?|, please.|: what is it?|: meaning?|, what is that?| explained simply, please.|, in one sentence.|, in short.|, what does it mean?|, what is it again?]
[do|can|could|would|will] you [tell me|explain|say|explain to me|teach me|show me] what {x} [is|means|does|is about|stands for|is all about]?
[I have no idea|I never understood|I do not understand|I forgot|I cannot remember|it is not clear to me|I am not sure|I wonder] what {x} [is|means|does|is about].
[define|explain|describe|clarify|summarise|sum up|introduce|outline] {x}[| for me| briefly| in simple terms| to a child|, please| in your own words| quickly| in plain English| in short].
[could|can|would|will] you [briefly |please |shortly |][define|explain|describe|clarify|summarise|introduce] {x}[| for me| to me| for a beginner|, please]?
what [kind|sort] of [thing|idea|concept|technique|word|number] is {x}?
what is the [meaning|definition|idea|role|task|sense|content|gist|essence] of {x}[| in an engine| in inference| in short]?
what do [I|we|you|people] [need to know|have to know|understand|learn] about {x}?
[is|was] {x} [a good thing|something to learn|important to know]? What is it?
[what one calls|what people call|the thing that is called] {x}[, what is it?|: can you explain it?]
[I am stuck at|I am confused by|I stumbled over|I came across|I am puzzled by|I am reading about] {x}[.|. What is it?|. Please help.|, what is that?|. What does that mean?]
what {x} [really is|is about|is supposed to be|is in plain words|actually means]

why
why [do|would|should|does] [we|you|engines|people|anybody|one|an engine|anyone|they|I] [need|use|want|have|care about|like|choose] {x}[| at all| in the first place| here]?
why is {x} [useful|needed|good|important|necessary|helpful|there|a good thing|worth it|so important|so useful][| at all| for an engine]?
what is [the use|the point|the purpose|the benefit|the advantage|the good|the reason|the aim|the value|the gain] of {x}[| at all| in an engine]?
what [good|use|help] [is|does] {x}[| do]?
[for what reason|to what end|for what] do [engines|people|we|engineers] [use|have|need|keep|want|employ] {x}?
[what|which] [problem|trouble|difficulty] [does|would|is] {x} [solve|avoid|remove|solved by|cure]?
what [happens|goes wrong|would happen|would be missing|do we lose|would we lose] without {x}?
what [do|does|can|would] [we|one|I|an engine|people|users] [gain|win|get|profit] [from|by|with|out of] {x}?
how does {x} [help|pay off|improve things|make things better|make an engine better|make it faster]?
what [makes|is it that makes] {x} [useful|good|important|worth it|so good]?
[what speaks for|what are the good sides of|what are the advantages of|what are the benefits of using|give me a reason for|tell me the reason for|name one advantage of|give me the advantage of] {x}.
[is|are] there [a|any] [reason|reasons|advantage|benefit] [for|of|in] {x}?
[who needs|who wants|who cares about] {x}[, and why|][|, really]?
why [not go|can we not do|can an engine not live] without {x}?
{x}[, but why?|: what for?|, what is it good for?|: why?|, why do we need it?|, why is it needed?]
[I see no|I do not see the|I do not understand the|what would be the|where is the] [use|point|sense|reason|benefit] of {x}.
why {x} [is needed|is a good thing|pays|exists|is used]

how
how does {x} [work|function|run|do it|operate|go][| inside| in detail| exactly| really| in an engine| under the hood| internally]?
how [is|would|can] {x} [done|made|implemented|built|realised|carried out|be done|be implemented][| in an engine| in practice]?
[explain|describe|show me|tell me|walk me through|sketch|outline] how {x} [works|is done|is implemented|functions][| in detail| inside|, please].
what [happens|is done|goes on|is going on] [during|in|inside|inside of|behind|with] {x}[| step by step]?
[in which|what are the|which are the] steps [does|of|in] {x}[| work]?
[what|which] [mechanism|machinery|method|trick] is behind {x}?
how [do|would|could|should|can] [I|you|we|engines|one] [implement|build|do|realise|program|write] {x}?
{x}[: how does it work?|, how is it done?|, how does that work?|: what happens inside?]
[I want to know|I would like to see|I do not understand|I wonder|it is not clear to me] how {x} works.
how {x} [is done|is implemented|works in detail]

difference
what is the [main |real |big |exact |only |]difference between {a} and {b}[| in short| in one sentence]?
[how|in what|in which way] [do|are|would] {a} and {b} [differ|different|not the same]?
how [is|does] {a} [different from|differ from|unlike|not the same as|not like] {b}?
[compare|contrast|tell apart|distinguish] {a} [and|with|from] {b}[|, please| for me].
{a} [or|and|versus|vs|against] {b}[?|: what is the difference?|, how do they differ?|, what is the difference?|: compare them.]
[are|is] {a} [and|the same as|the same thing as|just another word for] {b}[| the same| the same thing|]?
[what|which thing] [distinguishes|separates|sets apart] {a} [from|and] {b}?
[I mix up|I always confuse|I cannot tell apart|I keep mixing up] {a} and {b}[.|, help me.|. What is the difference?|. How are they different?]
[why|when] [is|would] {a} not [the same as|be] {b}?
[where|what] is the difference[, |: ]{a} or {b}?
how {a} and {b} are different
{a} [and|or] {b}[: are they alike?|, is that one thing?|: where do they part?|: which is which?|, is there a difference?|, which does what?]
[when|why] [would|should|do] I [take|say|use|choose] {a} [rather than|instead of|and not|over] {b}?

next_day
[which|what] day [comes|is|follows] [right |just |directly |]after {day}?
[if|when|because] [today is|it is|yesterday was not|this is] {day}[, what is tomorrow?|, which day is tomorrow?|, what day comes next?|, which day will come next?]
[today is|it is|now it is] {day}[. What day is tomorrow?|. Which day comes next?|, and tomorrow?|. And tomorrow?]
[what|which day] [comes|follows|is next] after {day}?
{day} is [followed by which day?|the day before which day?|over, which day starts?]
[name|tell me] the day [that comes |]after {day}.

next_month
[which|what] month [comes|is|follows] [right |just |directly |]after {month}?
[if|when] [it is|this month is|we are in|now is] {month}[, what is the next month?|, which month comes next?|, which month follows?]
[what|which month] [comes|follows|is next|is there] after {month}?
{month} is [followed by which month?|the month before which month?|over, which month starts?]
[name|tell me] the month [that comes |]after {month}.
[it is|now it is] {month}[. Which month is next?|. What is the next month?]

colour
[which|what] [colour|color] [is|has] {thing}?
[which|what] [colour|color] [does|would] {thing} have?
[tell me|name|say|do you know] [the|which] [colour|color] of {thing}.
[how|in which colour|with what colour] [do|would|should] [you|I|one] [paint|draw|colour] {thing}?
{thing}[, which colour is it?|: what colour?| is which colour?| has which colour?]

opposite
[what|which word] is the [opposite|contrary|antonym|reverse] of {word}?
[which|what] word [means|says] the [opposite|contrary|reverse] of {word}?
[what|which word] is [opposite|contrary] to {word}?
[tell|give] me the [opposite|contrary|reverse] of {word}.
{word}[ and its opposite?|: what is the opposite?| or what?]
what do you call [it|something] that is not {word}?
"""  # noqa: E501 - a table reads best with one phrasing per line
