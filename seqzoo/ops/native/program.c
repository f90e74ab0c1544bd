/* One more event of each user by a program, in float32.
 *
 * The weights are read where torch keeps them, so a change of them is never missed. Few are prepared:
 * the taps of convolutions and the decay rates are transposed. That takes as long as the rest of a
 * step for one user, so it is kept together with a copy of the weights, which is compared at every
 * call.
 *
 * A task is a block of users, which go through the instructions together: each row of a matrix is
 * read once for all of them. The results of a user do not depend on the others, to the last bit.
 */
#include <math.h>
#include <stdlib.h>

#include "functions.h"
#include "program_states.h"

#define USERS 8

static void embedding(const block *to, const instruction *now) {
    for (int64_t u = 0; u < to->users; u++) {
        const float *from = now->weight + to->of->a->items[to->first + u] * now->count;
        memcpy(at(to, u, now->to), from, now->count * sizeof(float));
    }
}

/* The sum of (x - shift) to the power of 1 or 2. */
INLINE float sum_of(const float *x, int64_t count, float shift, const int squared) {
    float sums[LANES], total = 0.0f;
    vec part = splat(0.0f);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const vec value = load(x + i, LANES) - shift;
        part += squared ? value * value : value;
    }
    memcpy(sums, &part, sizeof sums);
    for (int l = 0; l < LANES; l++) total += sums[l];
    for (; i < count; i++) {
        const float value = x[i] - shift;
        total += squared ? value * value : value;
    }
    return total;
}

INLINE void norm(const block *to, const instruction *now, const int centred) {
    const int64_t count = now->count;
    for (int64_t u = 0; u < to->users; u++) {
        const float *x = at(to, u, now->from);
        float *y = at(to, u, now->to);
        const float mean = centred ? sum_of(x, count, 0.0f, 0) / (float)count : 0.0f;
        const float variance = sum_of(x, count, mean, 1) / (float)count;
        const float factor = 1.0f / sqrtf(variance + now->numbers[0]);
        for (int64_t i = 0; i < count; i += LANES) {
            const int64_t some = count - i < LANES ? count - i : LANES;
            vec value = (load(x + i, some) - mean) * factor;
            if (now->weight) value *= load(now->weight + i, some);
            if (now->bias) value += load(now->bias + i, some);
            store(y + i, value, LANES);
        }
    }
}

/* Whole vectors are read and written: every register ends at a multiple of 16 numbers. */
#define EACH(value)                                             \
    for (int64_t u = 0; u < to->users; u++) {                   \
        const float *from = at(to, u, now->from);               \
        const float *second = at(to, u, now->second);           \
        float *y = at(to, u, now->to);                          \
        for (int64_t i = 0; i < now->count; i += LANES) {       \
            const vec a = load(from + i, LANES);                \
            const vec b = load(second + i, LANES);              \
            (void)b;                                            \
            store(y + i, value, LANES);                         \
        }                                                       \
    }                                                           \
    break

/* A weight for each group of neighbours, or its exponential. */
INLINE void by_group(const block *to, const instruction *now, const int scales,
                     const int exponentials) {
    const int64_t width = now->count / now->inner;
    float weights[LANES];
    for (int64_t first = 0; first < now->inner; first += LANES) {
        const int64_t some = now->inner - first < LANES ? now->inner - first : LANES;
        const vec given = load(now->weight + first, some);
        store(weights, exponentials ? exponential(given) : given, LANES);
        for (int64_t u = 0; u < to->users; u++) {
            const float *x = at(to, u, now->from) + first * width;
            float *y = at(to, u, now->to) + first * width;
            for (int64_t g = 0; g < some; g++)
                for (int64_t i = g * width; i < (g + 1) * width; i++)
                    y[i] = scales ? x[i] * weights[g] : x[i] + weights[g];
        }
    }
}

static void log_gap(const block *to, const instruction *now) {
    const float *numbers = now->numbers;
    for (int64_t u = 0; u < to->users; u++) {
        const int64_t *all = to->of->a->seconds, seconds = all ? all[to->first + u] : 0;
        const float passed = seconds > 0 ? (float)seconds : 0.0f;
        *at(to, u, now->to) = (log1pf(passed / numbers[0]) - numbers[1]) / numbers[2];
    }
}

static void repeat(const block *to, const instruction *now) {
    for (int64_t u = 0; u < to->users; u++) {
        const float value = *at(to, u, now->from);
        float *y = at(to, u, now->to);
        for (int64_t i = 0; i < now->count; i++) y[i] = value;
    }
}

