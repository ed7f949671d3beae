/* Paged attention on a CPU: how a kernel walks a block table.

   The keys of one layer lie in blocks, wherever the block manager found room; values likewise:

       keys  [num_blocks][block_size][num_kv_heads][HEAD_DIM]

   Key number `position` of a sequence is therefore at

       block_table[position / block_size], offset position % block_size

   and nothing needs to be copied, padded or put in order first. The work is cut by tokens: one new
   token at a time sees the keys of its own sequence up to its own position, block after block, for
   all its heads, so that memory is read in long runs. It does not matter whether it is the one new
   token of a request that generates, or one of the hundreds of a prompt.

   The scores of a row are never held all at once. A running maximum, a running sum and a running
   output are enough ("online softmax"): when a larger score turns up, what was gathered so far is
   scaled down. Source: FlashAttention (Dao et al., 2022); the layout is PagedAttention's (Kwon et
   al., 2023).

   HEAD_DIM is given when this file is compiled, so that the compiler can unroll and vectorise the
   loops over it. Slow twin: reference.py. Who calls this: native.py. */

#include <float.h>
#include <math.h>
#include <stdint.h>

#define TILE 16 /* keys whose scores are held at once: a vector register or two */

static inline int smaller(int a, int b) { return a < b ? a : b; }

/* 2^x for x <= 0, accurate to float32, in arithmetic that compilers turn into vectors; the C
   library's exp2f would be called number by number. The whole part of x goes straight into the
   exponent bits; a polynomial, the series of e^(x ln 2), does what is left in [-1/2, 1/2]. */
static inline float power_of_two(float x)
{
    x = x < -126.0f ? -126.0f : x; /* the smallest exponent that a normal float has */
    const float whole = floorf(x + 0.5f), r = x - whole;
    const float series = 1 + r * (0.693147181f + r * (0.240226507f + r * (0.0555041087f
        + r * (0.00961812911f + r * (0.00133335581f + r * 0.000154035304f)))));
    const union { int32_t bits; float value; } scale = {.bits = ((int32_t)whole + 127) << 23};
    return scale.value * series;
}

/* One query head sees `count` <= TILE more keys, which lie `stride` numbers apart. */
static inline void see(const float *restrict q, float scale, const float *restrict keys,
                       const float *restrict values, int64_t stride, int count,
                       float *restrict max, float *restrict sum, float *restrict out)
{
    float scores[TILE], new_max = *max, new_out[HEAD_DIM];
    for (int j = 0; j < count; j++) {
        float dot = 0;
        for (int d = 0; d < HEAD_DIM; d++)
            dot += q[d] * keys[j * stride + d];
        scores[j] = dot * scale;
    }
    for (int j = 0; j < count; j++)
        new_max = scores[j] > new_max ? scores[j] : new_max;

    const float keep = power_of_two(*max - new_max); /* what the past is worth beside new_max */
    float new_sum = *sum * keep;
    for (int j = 0; j < count; j++)
        scores[j] = power_of_two(scores[j] - new_max);
    for (int j = 0; j < count; j++)
        new_sum += scores[j];
    for (int d = 0; d < HEAD_DIM; d++)
        new_out[d] = out[d] * keep;
    for (int j = 0; j < count; j++)
        for (int d = 0; d < HEAD_DIM; d++)
            new_out[d] += scores[j] * values[j * stride + d];

    *max = new_max;
    *sum = new_sum;
    for (int d = 0; d < HEAD_DIM; d++)
        out[d] = new_out[d];
}

/* `num_heads` query heads of one token, `group` of them to a KV head, over `num_seen` keys. */
static void attend_token(float *out, const float *q, int num_heads, int group,
                         const float *keys, const float *values, int64_t stride,
                         const int32_t *block_table, int block_size, int num_seen)
{
    const float scale = 1.44269504f / sqrtf(HEAD_DIM); /* log2(e): powers of two are cheaper */
    float max[num_heads], sum[num_heads];
    for (int head = 0; head < num_heads; head++) {
        max[head] = -FLT_MAX;
        sum[head] = 0;
    }
    for (int d = 0; d < num_heads * HEAD_DIM; d++)
        out[d] = 0;

    for (int position = 0, count; position < num_seen; position += count) {
        const int offset = position % block_size;
        count = smaller(TILE, smaller(block_size - offset, num_seen - position));
        const int64_t slot = (int64_t)block_table[position / block_size] * block_size + offset;
        for (int head = 0; head < num_heads; head++) {
            const int64_t at = slot * stride + head / group * HEAD_DIM;
            see(q + head * HEAD_DIM, scale, keys + at, values + at, stride, count,
                &max[head], &sum[head], out + head * HEAD_DIM);
        }
    }
    for (int head = 0; head < num_heads; head++)
        for (int d = 0; d < HEAD_DIM; d++)
            out[head * HEAD_DIM + d] /= sum[head];
}

/* All new tokens of a step, on all threads.

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
    const int64_t stride = (int64_t)num_kv_heads * HEAD_DIM;
    /* With few tokens, heads are dealt out one by one, or threads would have nothing to do. */
    const int heads_each = num_tokens < 4 * num_threads ? 1 : num_kv_heads;
    (void)num_threads; /* unused by a compiler without OpenMP */

#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(num_threads)
    for (int token = 0; token < num_tokens; token++)
        for (int head = 0; head < num_kv_heads; head += heads_each) {
            const int64_t row = ((int64_t)token * num_kv_heads + head) * group * HEAD_DIM;
            attend_token(out + row, q + row, heads_each * group, group,
                         keys + head * HEAD_DIM, values + head * HEAD_DIM, stride,
                         block_tables + sequences[token] * table_width, block_size,
                         (int)positions[token] + 1);
        }
}
