/* What our C files need of the C library in a browser: instructions, and a function of Python's. */
#define sqrtf __builtin_sqrtf
#define floorf __builtin_floorf
float logf(float);
