"""Solution of lesson 00, first contact."""


def run_to_end(engine):
    """Steps the engine until every request is done."""
    tokens = {}
    while engine.has_unfinished_requests():
        record = engine.step()
        for seq_id, new in record.new_tokens.items():
            tokens.setdefault(seq_id, []).extend(new)
    return tokens
