"""More phrasings with choices, in the notation of `varied.py`: where the first ones were misread.

After a training run, questions for what a term is were taken for questions how it works, and two
terms in one question for one of them. So here are more ways to ask for each, above all such as
begin with another word than the answer makes one expect: "How should I picture a radix tree?".
"""

MORE_VARIED = """
job
what [is|was] {name} [employed|hired|paid] [as|for|to do]?
what does {name} get [paid for|money for|a wage for]?
[what|which] [line of work|business|trade|branch] is {name} in?
what is {name}'s [role|position|function|duty|calling] in [the village|Willow Bay]?
what [pays|covers] {name}'s [bills|rent|bread]?
[when|if] {name} goes to work, what [is done there|does {name} do there|kind of work is it]?
what would be [written|printed] [on {name}'s card|over {name}'s door]?

home
where [do letters for|do parcels for|do guests of] {name} [go|have to go|arrive]?
where would [the mail|a letter|a parcel|a guest] [find|reach] {name}?
[close to|near|beside] what [is|lies|stands] {name}'s [bed|door|front door|roof|house]?
[what|which] [landmark|spot|building] [is|stands] [next to|close to|near] {name}'s [house|home|door]?
to which place does {name} [go home|return|walk back] [at night|in the evening|after work]?
[when|if] {name} goes home, where is that?

food
what would {name} [pick|choose|take|order] from [a menu|all dishes|the kitchen]?
what [makes|gets] {name}'s mouth water?
[what|which] [smell|pot|dish] [draws|brings|calls] {name} to the [kitchen|table]?
what [goes|should go|has to go] into {name}'s [bowl|lunch box|basket]?
with [what|which dish|which meal] [do|can|could] I [please|delight|surprise] {name}[| at the table| at dinner]?

hobby
what does {name} do to [unwind|relax|have fun|feel good|forget work]?
how does {name} [unwind|wind down|rest|have a good time|enjoy life][| after hours| at the end of the day]?
what is {name} [into|keen on|mad about|good at] [after work|in the evening|in spare hours|when off duty]?
[off duty|in spare hours|on weekends|after hours|once the work is done], what does {name} [do|like|enjoy]?
[if|when] I [ring|call|drop in|visit] in the evening, what [is {name} doing|do I find {name} doing|will {name} be at]?
[leisure|free time|fun] for {name}[: what is it?| means what?|, what would that be?]

pet
[which|what] animal [greets|welcomes|waits for|runs to] {name} [at the door|at home|in the evening]?
[which|what] [creature|companion|animal] does {name} [come home to|share the house with|stroke|talk to]?
is {name} a [cat|dog|bird|horse] person[|, or what else]?
what does {name} [feed|stroke|brush|take care of] at home?
[fur, feathers or fins|four legs or two]: what [animal |]does {name} [have|keep]?

friend
[who|which villager] does {name} [hang out with|confide in|spend most time with|tell everything|walk with]?
[who|whom] would {name} [invite|call|tell|help|visit] first?
[who|which person] [stands|is] by {name}[| in good times and bad| above all others]?
[with|to] whom does {name} [share secrets|talk most|laugh most|go for a walk]?
[who|which of the villagers] and {name} are [friends|inseparable|always together|close]?

coat
[which|what] [colour|color] [do I look for|should I look for|must I look out for] [if|when] I [search|seek|want to spot|wait for] {name}?
[what|which] [colour|color] [hangs|is seen] [at {name}'s door|on {name}'s back|on {name}]?

who_job
[who|which villager] [would I hire|do I call|should I see] [as|if I want] the {job}?
[behind|under] the [title|name|job] of {job}[, who is it?| is which person?]

person
[what|which] [is the story|things are known|do people say] [of|about] {name}?
[give|send] me [the facts|the basics|a word|a line|two lines] [on|about] {name}[|, please].
[acquaint|help] me with {name}[|, please].

what
how [should|must|may|can|could|do] [I|one|we|you] [understand|picture|imagine|think of|see|read|take] {x}[| at all| best| here]?
how would [a dictionary|a glossary|a textbook|a teacher|an engineer|an expert] [define|put|explain|describe] {x}?
what would [a dictionary|a glossary|a textbook|a teacher] [say|write] [about|under|on] {x}?
what does the [word|term|name|expression|phrase|notion] {x} [mean|stand for|refer to|say|describe|tell us]?
what [goes by|is meant with|hides behind|is behind|is called by] the [word|name|term|notion] {x}?
[put|say|explain|phrase|state] {x} [another way|in other words|so that I get it|without jargon|for dummies|like I am five|in plain speech][|, please].
I [still |really |][do not get|cannot picture|cannot make sense of|struggle with|fail to grasp|am lost with|know nothing about|have never heard of] {x}[.|. Help!|. Explain it.|, sorry.|. What is it?|, so what is it?]
what [role|part] does {x} play[| in an engine| in inference| here]?
what [job|task|duty|function] does {x} have[| in an engine| here]?
{x} in [a nutshell|one line|ten words|a sentence|plain words|brief][?|, please.|.]
[refresh my memory|remind me|enlighten me|fill me in|brief me] [about|on] {x}[|, please].
what [is kept|is stored|is found|is held|is] in {x}[| exactly]?
[when|if|whenever] [somebody|an engineer|the viewer|a lesson|my boss] [says|mentions|shows|writes] {x}, what [do they mean|is meant|does that mean|is it]?
[suppose|imagine|say] I [am new|know nothing|am ten years old|never saw an engine]: what is {x}?
is {x} [a kind of|a sort of|some] [memory|program|number|method|list|data|rule|part], or what [is it|else]?
what is [special|new|the main point|the whole idea|the thing|the deal|the story] [about|with] {x}?
{x} [refers to what?|means what?|is what exactly?|stands for what?|, meaning what?|, explained?|, no idea.|is what, please?]
what, [in short|please|then|exactly|in your words], is {x}?
[a|one] [word|line|sentence] [on|about] {x}[, please|, if you can|].
[how|what] do [I|you|we] [tell|say to|answer] [somebody|a child|my boss|a friend] who asks [about|for] {x}?
[what|which] [thing|idea|concept] [do|would] [people|you|we|engineers] [call|name] {x}?
[what|how] [is|would you say is] {x}, [if you had to say it|if anything|simply put|seriously]?
[how|what] would you [answer|say] [if|when] I ask [about|for the meaning of] {x}?
[does|has] {x} [have |]a meaning[, and which one| here]?
[how|where] does {x} [fit in|come in|belong]?

why
why [bother with|go to the trouble of|invest in|be interested in|insist on|introduce|add|build|do] {x}[| at all]?
what [would|will|might|could] [break|go wrong|be worse|be slower|suffer|be lost|fail] [without|if there were no|if we dropped|if we had no|if nobody had] {x}?
[how|in what way] [does|would|can|could] [an engine|a server|a user|anybody|one] [benefit|profit|gain] from {x}?
[how|in what way|to what extent] is {x} [an improvement|helpful|useful|of use|good for us|worth the effort|a win|an advantage]?
[how|in what way] does {x} [save time|save memory|pay|make sense|make life easier|do any good]?
what [does|would|will|can] {x} [buy us|bring us|save us|spare us|give us|improve|make better|bring]?
what [motivates|justifies|is the motivation for|is the reasoning behind|explains the need for|argues for|was the reason for] {x}?
[could|can|would] [we|one|an engine|a server] not [do|live|work|get by|run] without {x}?
[do|must] [we|engines|I] [really|truly|always] [need|want|have] {x}[|, and why]?
what [made|makes|drives] [engineers|people|us|an engine] [want|use|invent|add|choose|have] {x}?
why was {x} [invented|added|built|introduced|created|thought of]?
[suppose|imagine] [there were no|we removed|an engine without|I switch off] {x}[. What then?|, what would happen?|. What would be worse?|. What do we lose?]
[convince|persuade|show] me that {x} [is needed|is useful|is worth it|makes sense].
what [need|demand|wish|problem] [led to|calls for|is behind|is met by] {x}?
what [harm|damage|trouble] [does|would] {x} [prevent|avoid|keep away]?
[because of what|thanks to what|for which benefit] [do|would] [we|engines|people] [use|want|keep] {x}?

how
by what [means|mechanism|steps|method] does {x} [work|do its job|get done]?
what is the [mechanism|algorithm|procedure|recipe|method] [of|behind|for] {x}?
[give|show|write] me the [steps|algorithm|procedure|recipe|mechanics] [of|for|behind] {x}[|, please].
what [goes on|happens] under the hood of {x}?
[take|lead|guide] me through {x}[ step by step|, please| in detail].
[which|what] [calculation|procedure|operations|steps] [does|are done for|are behind] {x}[| take| need| do]?
how [in detail|technically|concretely|mechanically] does {x} [work|happen|proceed]?

difference
[is|are] {a} [just|only|simply|merely|really|not] {b}[| under another name| in disguise|, or not| again]?
I thought {a} [was|were|meant] {b}[.|, no?|. Is that wrong?|. What is the difference?|, but it is not?]
[when|if] [I|we] have {a}, do [I|we] [still |]need {b}?
[contrast|set|put|hold|line up] {a} [against|next to|beside|with] {b}[|, please].
[what|which thing] [sets|keeps|holds] {a} apart from {b}?
{a} is not {b}[, why?|, or is it?|. How so?|. What is the difference?|, so what is different?]
[people|some|beginners|the others|my friends] [mix up|confuse|distinguish|speak of] {a} and {b}[.|. What is right?|. How do they differ?|, why?|. Which is which?]
what do {a} and {b} [not have in common|not share|do differently]?
[tell|show|teach] me how [to tell|one tells|to keep] {a} and {b} apart.
how [are|do|would] {a} and {b} [related|relate|compare|different|to be told apart|not alike]?
[between|of|with] {a} and {b}, [what|where] is the [line|border|difference|distinction|gap]?
{a} as opposed to {b}[?|, please.|: what is different?]
[does|do] {a} mean [the same|something else] [as|than] {b}?
which [one |]is which[:|,] {a} [and|or] {b}?
where does {a} [end|stop] and {b} [begin|start]?
one [says|book says|person says] {a}, [another|the other] {b}[: same thing?|. What is the difference?|. Are they the same?]
[what|how] does {a} do [differently|other] [from|than] {b}?
[what|which] [distinction|line] [is drawn|do we draw|do engineers make] between {a} and {b}?
[how|why] do [we|you|people] [distinguish|separate|tell] {a} from {b}?
[explain|describe|say] {a} and {b} [in comparison|side by side|and how they differ|next to each other].
[is|are] there [any|a] [real |big |]difference [between|in] {a} and {b}?
[what|how] [changes|is different|is new] [if|when] [I|we] [go|move|switch] from {a} to {b}?
{a}, {b}[: what is what?|: how do they differ?|, where is the difference?|. Same thing or not?]
"""  # noqa: E501 - a table reads best with one phrasing per line
