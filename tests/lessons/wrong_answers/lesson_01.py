from tests.lessons.wrong_answers import wrong


@wrong("01.1", "which row scores the next one?")
def first_row(logits_of, prompt, max_tokens, eos):
    new = []
    while len(new) < max_tokens and eos not in new:
        new.append(int(logits_of(prompt + new)[0].argmax()))
    return new


@wrong("01.1", "each pass needs the prompt and all tokens so far")
def last_token_only(logits_of, prompt, max_tokens, eos):
    tokens, new = list(prompt), []
    while len(new) < max_tokens and eos not in new:
        new.append(int(logits_of(tokens)[-1].argmax()))
        tokens = [new[-1]]
    return new


@wrong("01.1", "return only the new ones")
def prompt_too(logits_of, prompt, max_tokens, eos):
    tokens = list(prompt)
    for _ in range(max_tokens):
        tokens.append(int(logits_of(tokens)[-1].argmax()))
        if tokens[-1] == eos:
            break
    return tokens


@wrong("01.1", "the answer is over")
def ignores_eos(logits_of, prompt, max_tokens, eos):
    new = []
    for _ in range(max_tokens):
        new.append(int(logits_of(prompt + new)[-1].argmax()))
    return new


@wrong("01.1", "The last token is missing")
def drops_the_end_token(logits_of, prompt, max_tokens, eos):
    new = []
    for _ in range(max_tokens):
        token = int(logits_of(prompt + new)[-1].argmax())
        if token == eos:
            break
        new.append(token)
    return new


@wrong("01.2", "each token once")
def final_length(num_prompt, num_new):
    return num_prompt + num_new


@wrong("01.2", "one token longer than the one before")
def prompt_each_time(num_prompt, num_new):
    return num_prompt * num_new


@wrong("01.2", "The first pass sees the prompt alone")
def off_by_one(num_prompt, num_new):
    return sum(num_prompt + i for i in range(1, num_new + 1))


@wrong("01.2", "It grows like a square")
def square(num_prompt, num_new):
    return (num_prompt + num_new) ** 2


@wrong("01.1", "One pass gives one token: keep its result")
def two_passes_per_token(logits_of, prompt, max_tokens, eos):
    new = []
    while len(new) < max_tokens and eos not in new:
        logits_of(prompt + new)
        new.append(int(logits_of(prompt + new)[-1].argmax()))
    return new
