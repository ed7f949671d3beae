/* Attention of a prompt's tokens, many at a time.

   A token that comes alone reads each key once and has to wait for memory. The tokens of a prompt
   read the same keys, so here QUERIES of them do it together: KEYS keys and values are gathered
   from their blocks into the core's cache, and what is left are two small products of matrices,

       scores [rows][KEYS]       =  queries [rows][HEAD_DIM]  x  keys, turned  [HEAD_DIM][KEYS]
       out    [rows][HEAD_DIM]  +=  weights [rows][KEYS]      x  values        [KEYS][HEAD_DIM]

   whose sums stay in registers, as in gemm.c. A row is a token and one of the query heads that
   share a KV head. Between the products, a row's weights are 0 where a key comes after its token.

   A tile of keys begins at a multiple of KEYS, whoever asks, so a row's result does not depend on
   the tokens beside it.

   Reference: attention/reference.py; `attend` in paged_attention.c, token by token. */

#ifndef QUERY_TILE_H
#define QUERY_TILE_H

#include "power_of_two.h"
#include "vectors.h"

#include <float.h>
#include <string.h>

#define QUERIES 48 /* tokens of a tile at most: times any group, a multiple of ROWS */
#define MOST_ROWS (24576 / HEAD_DIM) /* two such arrays fit on a thread's stack of 512 KiB */
#define FEWEST 6   /* for fewer, gathering takes longer than it saves */
#define KEYS 32    /* a multiple of WIDTH */
#define PADDED ((HEAD_DIM + WIDTH - 1) / WIDTH * WIDTH)

/* out [ROWS][WIDTH] = or += a [ROWS][inner] times b [inner][WIDTH], each part of a larger matrix. */
static inline __attribute__((always_inline)) void
multiply_add(float *out, int64_t out_stride, const float *a, int64_t a_stride, const float *b,
             int64_t b_stride, int inner, int is_added)
{
    Vector sums[ROWS][VECTORS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++)
            sums[r][v] = is_added ? ((const Vector *)(out + r * out_stride))[v] : (Vector){0};
    for (int i = 0; i < inner; i++) {
        const Vector *columns = (const Vector *)(b + i * b_stride);
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++)
                sums[r][v] += a[r * a_stride + i] * columns[v];
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++)
            ((Vector *)(out + r * out_stride))[v] = sums[r][v];
}

/* Gathers `count` keys and values from `position` on; the rest of the tile is zeros. */
static void gather(float (*restrict turned)[KEYS], float (*restrict tile)[PADDED],
                   const float *keys, const float *values, int64_t stride,
                   const int32_t *block_table, int block_size, int position, int count)
{
    if (count < KEYS)
        memset(turned, 0, sizeof(float[HEAD_DIM][KEYS]));
    if (count < KEYS || PADDED > HEAD_DIM)
        memset(tile, 0, sizeof(float[KEYS][PADDED]));
    for (int j = 0; j < count; j++) {
        const int64_t block = block_table[(position + j) / block_size];
        const int64_t at = (block * block_size + (position + j) % block_size) * stride;
        for (int d = 0; d < HEAD_DIM; d++)
            turned[d][j] = keys[at + d];
        memcpy(tile[j], values + at, sizeof(float[HEAD_DIM]));
    }
}

/* Turns a row's scores into weights; the first `count` of them are of keys that it sees. */
static inline void weigh_row(float *restrict scores, int count, float *restrict max,
                             float *restrict sum, float *restrict out)
{
    float new_max = *max, new_sum = 0;
    for (int j = 0; j < KEYS; j++)
        scores[j] = j < count ? scores[j] : -FLT_MAX;
    for (int j = 0; j < KEYS; j++)
        new_max = scores[j] > new_max ? scores[j] : new_max;
    for (int j = 0; j < KEYS; j++)
        scores[j] = j < count ? power_of_two(scores[j] - new_max) : 0;
    for (int j = 0; j < KEYS; j++)
        new_sum += scores[j];

    const float keep = power_of_two(*max - new_max);
    *max = new_max;
    *sum = *sum * keep + new_sum;
    for (int d = 0; d < PADDED; d++)
        out[d] *= keep;
}

/* `num_tokens` tokens that follow each other, over the heads of one KV head; `out` and `q` are the
   first token's, `token_stride` numbers from the next one's. The first sees `num_seen` keys. */
static void attend_together(float *out, const float *q, int64_t token_stride, int num_tokens,
                            int group, const float *keys, const float *values, int64_t stride,
                            const int32_t *block_table, int block_size, int num_seen)
{
    const int rows = num_tokens * group, blocks = (rows + ROWS - 1) / ROWS;
    const float scale = LOG2_E / sqrtf(HEAD_DIM); /* powers of two are cheaper than those of e */
    float queries[blocks * ROWS][HEAD_DIM], sums[blocks * ROWS][PADDED];
    float scores[blocks * ROWS][KEYS], max[rows], sum[rows];
    float turned[HEAD_DIM][KEYS], tile[KEYS][PADDED];
    memset(queries, 0, sizeof queries);
    memset(sums, 0, sizeof sums);
    for (int row = 0; row < rows; row++) {
        const float *query = q + row / group * token_stride + row % group * HEAD_DIM;
        for (int d = 0; d < HEAD_DIM; d++)
            queries[row][d] = query[d] * scale;
        max[row] = -FLT_MAX;
        sum[row] = 0;
    }
    const int end = num_seen + num_tokens - 1;
    for (int position = 0; position < end; position += KEYS) {
        const int count = end - position < KEYS ? end - position : KEYS;
        gather(turned, tile, keys, values, stride, block_table, block_size, position, count);
        for (int row = 0; row < blocks * ROWS; row += ROWS)
            for (int j = 0; j < KEYS; j += WIDTH)
                multiply_add(&scores[row][j], KEYS, queries[row], HEAD_DIM, &turned[0][j], KEYS,
                             HEAD_DIM, 0);
        for (int row = 0; row < rows; row++) {
            const int seen = num_seen + row / group - position;
            if (seen > 0)
                weigh_row(scores[row], seen, &max[row], &sum[row], sums[row]);
            else
                memset(scores[row], 0, sizeof scores[row]);
        }
        for (int row = 0; row < blocks * ROWS; row += ROWS)
            for (int d = 0; d < PADDED; d += WIDTH)
                multiply_add(&sums[row][d], PADDED, scores[row], KEYS, &tile[0][d], PADDED, KEYS,
                             1);
    }
    for (int row = 0; row < rows; row++)
        for (int d = 0; d < HEAD_DIM; d++)
            out[row / group * token_stride + row % group * HEAD_DIM + d] = sums[row][d] / sum[row];
}

#endif
