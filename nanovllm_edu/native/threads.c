/* Threads that sleep while they wait, and are not waited for.

   The usual way to run a loop on several cores (OpenMP's) gives each thread its share beforehand,
   and at the end everybody waits for everybody, burning time in a loop meanwhile. That is the
   fastest way on a machine that does nothing else. Where a browser runs too, one thread is now and
   then kept from its core for some milliseconds; the others burn theirs until it is back, and the
   system, which sees how much they use, lets them wait even longer the next time.

   Here:
   - Small jobs are not shared: waking somebody would take as long.
   - Who calls begins at once, and takes piece after piece. A helper that wakes up takes pieces
     too. One that has not come when the last piece is taken has missed nothing: nobody waits for
     it, only for pieces that somebody is at.
   - Who waits watches for as long as going to sleep and waking up would take (`WATCH`), then
     sleeps, and costs nothing. The jobs of a step follow each other so closely that a helper is
     woken once for all of them.

   A piece is claimed by one atomic exchange of `open`, which says which job it is of. So whoever
   has claimed one knows that the job cannot end before it is done, and may read what it is about.

   Reference: `deal_to_nobody` in threads.h. Who calls this: our kernels; threads.py lets them. */

#include "tape.h"
#include "threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define PIECES_EACH 8 /* for neither threads nor pieces are equally fast */
#define WATCH 50e3    /* nanoseconds */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; /* held by who has the helpers */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards who sleeps */
static pthread_cond_t is_wanted = PTHREAD_COND_INITIALIZER;
static pthread_cond_t is_done = PTHREAD_COND_INITIALIZER;
static int num_helpers, num_wanted;
static _Atomic int num_watching; /* or woken a moment ago */
static _Atomic int is_caller_asleep;

static struct {
    Work *work;
    const void *arguments;
    int64_t num_items, piece;
    int num_pieces;
} job; /* the one that is dealt out */

/* The number of the job, how many helpers may still join it, and the pieces that are left. */
#define PIECES(open) ((int)((open) & 0xffff))
#define PLACES(open) ((int)((open) >> 16 & 0xff))
#define NUMBER(open) ((open) >> 24)
#define ONE_PLACE (1 << 16)
static _Atomic uint64_t open;
static _Atomic int num_unfinished; /* pieces */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

/* A breath of a thread that watches: a hint to the processor, where it knows one. */
static inline void breathe(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Does one piece, if there is one. A helper needs a place in each job, of which it is told in
   `joined`; who called (NULL) has one. */
static int take_piece(uint64_t *joined)
{
    uint64_t seen = atomic_load(&open);
    for (;;) {
        const int is_new = joined && *joined != NUMBER(seen);
        if (PIECES(seen) == 0 || (is_new && PLACES(seen) == 0))
            return 0;
        if (atomic_compare_exchange_weak(&open, &seen, seen - 1 - (is_new ? ONE_PLACE : 0)))
            break;
    }
    if (joined)
        *joined = NUMBER(seen);
    const int64_t first = (job.num_pieces - PIECES(seen)) * job.piece, end = first + job.piece;
    job.work(job.arguments, first, end < job.num_items ? end : job.num_items);
    if (atomic_fetch_sub(&num_unfinished, 1) == 1 && atomic_load(&is_caller_asleep)) {
        pthread_mutex_lock(&lock);
        pthread_cond_signal(&is_done);
        pthread_mutex_unlock(&lock);
    }
    return 1;
}

static void *help(void *nothing)
{
    uint64_t joined = 0;
    for (;;) {
        pthread_mutex_lock(&lock);
        while (num_wanted == 0)
            pthread_cond_wait(&is_wanted, &lock);
        num_wanted--;
        pthread_mutex_unlock(&lock);
        for (double until = now() + WATCH; now() < until;) {
            if (take_piece(&joined))
                until = now() + WATCH;
            for (int i = 0; i < 8; i++)
                breathe();
        }
        atomic_fetch_sub(&num_watching, 1);
    }
    return nothing;
}

/* A child process has the memory of its parent, but not its threads. */
static void forget_helpers(void)
{
    pthread_mutex_init(&turn, NULL);
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&is_wanted, NULL);
    pthread_cond_init(&is_done, NULL);
    num_helpers = num_wanted = 0;
    atomic_store(&num_watching, 0);
    atomic_store(&is_caller_asleep, 0);
}

