/* A scan of rounded item vectors for the best of each user.
 *
 * The score of an item is known up to a bound: lower <= score <= upper. A user's floor is the k-th
 * highest lower bound so far, and an item is found if its upper bound reaches it. What has been found
 * is a superset of the best k, whatever the order of the items.
 *
 * Codes of items are 7 bits, with 64 added, and those of users 7 bits with a sign, so that the sum of
 * two products fits 16 bits, in which AVX2 adds them. Items are interleaved in groups of ITEMS: four
 * codes of each, then the next four. A task is a part of the items; a block of them is scanned for
 * all users while it is in the cache.
 */
#include <math.h>

#include "parallel.h"
#include "vector.h"

#define ITEMS 16    /* of a group */
#define GROUPS 128  /* of a block */
#define TOGETHER 4  /* users for whom a group is read once */
#define OFFSET 64

typedef struct {
    int64_t items, width, users, wanted, parts, capacity, threads; /* width: a multiple of 4 */
    const uint8_t *codes;          /* [groups, width / 4, ITEMS, 4] */
    const float *scales;           /* [groups, ITEMS], as all factors of the items */
    const float *errors, *lengths; /* the factors of the bound */
    const int8_t *user_codes;      /* [users, width] */
    const float *user_scales, *user_lengths, *user_errors; /* [users] */
    const int64_t *excluded, *excluded_from; /* ascending items of each user; [users + 1] */
    float *lowest;                           /* [parts, users, wanted]: heaps of lower bounds */
    int64_t *found;                          /* [parts, users, capacity]: items */
    float *lower, *upper;                    /* the same: bounds */
    int64_t *counts;                         /* [parts, users]; -1 where they are too many */
} table;

/* What has been found for one user in one part. */
typedef struct {
    const table *a;
    int64_t user, at; /* at: of the user in the part */
} place;

INLINE uint32_t lanes_at_least(vec values, float bound) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask(values, _mm512_set1_ps(bound), _CMP_GE_OQ);
#elif defined(__AVX2__)
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(values, _mm256_set1_ps(bound), _CMP_GE_OQ));
#else
    uint32_t mask = 0;
    for (int l = 0; l < LANES; l++) mask |= (uint32_t)(values[l] >= bound) << l;
    return mask;
#endif
}

/* Put a lower bound into a heap, whose lowest is first; the lowest falls out. */
static void push(float *heap, int64_t size, float value) {
    int64_t at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= size) break;
        if (child + 1 < size && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= value) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