static void follow(const block *to, const instruction *now) {
    switch (now->code) {
    case EMBEDDING: embedding(to, now); break;
    case LINEAR: linear(to, now); break;
    case CONVOLUTION: convolution(to, now); break;
    case SCAN: scan(to, now); break;
    case SSD: ssd(to, now); break;
    case LAYER_NORM: norm(to, now, 1); break;
    case RMS_NORM: norm(to, now, 0); break;
    case SILU: EACH(a * sigmoid(a));
    case HARDSWISH: EACH(hardswish(a));
    case SOFTPLUS: EACH(softplus(a));
    case SIGMOID: EACH(sigmoid(a));
    case GELU: EACH(gelu(a));
    case ADD: EACH(a + b);
    case SUBTRACT: EACH(a - b);
    case MULTIPLY: EACH(a * b);
    case SHIFT: by_group(to, now, 0, 0); break;
    case SCALE: by_group(to, now, 1, 0); break;
    case SCALE_EXP: by_group(to, now, 1, 1); break;
    case REPEAT: repeat(to, now); break;
    case LOG_GAP: log_gap(to, now); break;
    case GRU: gru(to, now); break;
    case ROTATION: rotation(to, now); break;
    }
}

static void task(const void *arguments, int64_t index, float *scratch) {
    const job *of = arguments;
    const program *a = of->a;
    const int64_t first = index * USERS, left = a->users - first;
    const block to = {of, scratch, first, left < USERS ? left : USERS};
    memset(scratch, 0, to.users * a->registers * sizeof(float));
    for (int64_t u = 0; a->hidden && u < to.users; u++)
        memcpy(at(&to, u, 0), a->hidden + (first + u) * a->width, a->width * sizeof(float));
    for (int64_t i = 0; i < a->instructions; i++) follow(&to, instructions(a) + i);
    for (int64_t u = 0; u < to.users; u++)
        memcpy(a->result + (first + u) * a->result_width, at(&to, u, a->found),
               a->result_width * sizeof(float));
}

/* Numbers of the weight that an instruction needs prepared, and of the second one, `bias`. */
static int64_t prepared_size(const instruction *now) {
    switch (now->code) {
    case CONVOLUTION:
    case SCAN: return now->count * now->inner;
    case SSD:
    case ROTATION: return now->count;
    default: return 0;
    }
}

static int64_t prepared_second(const instruction *now) {
    return now->code == ROTATION ? now->count : 0;
}

/* Rates are minus the exponential of their logarithms. */
static void prepare(const instruction *now, float *to) {
    const int64_t count = now->count, inner = prepared_size(now) / count;
    /* exp(-exp(weight) + i exp(bias)), in double precision: angles are rounded at their size. */
    for (int64_t c = 0; now->code == ROTATION && c < count; c++) {
        const double radius = exp(-exp(now->weight[c])), angle = exp(now->bias[c]);
        to[c] = (float)(radius * cos(angle)), to[count + c] = (float)(radius * sin(angle));
    }
    for (int64_t c = 0; now->code != ROTATION && c < count; c++) {
        for (int64_t k = 0; k < inner; k += LANES) {
            const int64_t some = inner - k < LANES ? inner - k : LANES;
            vec value = load(now->weight + c * inner + k, some);
            if (now->code != CONVOLUTION) value = -exponential(value);
            for (int64_t l = 0; l < some; l++) to[(k + l) * count + c] = value[l];
        }
    }
}

static void prepare_all(const program *a, float *to) {
    for (int64_t i = 0; i < a->instructions; i++)
        if (prepared_size(instructions(a) + i)) prepare(instructions(a) + i, to + instructions(a)[i].prepared);
}

static int is_stale(const program *a) {
    for (int64_t i = 0; i < a->instructions; i++) {
        const instruction *now = instructions(a) + i;
        const float *copied = a->copied + now->prepared;
        const size_t bytes = prepared_size(now) * sizeof(float);
        const size_t more = prepared_second(now) * sizeof(float);
        if (bytes && memcmp(now->weight, copied, bytes)) return 1;
        if (more && memcmp(now->bias, copied + now->count, more)) return 1;
    }
    return 0;
}

static int has_all_items(const program *a) {
    for (int64_t i = 0; i < a->instructions; i++) {
        const instruction *now = instructions(a) + i;
        for (int64_t u = 0; now->code == EMBEDDING && u < a->users; u++)
            if (a->items[u] < 0 || a->items[u] >= now->inner) return 0;
    }
    return 1;
}

/* Fill `prepared` and `copied`. */
int EXPORT(seqzoo_prepare)(program *a) {
    prepare_all(a, a->prepared);
    for (int64_t i = 0; i < a->instructions; i++) {
        const instruction *now = instructions(a) + i;
        float *copied = a->copied + now->prepared;
        memcpy(copied, now->weight, prepared_size(now) * sizeof(float));
        memcpy(copied + now->count, now->bias, prepared_second(now) * sizeof(float));
    }
    return 0;
}

/* One thread for every 16 users. Returns 2 where a table has no such item. */
int EXPORT(seqzoo_program)(program *a) {
    if (!has_all_items(a)) return 2;
    float *own = NULL;
    a->stale = is_stale(a);
    if (a->stale) {
        own = malloc(a->prepared_count * sizeof(float));
        if (!own) return 1;
        prepare_all(a, own);
    }
    const job of = {a, own ? own : a->prepared};
    const int64_t useful = 1 + a->users / 16, tasks = (a->users + USERS - 1) / USERS;
    const int failed = seqzoo_parallel(task, &of, tasks, a->threads < useful ? a->threads : useful,
                                       a->registers * USERS);
    free(own);
    return failed;
}
