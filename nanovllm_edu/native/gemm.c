/* x times a weight's transpose, for any number of rows of x, float32; the weight float32 or int8.

   A processor multiplies fastest when its operands lie in registers. So `ROWS` rows of x meet
   `WIDTH` columns of the result at a time: their sums, ROWS x WIDTH of them, stay in registers
   until they are complete, and for each step of the sum only WIDTH weights and ROWS numbers of x
   are read.

   The weight, of which a result needs all the rows, is laid out beforehand in the order in which
   it is read ("packed"):

       packed  [panels][inputs][WIDTH]      WIDTH outputs to a panel, the last filled up with zeros

   With one row, a new token of one request, nothing is used twice: reading the weight is all there
   is to it, and memory gives its best when it is read from front to back.

   And a little ahead: the processor itself fetches what comes next, but begins anew at each page.

   So a weight may also be kept in integers of 8 bits, a quarter of the bytes. Four inputs of an
   output lie side by side, to be read as one word, and GROUP of them share a scale:

       packed  [panels][inputs / 4][WIDTH][4]   integers
       scales  [panels][groups][WIDTH]          float32

   They are unpacked on the way to the sums: the result is, to the last bit, the product with the
   unpacked weight.

   Every sum is taken in the order of the inputs, whatever the number of rows: so a row's result
   does not depend, not even in its last bit, on who else is in the batch.

   Reference: `reference` in layers/packed.py, and `dequantize` in layers/int8.py. Who calls this:
   gemm.py, which has checked all shapes. */

#include "threads.h"
#include "vectors.h"

#include <stddef.h>
#include <string.h>

/* Other files let the compiler reorder sums. Here the order is what makes rows independent. */
#ifdef __clang__
#pragma clang fp reassociate(off)
#else
#pragma GCC optimize("no-associative-math")
#endif

#define BLOCK (8 * ROWS) /* rows of x that stay in the core's cache while weights pass by */
#define GROUP 64         /* inputs that share a scale */
#define AHEAD 12288      /* bytes: what is fetched when weights are read */

struct gemm {
    float *out;
    const float *x;
    const void *packed;  /* float, or int8_t where there are scales */
    const float *scales; /* or NULL */
    const float *bias;   /* or NULL */
    int64_t x_stride;
    int rows, inputs, outputs;
};

static inline int smaller(int64_t a, int64_t b) { return (int)(a < b ? a : b); }

const int panel_width = WIDTH, group_size = GROUP; /* for gemm.py, which packs */

/* Has what lies a little behind these WIDTH words fetched; nothing happens if nothing is there. */
static inline void fetch_ahead(const void *words)
{
    for (int byte = 0; byte < 4 * WIDTH; byte += 64)
        __builtin_prefetch((const char *)words + AHEAD + byte);
}

/* Adds the inputs of `rows` rows times a panel to their sums. */
static inline __attribute__((always_inline)) void
add_float(Vector sums[][VECTORS], const int rows, const struct gemm *p, const float *x,
          int64_t column)
{
    const float *panel = (const float *)p->packed + column * p->inputs;
    for (int64_t i = 0; i < p->inputs; i++) {
        const Vector *weights = (const Vector *)(panel + i * WIDTH);
        fetch_ahead(weights);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < VECTORS; v++)
                sums[r][v] += x[r * p->x_stride + i] * weights[v];
    }
}

/* The same, of weights that are unpacked on the way: a shift to and fro leaves one of the four. */
static inline __attribute__((always_inline)) void
add_int8(Vector sums[][VECTORS], const int rows, const struct gemm *p, const float *x,
         int64_t column)
{
    const int8_t *panel = (const int8_t *)p->packed + column * p->inputs;
    const float *scales = p->scales + column * ((p->inputs + GROUP - 1) / GROUP);
    for (int64_t i = 0; i < p->inputs; i += 4) {
        fetch_ahead(panel + i * WIDTH);
        for (int v = 0; v < VECTORS; v++) {
            const Packed four = ((const Packed *)(panel + i * WIDTH))[v];
            const Vector scale = ((const Vector *)(scales + i / GROUP * WIDTH))[v];
            for (int k = 0; k < 4; k++) {
                const Packed one = four << (24 - 8 * k) >> 24;
                const Vector weight = __builtin_convertvector(one, Vector) * scale;
                for (int r = 0; r < rows; r++)
                    sums[r][v] += x[r * p->x_stride + i + k] * weight;
            }
        }
    }
}