static int is_excluded(const table *a, int64_t user, int64_t item) {
    int64_t low = a->excluded_from[user], high = a->excluded_from[user + 1];
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (a->excluded[middle] == item) return 1;
        if (a->excluded[middle] < item)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* Keep what still reaches the floor. */
static void compact(const place *to, float floor) {
    const table *a = to->a;
    const int64_t first = to->at * a->capacity, stop = first + a->counts[to->at];
    int64_t kept = first;
    for (int64_t i = first; i < stop; i++) {
        if (a->upper[i] < floor) continue;
        a->found[kept] = a->found[i];
        a->lower[kept] = a->lower[i];
        a->upper[kept++] = a->upper[i];
    }
    a->counts[to->at] = kept - first;
}

/* An item whose upper bound reaches the floor; returns the new floor. */
static float keep(const place *to, int64_t item, float lower, float upper, float floor) {
    const table *a = to->a;
    if (item >= a->items || is_excluded(a, to->user, item)) return floor;
    int64_t *count = a->counts + to->at;
    if (*count == a->capacity) {
        compact(to, floor);
        if (*count > a->capacity / 4 * 3) *count = -1;
    }
    if (*count < 0) return INFINITY;
    const int64_t i = to->at * a->capacity + (*count)++;
    a->found[i] = item;
    a->lower[i] = lower;
    a->upper[i] = upper;
    float *heap = a->lowest + to->at * a->wanted;
    if (lower > heap[0]) push(heap, a->wanted, lower);
    return heap[0];
}

/* Sums of the products of ITEMS items' codes and those of some users. */
#if defined(__AVX512F__)
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static inline void products_vnni(
    const uint8_t *codes, const int8_t *users, int64_t width, const int count,
    int32_t sums[TOGETHER][ITEMS]) {
    __m512i total[TOGETHER];
    for (int u = 0; u < count; u++) total[u] = _mm512_setzero_si512();
    for (int64_t k = 0; k < width; k += 4) {
        const __m512i items = _mm512_loadu_si512(codes + k * ITEMS);
        for (int u = 0; u < count; u++) {
            int32_t four;
            memcpy(&four, users + u * width + k, 4);
            total[u] = _mm512_dpbusd_epi32(total[u], items, _mm512_set1_epi32(four));
        }
    }
    for (int u = 0; u < count; u++) _mm512_storeu_si512(sums[u], total[u]);
}
#endif

INLINE void products(const uint8_t *codes, const int8_t *users, int64_t width, const int count,
                     int32_t sums[TOGETHER][ITEMS]) {
#if defined(__AVX2__)
    __m256i total[TOGETHER][2];
    for (int u = 0; u < count; u++) total[u][0] = total[u][1] = _mm256_setzero_si256();
    for (int64_t k = 0; k < width; k += 4) {
        const __m256i *items = (const __m256i *)(codes + k * ITEMS);
        for (int u = 0; u < count; u++) {
            int32_t four;
            memcpy(&four, users + u * width + k, 4);
            for (int half = 0; half < 2; half++) {
                const __m256i pairs =
                    _mm256_maddubs_epi16(_mm256_loadu_si256(items + half), _mm256_set1_epi32(four));
                const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
                total[u][half] = _mm256_add_epi32(total[u][half], fours);
            }
        }
    }
    for (int u = 0; u < count; u++)
        for (int half = 0; half < 2; half++)
            _mm256_storeu_si256((__m256i *)sums[u] + half, total[u][half]);
#else
    memset(sums, 0, sizeof(int32_t) * TOGETHER * ITEMS);
    for (int64_t k = 0; k < width; k += 4)
        for (int u = 0; u < count; u++)
            for (int i = 0; i < ITEMS; i++)
                for (int j = 0; j < 4; j++)
                    sums[u][i] += codes[k * ITEMS + 4 * i + j] * users[u * width + k + j];
#endif
}

/* Scan a block of groups for `count` users from `user` on. */
INLINE void scan_block(const table *a, int64_t part, int64_t group, int64_t stop, int64_t user,
                       const int count, float *floors, const int32_t *offsets, const int vnni) {
    int32_t sums[TOGETHER][ITEMS];
    (void)vnni;
    for (; group < stop; group++) {
        const uint8_t *codes = a->codes + group * ITEMS * a->width;
        const int8_t *users = a->user_codes + user * a->width;
#if defined(__AVX512F__)
        if (vnni)
            products_vnni(codes, users, a->width, count, sums);
        else
#endif
            products(codes, users, a->width, count, sums);
        for (int u = 0; u < count; u++) {
            const int64_t who = user + u;
            for (int64_t i = group * ITEMS; i < (group + 1) * ITEMS; i += LANES) {
                ivec whole;
                memcpy(&whole, sums[u] + i % ITEMS, sizeof whole);
                const vec scale = load(a->scales + i, LANES) * a->user_scales[who];
                const vec score = __builtin_convertvector(whole - offsets[who], vec) * scale;
                const vec bound = load(a->errors + i, LANES) * a->user_lengths[who] +
                                  load(a->lengths + i, LANES) * a->user_errors[who];
                const vec upper = score + bound, lower = score - bound;
                uint32_t reached = lanes_at_least(upper, floors[who]);
                for (; reached; reached &= reached - 1) {
                    const int l = __builtin_ctz(reached);
                    const place to = {a, who, part * a->users + who};
                    if (upper[l] >= floors[who])
                        floors[who] = keep(&to, i + l, lower[l], upper[l], floors[who]);
                }
            }
        }
    }
}

INLINE void scan_part(const table *a, int64_t part, float *floors, const int vnni) {
    const int64_t groups = (a->items + ITEMS - 1) / ITEMS;
    const int64_t first = groups * part / a->parts, last = groups * (part + 1) / a->parts;
    int32_t *offsets = (int32_t *)(floors + a->users);
    for (int64_t u = 0; u < a->users; u++) {
        floors[u] = -INFINITY;
        offsets[u] = 0;
        for (int64_t k = 0; k < a->width; k++) offsets[u] += OFFSET * a->user_codes[u * a->width + k];
        a->counts[part * a->users + u] = 0;
        for (int64_t i = 0; i < a->wanted; i++)
            a->lowest[(part * a->users + u) * a->wanted + i] = -INFINITY;
    }
    for (int64_t group = first; group < last; group += GROUPS) {
        const int64_t stop = group + GROUPS < last ? group + GROUPS : last;
        int64_t u = 0;
        for (; u + TOGETHER <= a->users; u += TOGETHER)
            scan_block(a, part, group, stop, u, TOGETHER, floors, offsets, vnni);
        for (; u < a->users; u++) scan_block(a, part, group, stop, u, 1, floors, offsets, vnni);
    }
    for (int64_t u = 0; u < a->users; u++) {
        const place to = {a, u, part * a->users + u};
        if (a->counts[to.at] >= 0) compact(&to, floors[u]);
    }
}

#if defined(__AVX512F__)
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void part_vnni(const void *arguments,
                                                                           int64_t part,
                                                                           float *scratch) {
    scan_part(arguments, part, scratch, 1);
}
#endif

static void part_plain(const void *arguments, int64_t part, float *scratch) {
    scan_part(arguments, part, scratch, 0);
}

int EXPORT(seqzoo_int8_scan)(const table *a) {
    seqzoo_task task = part_plain;
#if defined(__AVX512F__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")) task = part_vnni;
#endif
    return seqzoo_parallel(task, a, a->parts, a->threads, 2 * a->users);
}
