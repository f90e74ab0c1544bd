/* Products of a few rows with a matrix whose outputs lie in panels: [panels, inputs, PANEL]. */
#ifndef SEQZOO_ROWS_H
#define SEQZOO_ROWS_H

#include "vector.h"

#define PANEL 16 /* outputs whose weights lie together */
#define TILE 8   /* rows that are multiplied together: each weight is read once for all of them */

INLINE int64_t in_panels(int64_t outputs) { return (outputs + PANEL - 1) / PANEL * PANEL; }

/* LANES * `vectors` outputs from `first` on, for TILE rows. The sums of a row have one order. */
INLINE void tile_columns(const float *weight, int64_t inputs, const float *x, int64_t stride,
                         int64_t first, const int vectors, float *y, int64_t to_stride) {
    const float *from[2];
    vec sums[2][TILE];
    for (int v = 0; v < vectors; v++) {
        const int64_t output = first + v * LANES;
        from[v] = weight + output / PANEL * inputs * PANEL + output % PANEL;
        for (int r = 0; r < TILE; r++) sums[v][r] = splat(0.0f);
    }
    for (int64_t k = 0; k < inputs; k++) {
        vec values[2];
        for (int v = 0; v < vectors; v++) values[v] = load(from[v] + k * PANEL, LANES);
#pragma GCC unroll 8
        for (int r = 0; r < TILE; r++) {
            const vec value = splat(x[r * stride + k]);
            for (int v = 0; v < vectors; v++) sums[v][r] += values[v] * value;
        }
    }
    for (int v = 0; v < vectors; v++)
        for (int r = 0; r < TILE; r++) store(y + r * to_stride + first + v * LANES, sums[v][r], LANES);
}

/* y [TILE, in_panels(outputs)] = x [TILE, inputs] times the matrix. */
INLINE void tile_product(const float *weight, int64_t inputs, int64_t outputs, const float *x,
                         int64_t stride, float *y, int64_t to_stride) {
    int64_t o = 0;
    for (; o + 2 * LANES <= in_panels(outputs); o += 2 * LANES)
        tile_columns(weight, inputs, x, stride, o, 2, y, to_stride);
    for (; o < in_panels(outputs); o += LANES)
        tile_columns(weight, inputs, x, stride, o, 1, y, to_stride);
}

#endif
