/* See math.h. */
#define memcpy __builtin_memcpy
