/* How a kernel gives a job to the threads of `threads.c`.

   A job has items: rows, tokens, parts of a result. A kernel puts what its function needs into a
   struct and calls

       deal(function, &arguments, sizeof arguments, number of items, nanoseconds of all,
            number of threads)

   Each library of ours is told by `use_threads` where the threads are; until then it works alone. */

#ifndef THREADS_H
#define THREADS_H

#include <stdint.h>

typedef void Work(const void *arguments, int64_t first, int64_t end);
typedef void Deal(Work *work, const void *arguments, int size, int64_t num_items,
                  double nanoseconds, int num_threads);

/* Nanoseconds of work for each thread: waking one takes 5 to 50 us, telling one that watches 1. */
#define WORTH_WAKING 100e3
#define WORTH_SHARING 10e3

/* How many of `num_threads` a job is worth. The time is a guess: a factor of two does no harm. */
static inline int threads_worth(int64_t num_items, double nanoseconds, double nanoseconds_each,
                                int num_threads)
{
    const double worth = nanoseconds / nanoseconds_each;
    const double most = worth < num_items ? worth : num_items;
    return most < 1 ? 1 : most < num_threads ? (int)most : num_threads;
}

void deal_to_nobody(Work *work, const void *arguments, int size, int64_t num_items,
                    double nanoseconds, int num_threads)
{
    (void)size, (void)nanoseconds, (void)num_threads;
    work(arguments, 0, num_items);
}

static Deal *deal = deal_to_nobody;

void use_threads(Deal *other_deal) { deal = other_deal; }

#endif
