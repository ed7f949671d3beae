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
   - Who waits sleeps, and costs nothing.

   Reference: `deal_to_nobody` in threads.h. Who calls this: our kernels; threads.py lets them. */

#include "threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define PIECES_EACH 16 /* for neither threads nor pieces are equally fast */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; /* held by who has the helpers */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below but next_item */
static pthread_cond_t is_wanted = PTHREAD_COND_INITIALIZER;
static pthread_cond_t is_done = PTHREAD_COND_INITIALIZER;
static int num_helpers, num_wanted, num_working;

static struct {
    Work *work;
    const void *arguments;
    int64_t num_items, piece;
} job;
static _Atomic int64_t next_item;

static void take_pieces(void)
{
    for (;;) {
        const int64_t first = atomic_fetch_add(&next_item, job.piece);
        if (first >= job.num_items)
            return;
        const int64_t end = first + job.piece;
        job.work(job.arguments, first, end < job.num_items ? end : job.num_items);
    }
}

static void *help(void *nothing)
{
    pthread_mutex_lock(&lock);
    for (;;) {
        while (num_wanted == 0)
            pthread_cond_wait(&is_wanted, &lock);
        num_wanted--;
        num_working++;
        pthread_mutex_unlock(&lock);
        take_pieces();
        pthread_mutex_lock(&lock);
        if (--num_working == 0)
            pthread_cond_signal(&is_done);
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
    num_helpers = num_wanted = num_working = 0;
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

/* Does items 0 to num_items - 1 of a job, which would take one thread about `nanoseconds`. */
void deal_out(Work *work, const void *arguments, int64_t num_items, double nanoseconds,
              int num_threads)
{
    const int threads = threads_worth(num_items, nanoseconds, num_threads);
    if (threads == 1 || pthread_mutex_trylock(&turn)) { /* helpers who help another are no help */
        work(arguments, 0, num_items);
        return;
    }
    const int64_t pieces = (int64_t)threads * PIECES_EACH;
    pthread_mutex_lock(&lock);
    find_helpers(threads - 1);
    job.work = work, job.arguments = arguments, job.num_items = num_items;
    job.piece = (num_items + pieces - 1) / pieces;
    atomic_store(&next_item, 0);
    num_wanted = threads - 1;
    pthread_mutex_unlock(&lock);
    for (int helper = 1; helper < threads; helper++)
        pthread_cond_signal(&is_wanted);

    take_pieces();

    pthread_mutex_lock(&lock);
    num_wanted = 0;
    while (num_working > 0)
        pthread_cond_wait(&is_done, &lock);
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&turn);
}
