/* Activation functions of vectors. NaN stays NaN. */
#ifndef SEQZOO_FUNCTIONS_H
#define SEQZOO_FUNCTIONS_H

#include "vector.h"

INLINE vec absolute(vec x) { return (vec)((ivec)x & 0x7fffffff); }

INLINE vec sigmoid(vec x) { return 1.0f / (1.0f + exponential(-x)); }

INLINE vec hyperbolic_tangent(vec x) { return 1.0f - 2.0f / (1.0f + exponential(x + x)); }

INLINE vec hardswish(vec x) {
    return x * smallest(splat(6.0f), largest(splat(0.0f), x + 3.0f)) * (1.0f / 6.0f);
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + e) with e = exp(-|x|). With s = e / (2 + e), at most 1 / 3,
 * log(1 + e) is 2 artanh(s) = 2 s p(s^2); the minimax polynomial p is off by 4e-9.
 */
INLINE vec softplus(vec x) {
    const vec e = exponential(-absolute(x)), s = e / (2.0f + e), t = s * s;
    vec p = t * 1.4088616e-1f + 1.3980439e-1f;
    p = p * t + 2.0012444e-1f;
    p = p * t + 3.3333158e-1f;
    p = p * t + 1.0f;
    return largest(splat(0.0f), x) + 2.0f * s * p;
}

/* x Phi(x) = max(x, 0) - a Phi(-a) with a = |x|. Phi(-a) exp(a^2 / 2) falls smoothly and is fitted by
 * a polynomial of t = 1 / (1 + 0.28 a) without a constant; a Phi(-a) is off by 4e-9.
 */
INLINE vec gelu(vec x) {
    const vec a = smallest(splat(1e4f), absolute(x)), t = 1.0f / (1.0f + 0.28f * a);
    vec p = t * -1.0755489e-1f + 3.9698999e-1f;
    p = p * t - 2.4851797e-1f;
    p = p * t + 2.7818239e-1f;
    p = p * t + 6.3791427e-2f;
    p = p * t + 1.1710901e-1f;
    return largest(splat(0.0f), x) - a * exponential(-0.5f * a * a) * t * p;
}

#endif
