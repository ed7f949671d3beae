"""Solutions of lesson 11, the floor."""


def kv_bytes_per_token(num_layers, num_kv_heads, head_dim, bytes_per_value):
    """Bytes that one token takes in the KV cache."""
    return 2 * num_layers * num_kv_heads * head_dim * bytes_per_value


def floor_ms(record, weight_bytes, kv_bytes_per_token, bandwidth):
    """Milliseconds to stream what a decode step must read."""
    context_tokens = sum(chunk.end for chunk in record.chunks)
    return (weight_bytes + kv_bytes_per_token * context_tokens) / bandwidth * 1000
