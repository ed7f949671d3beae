/* What a grammar forbids cannot be drawn: its logits become minus infinity, the others are copied.

   Numbers are moved as integers, so that all that is not forbidden keeps its bits.

   Reference: `hold` in sampling/edits.py. Who calls this: mask.py, which has checked all shapes. */

#include "threads.h"

#include <string.h>

#define MINUS_INFINITY 0xff800000u
#define PER_NUMBER 0.1 /* nanoseconds, about */

struct mask {
    uint32_t *out;
    const uint32_t *logits;
    const uint8_t *bits;
    int vocab_size, num_bytes;
};

typedef uint32_t eight __attribute__((vector_size(32))); /* the logits of one byte of bits */

static inline void hold_byte(uint32_t *out, const uint32_t *in, uint32_t byte, size_t num_bytes)
{
    const eight places = {0, 1, 2, 3, 4, 5, 6, 7}, bytes = byte - (eight){0};
    const eight kept = (bytes >> places & 1) == 1; /* all bits, or none */
    eight logits = {0};
    memcpy(&logits, in, num_bytes);
    logits = (logits & kept) | (MINUS_INFINITY & ~kept);
    memcpy(out, &logits, num_bytes);
}

static void hold_rows(const void *arguments, int64_t first, int64_t end)
{
    const struct mask m = *(const struct mask *)arguments;
    for (int64_t row = first; row < end; row++) {
        const uint32_t *in = m.logits + row * m.vocab_size;
        const uint8_t *bits = m.bits + row * m.num_bytes;
        uint32_t *out = m.out + row * m.vocab_size;
        int id = 0;
        for (; id + 8 <= m.vocab_size; id += 8)
            hold_byte(out + id, in + id, bits[id / 8], sizeof(eight));
        if (id < m.vocab_size)
            hold_byte(out + id, in + id, bits[id / 8], (m.vocab_size - id) * sizeof *in);
    }
}

/* out, logits  [rows][vocab_size]     bits  [rows][num_bytes], the lowest of a byte first */
void hold(float *out, const float *logits, const uint8_t *bits,
          int rows, int vocab_size, int num_bytes, int num_threads)
{
    const struct mask mask = {(uint32_t *)out, (const uint32_t *)logits, bits, vocab_size, num_bytes};
    deal(hold_rows, &mask, sizeof mask, rows, PER_NUMBER * rows * vocab_size, num_threads);
}
