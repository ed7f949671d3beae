from tests.lessons.wrong_answers import wrong


@wrong("00.1", "You stopped while sequences [1, 2] were unfinished")
def five_steps(engine):
    tokens = {}
    for _ in range(5):
        for seq_id, new in engine.step().new_tokens.items():
            tokens.setdefault(seq_id, []).extend(new)
    return tokens


@wrong("00.1", "you kept only what came last")
def overwrites(engine):
    tokens = {}
    while engine.has_unfinished_requests():
        tokens.update(engine.step().new_tokens)
    return tokens


@wrong("00.1", "every sequence waits and none runs")
def looks_at_running(engine):
    tokens = {}
    while engine.state().running:
        for seq_id, new in engine.step().new_tokens.items():
            tokens.setdefault(seq_id, []).extend(new)
    return tokens


@wrong("00.1", "Return a dict; you gave list")
def one_list_for_all(engine):
    tokens = []
    while engine.has_unfinished_requests():
        tokens += engine.step().new_tokens.values()
    return tokens


@wrong("00.1", "take its tokens, not the tuple itself")
def appends_the_tuple(engine):
    tokens = {}
    while engine.has_unfinished_requests():
        for seq_id, new in engine.step().new_tokens.items():
            tokens.setdefault(seq_id, []).append(new)
    return tokens


@wrong("00.1", "Does this loop ever end?")
def never_steps(engine):
    tokens = {}
    while engine.has_unfinished_requests():
        tokens[0] = []
    return tokens


@wrong("00.1", "Sequence 1 is missing")
def only_the_first(engine):
    tokens = []
    while engine.has_unfinished_requests():
        record = engine.step()
        if 0 in record.new_tokens:
            tokens += record.new_tokens[0]
    return {0: tokens}


@wrong("00.1", "when nothing was left to do")
def a_hundred_steps(engine):
    tokens = {}
    for _ in range(100):
        for seq_id, new in engine.step().new_tokens.items():
            tokens.setdefault(seq_id, []).extend(new)
    return tokens


@wrong("00.1", "Your code ends the program")
def ends_the_program(engine):
    raise SystemExit


@wrong("00.1", "`run_to_end` gave None: it came to its end without a `return`")
def forgets_to_return(engine):
    tokens = {}
    while engine.has_unfinished_requests():
        for seq_id, new in engine.step().new_tokens.items():
            tokens.setdefault(seq_id, []).extend(new)
