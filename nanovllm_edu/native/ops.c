/* The memory-bound operations of a decoder, each in one pass over its numbers.

   torch takes a pass per arithmetic step: a norm with a rotation is ten of them, and each reads and
   writes everything once more. Here a row is read, worked on while it is in registers or in the
   core's nearest cache, and written. Rows are dealt out to threads: for each operation there is the
   function that does some rows, and the one that Python calls.

   Reference: layers/ops.py. Who calls this: ops.py, which has checked all shapes. */

#include "power_of_two.h"
#include "threads.h"

#define PER_NUMBER 0.5 /* nanoseconds, about */

/* One over the root mean square of a row. */
static inline float inverse_rms(const float *x, int dim, float eps)
{
    float squares = 0;
    for (int i = 0; i < dim; i++)
        squares += x[i] * x[i];
    return 1 / sqrtf(squares / dim + eps);
}

struct norm {
    float *out, *stream;
    const float *x, *residual, *weight;
    int dim;
    float eps;
};

static void rms_norm_rows(const void *arguments, int64_t first, int64_t end)
{
    const struct norm n = *(const struct norm *)arguments;
    for (int64_t row = first; row < end; row++) {
        const float *in = n.x + row * n.dim;
        float *out = n.out + row * n.dim;
        const float scale = inverse_rms(in, n.dim, n.eps);
        for (int i = 0; i < n.dim; i++)
            out[i] = in[i] * scale * n.weight[i];
    }
}

/* out, x  [rows][dim]     weight  [dim] */
void rms_norm(float *out, const float *x, const float *weight,
              int rows, int dim, float eps, int num_threads)
{
    const struct norm norm = {out, 0, x, 0, weight, dim, eps};
    deal(rms_norm_rows, &norm, sizeof norm, rows, PER_NUMBER * rows * dim, num_threads);
}

static void add_rms_norm_rows(const void *arguments, int64_t first, int64_t end)
{
    const struct norm n = *(const struct norm *)arguments;
    for (int64_t row = first; row < end; row++) {
        const float *x = n.x + row * n.dim, *residual = n.residual + row * n.dim;
        float *sum = n.stream + row * n.dim, *out = n.out + row * n.dim;
        for (int i = 0; i < n.dim; i++)
            sum[i] = x[i] + residual[i];
        const float scale = inverse_rms(sum, n.dim, n.eps);
        for (int i = 0; i < n.dim; i++)
            out[i] = sum[i] * scale * n.weight[i];
    }
}

/* The same for stream = x + residual, which is written too. */
void add_rms_norm(float *out, float *stream, const float *x, const float *residual,
                  const float *weight, int rows, int dim, float eps, int num_threads)
{
    const struct norm norm = {out, stream, x, residual, weight, dim, eps};
    deal(add_rms_norm_rows, &norm, sizeof norm, rows, PER_NUMBER * rows * dim, num_threads);
}

struct turn {
    float *out;
    const float *x, *weight, *cos_sin;
    const int64_t *positions;
    int heads, dim, stride;
    float eps;
};

static void turn_head(const struct turn *t, float *out, const float *in, const float *cos)
{
    const int half = t->dim / 2;
    const float *weight = t->weight, *sin = cos + half;
    const float scale = weight ? inverse_rms(in, t->dim, t->eps) : 1;
    for (int i = 0; i < half; i++) {
        const float first = in[i] * scale * (weight ? weight[i] : 1);
        const float second = in[half + i] * scale * (weight ? weight[half + i] : 1);
        out[i] = first * cos[i] - second * sin[i];
        out[half + i] = second * cos[i] + first * sin[i];
    }
}

static void turn_tokens(const void *arguments, int64_t first, int64_t end)
{
    const struct turn t = *(const struct turn *)arguments;
    for (int64_t token = first; token < end; token++)
        for (int head = 0; head < t.heads; head++)
            turn_head(&t, t.out + (token * t.heads + head) * t.dim,
                      t.x + token * t.stride + head * t.dim,
                      t.cos_sin + t.positions[token] * t.dim);
}

/* Normalises each head, if there is a weight, and turns it to its token's position.

   out      [tokens][heads][dim]
   x        the same, but its tokens lie `stride` numbers apart: a part of a merged projection
   cos_sin  [max_positions][dim]: the cosines of a position's angles, then the sines

   Returns 0, and does nothing, if a position is not in the table. */
int norm_and_rotate(float *out, const float *x, const float *weight, const float *cos_sin,
                    const int64_t *positions, int tokens, int heads, int dim, int stride,
                    int max_positions, float eps, int num_threads)
{
    for (int token = 0; token < tokens; token++)
        if (positions[token] < 0 || positions[token] >= max_positions)
            return 0;
    const struct turn turn = {out, x, weight, cos_sin, positions, heads, dim, stride, eps};
    deal(turn_tokens, &turn, sizeof turn, tokens, PER_NUMBER * tokens * heads * dim, num_threads);
    return 1;
}

struct gate {
    float *out;
    const float *gate_up;
    int dim;
};

static void gate_rows(const void *arguments, int64_t first, int64_t end)
{
    const struct gate g = *(const struct gate *)arguments;
    for (int64_t row = first; row < end; row++) {
        const float *gate = g.gate_up + row * 2 * g.dim, *up = gate + g.dim;
        float *out = g.out + row * g.dim;
        for (int i = 0; i < g.dim; i++)
            out[i] = gate[i] * up[i] / (1 + power_of_two(-LOG2_E * gate[i]));
    }
}

/* silu(gate) * up     out  [rows][dim]     gate_up  [rows][2 * dim]: gate, then up */
void silu_and_mul(float *out, const float *gate_up, int rows, int dim, int num_threads)
{
    const struct gate gate = {out, gate_up, dim};
    deal(gate_rows, &gate, sizeof gate, rows, PER_NUMBER * rows * dim, num_threads);
}
