/* Paged attention on a CPU: how a kernel walks a block table.

   The keys of one layer lie in blocks, wherever the block manager found room; values likewise:

       keys  [num_blocks][block_size][num_kv_heads][HEAD_DIM]

   Key number `position` of a sequence is therefore in

       block block_table[position / block_size], at offset position % block_size

   and nothing needs to be copied, padded or put in order first. The work is cut by tokens: a new
   token sees the keys of its own sequence up to its own position. This file is about the one new
   token of a request that generates; the tokens of a prompt share their keys, see query_tile.h.

   Speed is a matter of reading memory in its own order, because that is what limits the kernel. So
   a tile of keys is compared with all heads of the token before its values are touched: both are
   long runs of memory. While one run is worked on, the next one is fetched; the processor, which
   sees no further than a page, would wait at the beginning of each.

   The scores of a whole context are never held at once. Per head, a running maximum, a running sum
   and a running output are enough ("online softmax"): when a larger score turns up, what was
   gathered so far is scaled down. Source: FlashAttention (Dao et al., 2022); the layout is
   PagedAttention's (Kwon et al., 2023).

   HEAD_DIM is given when this file is compiled, so that the compiler can unroll and vectorise the
   loops over it. Reference: attention/reference.py. Who calls this: native/attention.py. */

#include "query_tile.h"
#include "threads.h"

#include <string.h>

#define TILE 16 /* keys whose scores are held at once: a vector register or two */

static inline int smaller(int a, int b) { return a < b ? a : b; }

/* Has a row of the next run fetched: what this token reads of it. */
static inline void fetch(const float *row, int count)
{
    for (int i = 0; i < count; i += 16) /* a cache line each */
        __builtin_prefetch(row + i);
}

/* scores [heads][TILE]: each query head against `count` keys, which lie `stride` numbers apart.
   `group` query heads share a KV head. */
static inline void compare(float (*restrict scores)[TILE], const float *restrict q,
                           const float *restrict keys, const float *next, int64_t stride,
                           int count, int num_kv_heads, int group)
{
    const float scale = LOG2_E / sqrtf(HEAD_DIM); /* powers of two are cheaper than those of e */
    for (int j = 0; j < count; j++) {
        fetch(next + j * stride, num_kv_heads * HEAD_DIM);
        for (int kv_head = 0, head = 0; kv_head < num_kv_heads; kv_head++) {
            const float *key = keys + j * stride + kv_head * HEAD_DIM;
            for (; head < (kv_head + 1) * group; head++) {
                float dot = 0;
                for (int d = 0; d < HEAD_DIM; d++)
                    dot += q[head * HEAD_DIM + d] * key[d];
                scores[head][j] = dot * scale;
            }
        }
    }
}

/* Turns one head's scores into weights, relative to the largest score so far. If that is a
   new one, the sum and the output that were gathered before count for less. */
static inline void weigh(float *restrict scores, int count, float *restrict max,
                         float *restrict sum, float *restrict out)
{
    float new_max = *max, new_sum = 0;
    for (int j = 0; j < count; j++)
        new_max = scores[j] > new_max ? scores[j] : new_max;
    for (int j = 0; j < count; j++)
        scores[j] = power_of_two(scores[j] - new_max);
    for (int j = 0; j < count; j++)
        new_sum += scores[j];

    const float keep = power_of_two(*max - new_max);
    *max = new_max;
    *sum = *sum * keep + new_sum;
    for (int d = 0; d < HEAD_DIM; d++)
        out[d] *= keep;
}

/* out [heads][HEAD_DIM] += weights times values, which lie like the keys. */
static inline void add_values(float *restrict out, float (*restrict weights)[TILE],
                              const float *restrict values, const float *next, int64_t stride,
                              int count, int num_kv_heads, int group)
{
    for (int j = 0; j < count; j++) {
        fetch(next + j * stride, num_kv_heads * HEAD_DIM);
        for (int kv_head = 0, head = 0; kv_head < num_kv_heads; kv_head++) {
            const float *value = values + j * stride + kv_head * HEAD_DIM;
            for (; head < (kv_head + 1) * group; head++)
                for (int d = 0; d < HEAD_DIM; d++)
                    out[head * HEAD_DIM + d] += weights[head][j] * value[d];
        }
    }
}

