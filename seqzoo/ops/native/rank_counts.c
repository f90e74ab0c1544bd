/* How many scores are higher than, and equal to, one score of their row: integers, so the results are
 * those of any other way to count.
 */
#include "parallel.h"
#include "vector.h"

typedef struct {
    int64_t rows, columns, pairs, threads;
    float *scores;        /* [B, n]; those of the pairs become NaN */
    const float *wanted;  /* [B] */
    const int64_t *own;   /* [B]: the column of the wanted score, or -1 */
    const int64_t *pair_rows, *pair_columns; /* [E]: what is left out of the second counts */
    int64_t *counts;      /* [2, 2, B]: of all and without the pairs; higher and equal */
    int64_t *nans;        /* [B] */
} rank_counts;

/* -1 in each lane where the condition holds. */
INLINE int64_t lanes_sum(ivec counts) {
    int64_t total = 0;
    for (int l = 0; l < LANES; l++) total -= counts[l];
    return total;
}

static void count_row(const void *arguments, int64_t r, float *scratch) {
    (void)scratch;
    const rank_counts *a = arguments;
    const float *scores = a->scores + r * a->columns, wanted = a->wanted[r];
    ivec higher = {0}, equal = {0}, nans = {0};
    int64_t i = 0, more = 0, same = 0, bad = 0;
    for (; i + LANES <= a->columns; i += LANES) {
        const vec value = load(scores + i, LANES);
        higher += value > splat(wanted);
        equal += value == splat(wanted);
        nans += value != value;
    }
    for (; i < a->columns; i++) {
        more += scores[i] > wanted;
        same += scores[i] == wanted;
        bad += scores[i] != scores[i];
    }
    a->counts[r] = a->counts[2 * a->rows + r] = more + lanes_sum(higher);
    a->counts[a->rows + r] = a->counts[3 * a->rows + r] = same + lanes_sum(equal);
    a->nans[r] = bad + lanes_sum(nans);
}

int EXPORT(seqzoo_rank_counts)(const rank_counts *a) {
    const int64_t useful = 1 + (a->rows * a->columns >> 20);
    const int failed = seqzoo_parallel(count_row, a, a->rows,
                                       a->threads < useful ? a->threads : useful, 0);
    for (int64_t e = 0; !failed && e < a->pairs; e++) {
        const int64_t r = a->pair_rows[e], c = a->pair_columns[e];
        float *score = a->scores + r * a->columns + c;
        /* A pair that is there twice counts once, as NaN is neither higher nor equal. */
        if (c == a->own[r]) continue;
        a->counts[2 * a->rows + r] -= *score > a->wanted[r];
        a->counts[3 * a->rows + r] -= *score == a->wanted[r];
        *score = __builtin_nanf("");
    }
    return failed;
}
