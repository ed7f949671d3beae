/* 2^x in float32, in arithmetic that compilers turn into vectors.

   The C library's exp2f would be called number by number. Here the whole part of x goes straight
   into the exponent bits, and a polynomial, the series of e^(x ln 2), does what is left in
   [-1/2, 1/2]. e^x is power_of_two(x * LOG2_E). */

#include <math.h>
#include <stdint.h>

#define LOG2_E 1.44269504f

static inline float power_of_two(float x)
{
    x = x < -126.0f ? -126.0f : x; /* the exponents that a normal float has */
    x = x > 127.0f ? 127.0f : x;
    const float whole = floorf(x + 0.5f), r = x - whole;
    const float series = 1 + r * (0.693147181f + r * (0.240226507f + r * (0.0555041087f
        + r * (0.00961812911f + r * (0.00133335581f + r * 0.000154035304f)))));
    const union { int32_t bits; float value; } scale = {.bits = ((int32_t)whole + 127) << 23};
    return scale.value * series;
}
