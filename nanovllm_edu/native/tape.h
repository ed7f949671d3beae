/* A tape: the jobs of a step, written down, to be done by one call as often as one likes.

   A step of a small model is a hundred jobs of some microseconds each, and between two of them
   Python prepares the next one for longer than it takes. But the next step's jobs are the same
   ones: the same functions, the same addresses. Only what lies there is different: other tokens at
   other positions. So the arguments are kept, and later steps put theirs into the same memory. On a
   GPU the same idea is called a CUDA graph.

   While a thread records, `deal_out` (threads.c) writes its jobs down here instead of doing them.
   Who calls this: native/tape.py. */

#ifndef TAPE_H
#define TAPE_H

#include "threads.h"

#include <stdlib.h>
#include <string.h>

#define MOST_BYTES 128 /* of the arguments of a job */

struct job {
    Work *work;
    int64_t num_items;
    double nanoseconds;
    int64_t arguments[MOST_BYTES / 8];
};

struct tape {
    struct job *jobs;
    int length, is_broken; /* a job is missing */
};

static _Thread_local struct tape *recording; /* what this thread writes to, or NULL */

static void write_down(Work *work, const void *arguments, int size, int64_t num_items,
                       double nanoseconds)
{
    struct job *jobs = realloc(recording->jobs, sizeof *jobs * (recording->length + 1));
    if (jobs)
        recording->jobs = jobs;
    if (!jobs || size > MOST_BYTES) {
        recording->is_broken = 1;
        return;
    }
    struct job *job = &jobs[recording->length++];
    *job = (struct job){work, num_items, nanoseconds, {0}};
    memcpy(job->arguments, arguments, size);
}

/* Starts to record what this thread's kernels do; NULL if there is no memory for it. */
struct tape *begin_tape(void) { return recording = calloc(1, sizeof *recording); }

/* Ends it, if there is one; returns the number of jobs, or -1 if one could not be kept. */
int end_tape(void)
{
    const int length = !recording || recording->is_broken ? -1 : recording->length;
    recording = NULL;
    return length;
}

void free_tape(struct tape *tape)
{
    free(tape->jobs);
    free(tape);
}

#endif
