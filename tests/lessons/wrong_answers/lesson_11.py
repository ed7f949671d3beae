from tests.lessons.wrong_answers import wrong


@wrong("11.1", "A token has a key and a value")
def keys_only(num_layers, num_kv_heads, head_dim, bytes_per_value):
    return num_layers * num_kv_heads * head_dim * bytes_per_value


@wrong("11.1", "Every layer has a cache of its own")
def one_layer(num_layers, num_kv_heads, head_dim, bytes_per_value):
    return 2 * num_kv_heads * head_dim * bytes_per_value


@wrong("11.1", "Those are numbers, not bytes")
def counts_numbers(num_layers, num_kv_heads, head_dim, bytes_per_value):
    return 2 * num_layers * num_kv_heads * head_dim


@wrong("11.1", "is a whole number")
def in_kilobytes(num_layers, num_kv_heads, head_dim, bytes_per_value):
    return 2 * num_layers * num_kv_heads * head_dim * bytes_per_value / 1024


@wrong("11.2", "The keys and values of every context are read too")
def weights_only(record, weight_bytes, kv_bytes_per_token, bandwidth):
    return weight_bytes / bandwidth * 1000


@wrong("11.2", "The weights are read once per step")
def weights_per_sequence(record, weight_bytes, kv_bytes_per_token, bandwidth):
    num_bytes = sum(weight_bytes + kv_bytes_per_token * chunk.end for chunk in record.chunks)
    return num_bytes / bandwidth * 1000


@wrong("11.2", "Those are seconds")
def in_seconds(record, weight_bytes, kv_bytes_per_token, bandwidth):
    tokens = sum(chunk.end for chunk in record.chunks)
    return (weight_bytes + kv_bytes_per_token * tokens) / bandwidth


@wrong("11.2", "not only the new token")
def only_new_tokens(record, weight_bytes, kv_bytes_per_token, bandwidth):
    return (weight_bytes + kv_bytes_per_token * record.num_tokens) / bandwidth * 1000
