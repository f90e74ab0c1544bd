/* Threads are started for each call. A pool would not survive a fork (data loaders fork), and one of
 * OpenMP would be a second one beside torch's. Starting a thread takes some 20 microseconds.
 */
#include "parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#define MOST_THREADS 256

#ifndef SEQZOO_SOURCE
#define SEQZOO_SOURCE "unknown"
#endif

typedef struct {
    seqzoo_task task;
    const void *arguments;
    int64_t tasks;
    size_t scratch_bytes;
    _Atomic int64_t next;
    _Atomic int64_t done;
} work;

/* Numbers below the smallest normal one become zero, as states decay below it: with them a processor
 * takes a hundred times as long. Returns the mode before.
 */
static uint64_t flush_denormals(void) {
#if defined(__SSE2__)
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (1u << 24)));
    return before;
#else
    return 0;
#endif
}

static void restore_mode(uint64_t before) {
#if defined(__SSE2__)
    _mm_setcsr((unsigned)before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    (void)before;
#endif
}

static void *worker(void *given) {
    work *shared = given;
    float *scratch = aligned_alloc(64, shared->scratch_bytes);
    if (!scratch) return NULL;
    const uint64_t mode = flush_denormals();
    for (;;) {
        int64_t index = atomic_fetch_add(&shared->next, 1);
        if (index >= shared->tasks) break;
        shared->task(shared->arguments, index, scratch);
        atomic_fetch_add(&shared->done, 1);
    }
    restore_mode(mode);
    free(scratch);
    return NULL;
}

__attribute__((visibility("hidden"))) int seqzoo_parallel(seqzoo_task task, const void *arguments,
                                                          int64_t tasks, int64_t threads,
                                                          size_t scratch_floats) {
    size_t bytes = (scratch_floats * sizeof(float) + 64 + 63) / 64 * 64;
    work shared = {task, arguments, tasks, bytes, 0, 0};
    pthread_t started[MOST_THREADS];
    if (threads > tasks) threads = tasks;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    int64_t count = 0;
    while (count + 1 < threads && !pthread_create(&started[count], NULL, worker, &shared)) count++;
    worker(&shared);
    for (int64_t i = 0; i < count; i++) pthread_join(started[i], NULL);
    return shared.done == tasks ? 0 : 1;
}

/* The fingerprint of the source that the library was built from. */
__attribute__((visibility("default"))) const char *seqzoo_source(void) { return SEQZOO_SOURCE; }

/* The widest vectors that processor and operating system support. */
__attribute__((visibility("default"))) const char *seqzoo_level(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx2")) return "avx512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "avx2";
#endif
    return "baseline";
}
