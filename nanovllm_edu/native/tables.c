/* What a step does beside the model: it reads its tokens from a runner's tables, and writes the next
   ones there, where the step after it looks them up.

   look_up   each token's vector, and the slot of the KV cache that it is stored into
   choose    the likeliest token of each row of logits

   References: `DeviceTables.batch` in paged/batch.py; `Sampler`, where all rows are greedy, and
   `DeviceTables.feed_back`. Who calls this: tables.py, which has checked all shapes. */

#include "threads.h"

#include <string.h>

#define PART 256           /* numbers of which the largest is found at once */
#define INFINITE 0x7f800000u /* the bits of infinity: none of a number are more */

struct lookup {
    float *hidden;
    int64_t *slots;
    const float *vectors;
    const int64_t *token_ids, *rows, *positions;
    const int32_t *block_tables;
    int dim, longest, table_width, block_size;
};

static void look_up_tokens(const void *arguments, int64_t first, int64_t end)
{
    const struct lookup *l = arguments;
    for (int64_t i = first; i < end; i++) {
        const int64_t row = l->rows[i], position = l->positions[i];
        const int64_t token_id = l->token_ids[row * l->longest + position];
        const int64_t block = l->block_tables[row * l->table_width + position / l->block_size];
        memcpy(l->hidden + i * l->dim, l->vectors + token_id * l->dim, sizeof(float) * l->dim);
        l->slots[i] = block * l->block_size + position % l->block_size;
    }
}

/* hidden  [num_tokens][dim]           slots, rows, positions  [num_tokens]
   vectors [vocab_size][dim]           token_ids               [all rows][longest]
                                       block_tables            [all rows][table_width] */
void look_up(float *hidden, int64_t *slots, const float *vectors, const int64_t *token_ids,
             const int64_t *rows, const int64_t *positions, const int32_t *block_tables,
             int num_tokens, int dim, int longest, int table_width, int block_size, int num_threads)
{
    const struct lookup lookup = {hidden, slots, vectors, token_ids, rows, positions, block_tables,
                                  dim, longest, table_width, block_size};
    deal(look_up_tokens, &lookup, sizeof lookup, num_tokens, 0.2 * num_tokens * dim, num_threads);
}

struct choice {
    int64_t *chosen;
    uint8_t *are_broken;
    const float *logits;
    int64_t *token_ids;
    const int64_t *rows, *positions;
    int vocab_size, longest;
};

/* The first of the largest numbers; a part is gone through one by one only if it is in there. */
static int64_t likeliest(const float *logits, int64_t count)
{
    float most = logits[0];
    int64_t found = 0;
    for (int64_t begin = 0; begin < count; begin += PART) {
        const int64_t end = begin + PART < count ? begin + PART : count;
        float largest = logits[begin];
        for (int64_t i = begin; i < end; i++)
            largest = logits[i] > largest ? logits[i] : largest;
        if (largest > most) {
            most = largest;
            found = begin;
        }
    }
    while (found + 1 < count && logits[found] != most)
        found++;
    return found;
}

/* Looks at bits, for this is compiled as if there were nothing but finite numbers. */
static int is_broken(const float *logits, int64_t count)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, logits + i, sizeof bits);
        bits &= 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    return most >= INFINITE;
}

static void choose_rows(const void *arguments, int64_t first, int64_t end)
{
    const struct choice *c = arguments;
    for (int64_t i = first; i < end; i++) {
        const float *logits = c->logits + i * c->vocab_size;
        c->chosen[i] = likeliest(logits, c->vocab_size);
        c->are_broken[i] = is_broken(logits, c->vocab_size);
        c->token_ids[c->rows[i] * c->longest + c->positions[i] + 1] = c->chosen[i];
    }
}

/* chosen, are_broken, rows, positions  [num_tokens]    logits  [num_tokens][vocab_size]
   token_ids  [all rows][longest]: the chosen ones are written behind their tokens */
void choose(int64_t *chosen, uint8_t *are_broken, const float *logits, int64_t *token_ids,
            const int64_t *rows, const int64_t *positions, int num_tokens, int vocab_size,
            int longest, int num_threads)
{
    const struct choice choice = {chosen, are_broken, logits, token_ids, rows, positions,
                                  vocab_size, longest};
    deal(choose_rows, &choice, sizeof choice, num_tokens, 0.1 * num_tokens * vocab_size, num_threads);
}
