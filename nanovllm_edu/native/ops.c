/* The memory-bound operations of a decoder, each in one pass over its numbers.

   torch takes a pass per arithmetic step: a norm with a rotation is ten of them, and each reads and
   writes everything once more. Here a row is read, worked on while it is in registers or in the
   core's nearest cache, and written. Rows are dealt out to threads.

   Reference: layers/ops.py. Who calls this: ops.py, which has checked all shapes. */

#include "power_of_two.h"

#define WORTH_A_THREAD 8192 /* for fewer numbers, waking a thread costs more than it saves */

/* One over the root mean square of a row. */
static inline float inverse_rms(const float *x, int dim, float eps)
{
    float squares = 0;
    for (int i = 0; i < dim; i++)
        squares += x[i] * x[i];
    return 1 / sqrtf(squares / dim + eps);
}

/* out, x  [rows][dim]     weight  [dim] */
void rms_norm(float *out, const float *x, const float *weight,
              int rows, int dim, float eps, int num_threads)
{
#pragma omp parallel for num_threads(num_threads) if ((int64_t)rows * dim > WORTH_A_THREAD)
    for (int64_t row = 0; row < rows; row++) {
        const float *in = x + row * dim;
        const float scale = inverse_rms(in, dim, eps);
        for (int i = 0; i < dim; i++)
            out[row * dim + i] = in[i] * scale * weight[i];
    }
}

/* The same for stream = x + residual, which is written too. */
void add_rms_norm(float *out, float *stream, const float *x, const float *residual,
                  const float *weight, int rows, int dim, float eps, int num_threads)
{
#pragma omp parallel for num_threads(num_threads) if ((int64_t)rows * dim > WORTH_A_THREAD)
    for (int64_t row = 0; row < rows; row++) {
        float *sum = stream + row * dim;
        for (int i = 0; i < dim; i++)
            sum[i] = x[row * dim + i] + residual[row * dim + i];
        const float scale = inverse_rms(sum, dim, eps);
        for (int i = 0; i < dim; i++)
            out[row * dim + i] = sum[i] * scale * weight[i];
    }
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
    const int half = dim / 2;
    for (int token = 0; token < tokens; token++)
        if (positions[token] < 0 || positions[token] >= max_positions)
            return 0;
#pragma omp parallel for num_threads(num_threads) if ((int64_t)tokens * heads * dim > WORTH_A_THREAD)
    for (int64_t token = 0; token < tokens; token++)
        for (int head = 0; head < heads; head++) {
            const float *in = x + token * stride + head * dim;
            float *turned = out + (token * heads + head) * dim;
            const float *cos = cos_sin + positions[token] * dim, *sin = cos + half;
            const float scale = weight ? inverse_rms(in, dim, eps) : 1;
            for (int i = 0; i < half; i++) {
                const float first = in[i] * scale * (weight ? weight[i] : 1);
                const float second = in[half + i] * scale * (weight ? weight[half + i] : 1);
                turned[i] = first * cos[i] - second * sin[i];
                turned[half + i] = second * cos[i] + first * sin[i];
            }
        }
    return 1;
}

/* silu(gate) * up     out  [rows][dim]     gate_up  [rows][2 * dim]: gate, then up */
void silu_and_mul(float *out, const float *gate_up, int rows, int dim, int num_threads)
{
#pragma omp parallel for num_threads(num_threads) if ((int64_t)rows * dim > WORTH_A_THREAD)
    for (int64_t row = 0; row < rows; row++) {
        const float *gate = gate_up + row * 2 * dim, *up = gate + dim;
        for (int i = 0; i < dim; i++)
            out[row * dim + i] = gate[i] * up[i] / (1 + power_of_two(-LOG2_E * gate[i]));
    }
}
