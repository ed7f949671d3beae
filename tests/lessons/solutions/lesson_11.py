"""Solutions of lesson 11, the floor."""


def ridge_tokens(flops, bandwidth, bytes_per_weight):
    """Tokens in a step with which reading the weights takes as long as computing with them."""
    return flops * bytes_per_weight / (2 * bandwidth)


def floor_ms(record, weight_bytes, kv_bytes_per_token, bandwidth):
    """Milliseconds to stream what a decode step must read."""
    context_tokens = sum(span.end for span in record.spans)
    return (weight_bytes + kv_bytes_per_token * context_tokens) / bandwidth * 1000
