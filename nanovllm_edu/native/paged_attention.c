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
   long runs of memory, which the processor fetches ahead.

   The scores of a whole context are never held at once. Per head, a running maximum, a running sum
   and a running output are enough ("online softmax"): when a larger score turns up, what was
   gathered so far is scaled down. Source: FlashAttention (Dao et al., 2022); the layout is
   PagedAttention's (Kwon et al., 2023).

   HEAD_DIM is given when this file is compiled, so that the compiler can unroll and vectorise the
   loops over it. Reference: attention/reference.py. Who calls this: native/attention.py. */

#include "query_tile.h"
#include "threads.h"

#define TILE 16 /* keys whose scores are held at once: a vector register or two */

static inline int smaller(int a, int b) { return a < b ? a : b; }

/* scores [heads][TILE]: each query head against `count` keys, which lie `stride` numbers apart.
   `group` query heads share a KV head. */
static inline void compare(float (*restrict scores)[TILE], const float *restrict q,
                           const float *restrict keys, int64_t stride, int count,
                           int num_kv_heads, int group)
{
    const float scale = LOG2_E / sqrtf(HEAD_DIM); /* powers of two are cheaper than those of e */
    for (int j = 0; j < count; j++)
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
                              const float *restrict values, int64_t stride, int count,
                              int num_kv_heads, int group)
{
    for (int j = 0; j < count; j++)
        for (int kv_head = 0, head = 0; kv_head < num_kv_heads; kv_head++) {
            const float *value = values + j * stride + kv_head * HEAD_DIM;
            for (; head < (kv_head + 1) * group; head++)
                for (int d = 0; d < HEAD_DIM; d++)
                    out[head * HEAD_DIM + d] += weights[head][j] * value[d];
        }
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
    for (int position = 0, count; position < num_seen; position += count) {
        const int offset = position % block_size;
        const int64_t slot = (int64_t)block_table[position / block_size] * block_size + offset;
        count = smaller(TILE, smaller(block_size - offset, num_seen - position));
        compare(scores, q, keys + slot * stride, stride, count, num_kv_heads, group);
        for (int head = 0; head < num_heads; head++)
            weigh(scores[head], count, &max[head], &sum[head], out + head * HEAD_DIM);
        add_values(out, scores, values + slot * stride, stride, count, num_kv_heads, group);
    }
    for (int head = 0; head < num_heads; head++)
        for (int d = 0; d < HEAD_DIM; d++)
            out[head * HEAD_DIM + d] /= sum[head];
}

struct step {
    float *out;
    const float *q, *keys, *values;
    const int32_t *block_tables;
    const int64_t *starts, *sequences, *positions;
    int table_width, num_kv_heads, group, block_size, heads_each;
};

/* Items are `heads_each` KV heads of the first tile, the next of its heads, then other tiles. */
static void attend_items(const void *arguments, int64_t first, int64_t end)
{
    const struct step *s = arguments;
    const int64_t stride = (int64_t)s->num_kv_heads * HEAD_DIM, token_stride = stride * s->group;
    const int items_each = s->num_kv_heads / s->heads_each;
    for (int64_t item = first; item < end; item++) {
        const int64_t *tile = s->starts + item / items_each, token = tile[0];
        const int64_t head = item % items_each * s->heads_each;
        const int64_t row = (token * s->num_kv_heads + head) * s->group * HEAD_DIM;
        const int num_tokens = (int)(tile[1] - token), num_seen = (int)s->positions[token] + 1;
        const int32_t *block_table = s->block_tables + s->sequences[token] * s->table_width;
        const float *keys = s->keys + head * HEAD_DIM, *values = s->values + head * HEAD_DIM;
        if (num_tokens < FEWEST)
            for (int i = 0; i < num_tokens; i++)
                attend(s->out + row + i * token_stride, s->q + row + i * token_stride,
                       s->heads_each, s->group, keys, values, stride, block_table,
                       s->block_size, num_seen + i);
        else
            for (int h = 0; h < s->heads_each; h++) {
                const int64_t at = row + (int64_t)h * s->group * HEAD_DIM;
                attend_together(s->out + at, s->q + at, token_stride, num_tokens, s->group,
                                keys + h * HEAD_DIM, values + h * HEAD_DIM, stride, block_table,
                                s->block_size, num_seen);
            }
    }
}

const int queries_of_a_tile = QUERIES; /* for attention.py, which cuts prompts */

/* All new tokens of a step.

   out, q        [num_tokens][num_kv_heads * group][HEAD_DIM]
   keys, values  one layer of the cache, the new tokens' included
   block_tables  [num_sequences][table_width]
   starts        [num_tiles + 1], where each tile of tokens begins, and the last one's end: at most
                 `queries_of_a_tile` tokens of one sequence, which follow each other
   sequences     which row of block_tables each token has
   positions     each token's position; it sees that many keys and its own

   Python has checked all shapes and ranges. */
void paged_attention(float *out, const float *q, const float *keys, const float *values,
                     const int32_t *block_tables, const int64_t *starts,
                     const int64_t *sequences, const int64_t *positions, int table_width,
                     int num_tiles, int num_kv_heads, int group, int block_size, int num_threads)
{
    double num_seen = 0;
    for (int64_t token = 0; token < starts[num_tiles]; token++)
        num_seen += positions[token] + 1;
    /* A core takes a nanosecond for about 16 of the numbers that a head compares. */
    const double nanoseconds = num_seen * num_kv_heads * group * HEAD_DIM / 16;
    /* With few tiles, heads are dealt out one by one, or threads would have nothing to do. */
    const int threads = threads_worth(num_tiles * num_kv_heads, nanoseconds, num_threads);
    const int heads_each = threads > 1 && num_tiles < 16 * threads ? 1 : num_kv_heads;
    const struct step step = {out, q, keys, values, block_tables, starts, sequences, positions,
                              table_width, num_kv_heads, group, block_size, heads_each};
    deal(attend_items, &step, (int64_t)num_tiles * num_kv_heads / heads_each, nanoseconds,
         num_threads);
}