/* `rows` rows against one panel. A constant when it is compiled, or the sums would not be kept in
   registers: hence `multiply_rows`. */
static inline __attribute__((always_inline)) void
multiply(const int rows, const struct gemm *p, int64_t row, int64_t column)
{
    const float *x = p->x + row * p->x_stride;
    Vector sums[ROWS][VECTORS];
    float bias[WIDTH] = {0};
    const int width = smaller(WIDTH, p->outputs - column);
    if (p->bias)
        memcpy(bias, p->bias + column, sizeof(float) * width);
    for (int r = 0; r < rows; r++)
        memcpy(sums[r], bias, sizeof bias);
    if (p->scales)
        add_int8(sums, rows, p, x, column);
    else
        add_float(sums, rows, p, x, column);
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

/* A core reads about 32 bytes of weights a nanosecond, and multiplies 64 numbers. */
static void run(const struct gemm *p, double bytes_per_weight, int num_threads)
{
    const int64_t num_panels = (p->outputs + WIDTH - 1) / WIDTH;
    const int64_t num_blocks = (p->rows + BLOCK - 1) / BLOCK;
    const double nanoseconds =
        (double)p->inputs * p->outputs * (bytes_per_weight / 32 + p->rows / 64.);
    deal(multiply_items, p, sizeof *p, num_panels * num_blocks, nanoseconds, num_threads);
}

/* out [rows][outputs] = x times weight + bias

   x     [rows][inputs], its rows `x_stride` numbers apart
   bias  [outputs], or NULL */
void gemm(float *out, const float *x, const float *packed, const float *bias, int64_t x_stride,
          int rows, int inputs, int outputs, int num_threads)
{
    const struct gemm p = {out, x, packed, NULL, bias, x_stride, rows, inputs, outputs};
    run(&p, sizeof(float), num_threads);
}

/* The same, with a weight in integers and their scales; `inputs` is a multiple of 4. */
void gemm_int8(float *out, const float *x, const int8_t *packed, const float *scales,
               const float *bias, int64_t x_stride, int rows, int inputs, int outputs,
               int num_threads)
{
    const struct gemm p = {out, x, packed, scales, bias, x_stride, rows, inputs, outputs};
    run(&p, sizeof(int8_t), num_threads);
}

struct packing {
    uint32_t *packed;
    const uint32_t *weight;
    int inputs, outputs;
};

#define SQUARE 16 /* words, of a line of the cache: whole lines are read and written */

/* Items are panels: rows of a weight become columns. */
static void pack_items(const void *arguments, int64_t first, int64_t end)
{
    const struct packing *p = arguments;
    for (int64_t column = first * WIDTH; column < end * WIDTH; column += WIDTH) {
        const uint32_t *rows = p->weight + column * p->inputs;
        uint32_t *panel = p->packed + column * p->inputs;
        const int width = smaller(WIDTH, p->outputs - column);
        for (int64_t i = 0; i < p->inputs; i += SQUARE)
            for (int row = 0; row < width; row++)
                for (int64_t j = i; j < smaller(i + SQUARE, p->inputs); j++)
                    panel[j * WIDTH + row] = rows[row * (int64_t)p->inputs + j];
    }
}

/* Lays out a weight [outputs][inputs] of words, float or four integers, in panels. The last one's
   zeros are there already. A core takes about a nanosecond for a word of new memory. */
void pack(uint32_t *packed, const uint32_t *weight, int inputs, int outputs, int num_threads)
{
    const struct packing p = {packed, weight, inputs, outputs};
    const int64_t num_panels = (outputs + WIDTH - 1) / WIDTH;
    deal(pack_items, &p, sizeof p, num_panels, (double)inputs * outputs, num_threads);
}
