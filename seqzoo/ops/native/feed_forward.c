/* The position-wise feed-forward layer in one pass over the rows, in float32:
 *
 *     y = LayerNorm(W2 f(W1 x + b1) + b2 + x),   f is gelu or hardswish
 *
 * What lies between the matrices stays in the cache. A task is a group of rows; the results of a row
 * do not depend on the others, to the last bit.
 */
#include <math.h>

#include "functions.h"
#include "parallel.h"
#include "rows.h"

#define GROUP 64 /* rows of a task */

typedef struct {
    int64_t rows, width, inner, threads, hardswish;
    double eps;
    const float *x;              /* [rows, D] */
    const float *first, *second; /* [panels, D, PANEL] and [panels, F, PANEL] */
    const float *first_bias;     /* [in_panels(F)] */
    const float *second_bias;    /* these are [in_panels(D)] */
    const float *weight, *bias;  /* of the LayerNorm */
    float *y;                    /* [rows, D] */
} feed_forward;

/* `values` [in_panels(D)] has zeros after D; they stay out of the moments. */
INLINE void normalise(const feed_forward *a, float *values) {
    const int64_t width = a->width;
    float sums[LANES], mean = 0.0f, variance = 0.0f;
    vec part = splat(0.0f);
    int64_t i = 0;
    for (; i < width; i += LANES) part += load(values + i, LANES);
    memcpy(sums, &part, sizeof sums);
    for (int l = 0; l < LANES; l++) mean += sums[l];
    mean /= (float)width;
    part = splat(0.0f);
    for (i = 0; i + LANES <= width; i += LANES) {
        const vec value = load(values + i, LANES) - mean;
        part += value * value;
    }
    memcpy(sums, &part, sizeof sums);
    for (int l = 0; l < LANES; l++) variance += sums[l];
    for (; i < width; i++) variance = fused(values[i] - mean, values[i] - mean, variance);
    const float factor = 1.0f / sqrtf(variance / (float)width + (float)a->eps);
    for (i = 0; i < width; i += LANES) {
        const vec value = (load(values + i, LANES) - mean) * factor;
        store(values + i, value * load(a->weight + i, LANES) + load(a->bias + i, LANES), LANES);
    }
}

static void task(const void *arguments, int64_t index, float *scratch) {
    const feed_forward *a = arguments;
    const int64_t width = a->width, padded = in_panels(width), inner = in_panels(a->inner);
    const int64_t end = (index + 1) * GROUP < a->rows ? (index + 1) * GROUP : a->rows;
    float *x = scratch, *between = x + TILE * padded, *y = between + TILE * inner;
    memset(x, 0, TILE * padded * sizeof(float));
    for (int64_t first = index * GROUP; first < end; first += TILE) {
        const int64_t count = end - first < TILE ? end - first : TILE;
        for (int64_t r = 0; r < count; r++)
            memcpy(x + r * padded, a->x + (first + r) * width, width * sizeof(float));
        tile_product(a->first, width, a->inner, x, padded, between, inner);
        for (int64_t r = 0; r < TILE; r++)
            for (int64_t i = 0; i < inner; i += LANES) {
                float *value = between + r * inner + i;
                const vec sum = load(value, LANES) + load(a->first_bias + i, LANES);
                store(value, a->hardswish ? hardswish(sum) : gelu(sum), LANES);
            }
        tile_product(a->second, a->inner, width, between, inner, y, padded);
        for (int64_t r = 0; r < count; r++) {
            float *values = y + r * padded;
            for (int64_t i = 0; i < padded; i += LANES)
                store(values + i,
                      load(values + i, LANES) + load(a->second_bias + i, LANES) +
                          load(x + r * padded + i, LANES),
                      LANES);
            normalise(a, values);
            memcpy(a->y + (first + r) * width, values, width * sizeof(float));
        }
    }
}

int EXPORT(seqzoo_feed_forward)(const feed_forward *a) {
    const int64_t floats = TILE * (2 * in_panels(a->width) + in_panels(a->inner));
    return seqzoo_parallel(task, a, (a->rows + GROUP - 1) / GROUP, a->threads, floats);
}
