/* Draws a token: the largest of logit plus Gumbel noise, a number out of the row's two keys and the
   token's id.

   Integers up to the last step, so the bits are those of sampling/random.py on any device.

   Reference: `draw` in sampling/plain.py. Who calls this: runners/browser. */

#include "threads.h"

#include <math.h>

static inline uint32_t mix(uint32_t bits)
{
    bits = (bits ^ bits >> 16) * 0x21f0aaad;
    bits = (bits ^ bits >> 15) * 0xd35a2d97;
    return bits ^ bits >> 15;
}

static inline float gumbel_noise(uint32_t bits)
{
    const float uniform = (float)(bits >> 9) * 0x1p-23f + 0x1p-24f;
    return -logf(-logf(uniform));
}

/* logits  [vocab_size]; returns the first of the largest sums */
int draw(const float *logits, uint32_t first_key, uint32_t second_key, int vocab_size)
{
    int drawn = 0;
    float most = 0;
    for (int id = 0; id < vocab_size; id++) {
        const float sum = logits[id] + gumbel_noise(mix(mix((uint32_t)id ^ first_key) ^ second_key));
        if (id == 0 || sum > most) {
            most = sum;
            drawn = id;
        }
    }
    return drawn;
}
