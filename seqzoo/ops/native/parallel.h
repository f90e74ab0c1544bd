/* Tasks over threads. */
#ifndef SEQZOO_PARALLEL_H
#define SEQZOO_PARALLEL_H

#include <stddef.h>
#include <stdint.h>

/* One task; scratch is aligned to 64 bytes and belongs to the thread. */
typedef void (*seqzoo_task)(const void *arguments, int64_t index, float *scratch);

/* Run tasks 0 .. tasks - 1 on up to that many threads and return 0, or 1 where memory is missing.
 *
 * Which thread runs a task is left to chance, so tasks must write to places of their own.
 */
int seqzoo_parallel(seqzoo_task task, const void *arguments, int64_t tasks, int64_t threads,
                    size_t scratch_floats);

#endif
