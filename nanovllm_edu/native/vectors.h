/* How wide this machine's vectors are, and how many sums its registers hold. */

#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>

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

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Packed __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#endif