static void ask_to_forget(void) { pthread_atfork(NULL, NULL, forget_helpers); }

/* Starts helpers until there are `enough`, or as many as the system gives. */
static void find_helpers(int enough)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ask_to_forget);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for Python's threads */
    for (pthread_t helper; num_helpers < enough; num_helpers++) {
        if (pthread_create(&helper, NULL, help, NULL))
            break;
        pthread_detach(helper);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Sees to it that so many helpers watch, or are about to. */
static void wake(int enough)
{
    if (atomic_load(&num_watching) >= enough)
        return;
    pthread_mutex_lock(&lock);
    find_helpers(enough);
    const int most = enough < num_helpers ? enough : num_helpers;
    const int missing = most - atomic_load(&num_watching);
    if (missing > 0) {
        num_wanted += missing;
        atomic_fetch_add(&num_watching, missing); /* already now: jobs are to be shared with them */
    }
    pthread_mutex_unlock(&lock);
    for (int helper = 0; helper < missing; helper++)
        pthread_cond_signal(&is_wanted);
}

/* Waits for the pieces that helpers are at. */
static void wait_for_helpers(void)
{
    for (double until = now() + WATCH; now() < until;) {
        if (atomic_load(&num_unfinished) == 0)
            return;
        breathe();
    }
    pthread_mutex_lock(&lock);
    atomic_store(&is_caller_asleep, 1);
    while (atomic_load(&num_unfinished) > 0)
        pthread_cond_wait(&is_done, &lock);
    atomic_store(&is_caller_asleep, 0);
    pthread_mutex_unlock(&lock);
}

/* Does items 0 to num_items - 1 of a job, which would take one thread about `nanoseconds`. */
void deal_out(Work *work, const void *arguments, int size, int64_t num_items, double nanoseconds,
              int num_threads)
{
    if (recording) {
        write_down(work, arguments, size, num_items, nanoseconds);
        return;
    }
    const int most = num_threads < 256 ? num_threads : 256; /* places are 8 bits */
    const double each = atomic_load(&num_watching) ? WORTH_SHARING : WORTH_WAKING;
    const int threads = threads_worth(num_items, nanoseconds, each, most);
    if (threads == 1 || pthread_mutex_trylock(&turn)) { /* helpers who help another are no help */
        work(arguments, 0, num_items);
        return;
    }
    const int64_t pieces = (int64_t)threads * PIECES_EACH;
    job.work = work, job.arguments = arguments, job.num_items = num_items;
    job.piece = (num_items + pieces - 1) / pieces;
    job.num_pieces = (int)((num_items + job.piece - 1) / job.piece);
    atomic_store(&num_unfinished, job.num_pieces);
    const uint64_t number = NUMBER(atomic_load(&open)) + 1, places = threads - 1;
    atomic_store(&open, number << 24 | places << 16 | job.num_pieces);
    if (nanoseconds >= 2 * WORTH_WAKING)
        wake(threads - 1);

    while (take_piece(NULL))
        ;
    wait_for_helpers();
    pthread_mutex_unlock(&turn);
}

/* Does all jobs of a tape anew, with what now lies where they read. */
void play(const struct tape *tape, int num_threads)
{
    double nanoseconds = 0;
    for (int i = 0; i < tape->length; i++)
        nanoseconds += tape->jobs[i].nanoseconds;
    if (nanoseconds >= 2 * WORTH_WAKING && num_threads > 1)
        wake(num_threads - 1);
    for (int i = 0; i < tape->length; i++) {
        const struct job *job = &tape->jobs[i];
        deal_out(job->work, job->arguments, MOST_BYTES, job->num_items, job->nanoseconds,
                 num_threads);
    }
}
