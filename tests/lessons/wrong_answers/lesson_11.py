from tests.lessons.wrong_answers import wrong


@wrong("11.1", "two operations per weight, a product and a sum")
def one_operation(flops, bandwidth, bytes_per_weight):
    return flops * bytes_per_weight / bandwidth


@wrong("11.1", "Bandwidth is in bytes, not in weights")
def forgets_the_bytes(flops, bandwidth, bytes_per_weight):
    return flops / (2 * bandwidth)


@wrong("11.1", "That is operations per byte")
def balance(flops, bandwidth, bytes_per_weight):
    return 2 * (flops / (2 * bandwidth))


@wrong("11.1", "It is the other way round")
def upside_down(flops, bandwidth, bytes_per_weight):
    return 2 * bandwidth / (flops * bytes_per_weight)


@wrong("11.1", "At the ridge both are the same")
def always_206(flops, bandwidth, bytes_per_weight):
    return 206


@wrong("11.2", "The keys and values of every context are read too")
def weights_only(record, weight_bytes, kv_bytes_per_token, bandwidth):
    return weight_bytes / bandwidth * 1000


@wrong("11.2", "The weights are read once per step")
def weights_per_sequence(record, weight_bytes, kv_bytes_per_token, bandwidth):
    num_bytes = sum(weight_bytes + kv_bytes_per_token * span.end for span in record.spans)
    return num_bytes / bandwidth * 1000


@wrong("11.2", "Those are seconds")
def in_seconds(record, weight_bytes, kv_bytes_per_token, bandwidth):
    tokens = sum(span.end for span in record.spans)
    return (weight_bytes + kv_bytes_per_token * tokens) / bandwidth


@wrong("11.2", "not only the new token")
def only_new_tokens(record, weight_bytes, kv_bytes_per_token, bandwidth):
    return (weight_bytes + kv_bytes_per_token * record.num_tokens) / bandwidth * 1000