/* Where the key of a position begins, and its value. */
static inline int64_t first_number(const int32_t *block_table, int block_size, int64_t stride,
                                   int position)
{
    const int64_t block = block_table[position / block_size];
    return (block * block_size + position % block_size) * stride;
}

/* The query heads of `num_kv_heads` KV heads, of one token, over the first `num_seen` keys. */
static void attend(float *restrict out, const float *restrict q, int num_kv_heads, int group,
                   const float *keys, const float *values, int64_t stride,
                   const int32_t *block_table, int block_size, int num_seen)
{
    const int num_heads = num_kv_heads * group;
    float scores[num_heads][TILE], max[num_heads], sum[num_heads];
    for (int head = 0; head < num_heads; head++) {
        max[head] = -FLT_MAX;
        sum[head] = 0;
        for (int d = 0; d < HEAD_DIM; d++)
            out[head * HEAD_DIM + d] = 0;
    }
    int64_t begin = first_number(block_table, block_size, stride, 0);
    for (int position = 0, count; position < num_seen; position += count) {
        const int offset = position % block_size;
        count = smaller(TILE, smaller(block_size - offset, num_seen - position));
        compare(scores, q, keys + begin, values + begin, stride, count, num_kv_heads, group);
        for (int head = 0; head < num_heads; head++)
            weigh(scores[head], count, &max[head], &sum[head], out + head * HEAD_DIM);
        const int next_position = smaller(position + count, num_seen - 1);
        const int64_t next = first_number(block_table, block_size, stride, next_position);
        add_values(out, scores, values + begin, keys + next, stride, count, num_kv_heads, group);
        begin = next;
    }
    for (int head = 0; head < num_heads; head++)
        for (int d = 0; d < HEAD_DIM; d++)
            out[head * HEAD_DIM + d] /= sum[head];
}

struct step {
    float *out;
    const float *q, *keys, *values;
    const int32_t *block_tables;
    const int64_t *sequences, *positions;
    int num_tokens, table_width, num_kv_heads, group, block_size, heads_each;
};

/* Whether a token is the next one of the sequence whose token comes before it. */
static int follows(const struct step *s, int64_t token)
{
    return token > 0 && token < s->num_tokens && s->sequences[token] == s->sequences[token - 1]
        && s->positions[token] == s->positions[token - 1] + 1;
}

/* Whether it is one of `FEWEST` tokens or more that follow each other, whoever computes them. */
static int has_company(const struct step *s, int64_t token)
{
    int before = 0, after = 0;
    while (before < FEWEST && follows(s, token - before))
        before++;
    while (after < FEWEST && follows(s, token + after + 1))
        after++;
    return before + 1 + after >= FEWEST;
}

/* How many of the tokens from `token` on, `most` at most, are computed together. */
static int tokens_together(const struct step *s, int64_t token, int64_t most)
{
    const int rows = MOST_ROWS / s->group, queries = rows < QUERIES ? rows : QUERIES;
    int count = 1;
    while (count < queries && count < most && follows(s, token + count))
        count++;
    return count;
}

