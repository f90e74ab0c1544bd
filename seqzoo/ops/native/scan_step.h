/* One more position of every sequence by the selective scan and by SSD; everything is contiguous. */
#ifndef SEQZOO_SCAN_STEP_H
#define SEQZOO_SCAN_STEP_H

#include "parallel.h"
#include "vector.h"

typedef struct {
    int64_t batch, channels, states, threads;
    const float *x, *step, *decay, *write, *read, *state; /* state [B, N, I] */
    float *y, *after;
} one_step;

typedef struct {
    int64_t batch, heads, width, states, threads;
    const float *x, *step, *decay, *write, *read, *state; /* state [B, H, P, N] */
    float *y, *after;
} one_ssd_step;

/* Tasks for sequence b. */
void JOIN(seqzoo_scan_step_of, LEVEL)(const void *arguments, int64_t b, float *scratch);
void JOIN(seqzoo_ssd_step_of, LEVEL)(const void *arguments, int64_t b, float *scratch);

#endif
