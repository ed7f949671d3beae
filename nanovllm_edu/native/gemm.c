/* x times a weight's transpose, for any number of rows of x, float32.

   A processor multiplies fastest when its operands lie in registers. So `ROWS` rows of x meet
   `WIDTH` columns of the result at a time: their sums, ROWS x WIDTH of them, stay in registers
   until they are complete, and for each step of the sum only WIDTH weights and ROWS numbers of x
   are read.

   The weight, of which a result needs all the rows, is laid out beforehand in the order in which
   it is read ("packed"):

       packed  [panels][inputs][WIDTH]      WIDTH outputs to a panel, the last filled up with zeros

   With one row, a new token of one request, nothing is used twice: reading the weight is all there
   is to it, and memory gives its best when it is read from front to back.

   Every sum is taken in the order of the inputs, whatever the number of rows: so a row's result
   does not depend, not even in its last bit, on who else is in the batch.

   Reference: `reference` in layers/packed.py. Who calls this: gemm.py, which has checked all
   shapes. */

#include "threads.h"

#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#define ROWS 12 /* 24 of the 32 registers hold sums */
#elif defined(__AVX__)
#define LANES 8
#define ROWS 6 /* 12 of 16 */
#else
#define LANES 4
#define ROWS 8 /* 16 of the 32 that ARM has */
#endif
#define VECTORS 2
#define WIDTH (LANES * VECTORS)
#define BLOCK (8 * ROWS) /* rows of x that stay in the core's cache while weights pass by */

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

struct gemm {
    float *out;
    const float *x, *packed, *bias;
    int64_t x_stride;
    int rows, inputs, outputs;
};

static inline int smaller(int64_t a, int64_t b) { return (int)(a < b ? a : b); }

const int panel_width = WIDTH; /* for gemm.py, which packs */

/* `rows` rows against one panel. A constant when it is compiled, or the sums would not be kept in
   registers: hence `multiply_rows`. */
static inline __attribute__((always_inline)) void
multiply(const int rows, const struct gemm *p, int64_t row, int64_t column)
{
    const float *x = p->x + row * p->x_stride, *panel = p->packed + column * p->inputs;
    Vector sums[ROWS][VECTORS];
    float bias[WIDTH] = {0};
    const int width = smaller(WIDTH, p->outputs - column);
    if (p->bias)
        memcpy(bias, p->bias + column, sizeof(float) * width);
    for (int r = 0; r < rows; r++)
        memcpy(sums[r], bias, sizeof bias);
    for (int64_t i = 0; i < p->inputs; i++) {
        const Vector *weights = (const Vector *)(panel + i * WIDTH);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < VECTORS; v++)
                sums[r][v] += x[r * p->x_stride + i] * weights[v];
    }
    for (int r = 0; r < rows; r++)
        memcpy(p->out + (row + r) * p->outputs + column, sums[r], sizeof(float) * width);
}

static void multiply_rows(int rows, const struct gemm *p, int64_t row, int64_t column)
{
    switch (rows) {
    case 1: multiply(1, p, row, column); break;
    case 2: multiply(2, p, row, column); break;
    case 3: multiply(3, p, row, column); break;
    case 4: multiply(4, p, row, column); break;
    case 5: multiply(5, p, row, column); break;
    case 6: multiply(6, p, row, column); break;
#if ROWS > 6
    case 7: multiply(7, p, row, column); break;
    case 8: multiply(8, p, row, column); break;
#endif
#if ROWS > 8
    case 9: multiply(9, p, row, column); break;
    case 10: multiply(10, p, row, column); break;
    case 11: multiply(11, p, row, column); break;
    case 12: multiply(12, p, row, column); break;
#endif
    }
}

/* Items are panels of the first block of rows, then of the next. */
static void multiply_items(const void *arguments, int64_t first, int64_t end)
{
    const struct gemm *p = arguments;
    const int64_t num_panels = (p->outputs + WIDTH - 1) / WIDTH;
    for (int64_t item = first; item < end; item++) {
        const int64_t block = item / num_panels * BLOCK, column = item % num_panels * WIDTH;
        const int64_t block_end = smaller(block + BLOCK, p->rows);
        for (int64_t row = block; row < block_end; row += ROWS)
            multiply_rows(smaller(ROWS, block_end - row), p, row, column);
    }
}

/* out [rows][outputs] = x times weight + bias

   x     [rows][inputs], its rows `x_stride` numbers apart
   bias  [outputs], or NULL */
void gemm(float *out, const float *x, const float *packed, const float *bias, int64_t x_stride,
          int rows, int inputs, int outputs, int num_threads)
{
    const struct gemm p = {out, x, packed, bias, x_stride, rows, inputs, outputs};
    const int64_t num_panels = (outputs + WIDTH - 1) / WIDTH;
    const int64_t num_blocks = (rows + BLOCK - 1) / BLOCK;
    /* A core reads about 8 weights a nanosecond, and multiplies 64 numbers. */
    const double nanoseconds = (double)inputs * outputs * (1 / 8. + rows / 64.);
    deal(multiply_items, &p, num_panels * num_blocks, nanoseconds, num_threads);
}