/* Items are all tokens, for the first `heads_each` KV heads; then all tokens for the next ones. */
static void attend_items(const void *arguments, int64_t first, int64_t end)
{
    const struct step *s = arguments;
    const int64_t stride = (int64_t)s->num_kv_heads * HEAD_DIM, token_stride = stride * s->group;
    int count;
    for (int64_t item = first; item < end; item += count) {
        const int64_t token = item % s->num_tokens, head = item / s->num_tokens * s->heads_each;
        const int64_t left = s->num_tokens - token;
        const int32_t *block_table = s->block_tables + s->sequences[token] * s->table_width;
        const int num_seen = (int)s->positions[token] + 1;
        const int is_alone = !has_company(s, token);
        count = is_alone ? 1 : tokens_together(s, token, end - item < left ? end - item : left);
        for (int h = 0; h < s->heads_each; h += is_alone ? s->heads_each : 1) {
            const int64_t row = token * token_stride + (head + h) * s->group * HEAD_DIM;
            const float *keys = s->keys + (head + h) * HEAD_DIM;
            const float *values = s->values + (head + h) * HEAD_DIM;
            if (is_alone)
                attend(s->out + row, s->q + row, s->heads_each, s->group, keys, values, stride,
                       block_table, s->block_size, num_seen);
            else
                attend_together(s->out + row, s->q + row, token_stride, count, s->group, keys,
                                values, stride, block_table, s->block_size, num_seen);
        }
    }
}

struct new_ones {
    float *keys, *values;
    const float *k, *v;
    const int64_t *slots;
    int64_t k_stride, v_stride;
    int dim;
};

static void store_tokens(const void *arguments, int64_t first, int64_t end)
{
    const struct new_ones *n = arguments;
    const int64_t size = sizeof(float) * n->dim;
    for (int64_t token = first; token < end; token++) {
        memcpy(n->keys + n->slots[token] * n->dim, n->k + token * n->k_stride, size);
        memcpy(n->values + n->slots[token] * n->dim, n->v + token * n->v_stride, size);
    }
}

/* Puts the keys and values of new tokens, `k_stride` and `v_stride` numbers apart, into slots. */
void store(float *keys, float *values, const float *k, const float *v, const int64_t *slots,
           int64_t k_stride, int64_t v_stride, int num_tokens, int num_kv_heads, int num_threads)
{
    const struct new_ones new_ones = {keys, values, k, v, slots, k_stride, v_stride,
                                      num_kv_heads * HEAD_DIM};
    deal(store_tokens, &new_ones, sizeof new_ones, num_tokens, 0.2 * num_tokens * new_ones.dim,
         num_threads);
}

/* All new tokens of a step.

   out, q        [num_tokens][num_kv_heads * group][HEAD_DIM]
   keys, values  one layer of the cache, the new tokens' included
   block_tables  [num_sequences][table_width]
   sequences     which row of block_tables each token has
   positions     each token's position; it sees that many keys and its own

   Python has checked all shapes and ranges. */
void paged_attention(float *out, const float *q, const float *keys, const float *values,
                     const int32_t *block_tables, const int64_t *sequences,
                     const int64_t *positions, int table_width, int num_tokens,
                     int num_kv_heads, int group, int block_size, int num_threads)
{
    double num_seen = 0;
    int num_sequences = 1;
    for (int token = 0; token < num_tokens; token++) {
        num_seen += positions[token] + 1;
        num_sequences += token > 0 && sequences[token] != sequences[token - 1];
    }
    /* A core takes a nanosecond for about 16 of the numbers that a head compares. */
    const double nanoseconds = num_seen * num_kv_heads * group * HEAD_DIM / 16;
    /* Heads are dealt out one by one where threads would have nothing to do, the tokens being few;
       and where they are those of prompts, of which a thread should have many. */
    const int threads = threads_worth(num_tokens * num_kv_heads, nanoseconds, WORTH_SHARING,
                                      num_threads);
    const int are_few = num_tokens < 4 * threads || num_tokens >= FEWEST * num_sequences;
    const int heads_each = threads > 1 && are_few ? 1 : num_kv_heads;
    const struct step step = {out, q, keys, values, block_tables, sequences, positions, num_tokens,
                              table_width, num_kv_heads, group, block_size, heads_each};
    deal(attend_items, &step, sizeof step, (int64_t)num_tokens * num_kv_heads / heads_each, nanoseconds,
         num_threads);
}
