/* A program: what one more event of each user costs, as a list of instructions. */
#ifndef SEQZOO_PROGRAM_H
#define SEQZOO_PROGRAM_H

#include "parallel.h"
#include "vector.h"

/* The codes of seqzoo/ops/native/program.py. */
enum {
    EMBEDDING,   /* weight [inner, count]: rows of the users' items */
    LINEAR,      /* weight [count, inner], bias [count] or none */
    CONVOLUTION, /* weight [count, inner], bias [count]; state [inner - 1, count] */
    SCAN,        /* weight [count, inner]: logarithms of the rates; state [inner, count] */
    SSD,         /* weight [count], likewise; state [count, width, inner] */
    LAYER_NORM,  /* weight [count] and bias [count], or none of them; numbers[0] is epsilon */
    RMS_NORM,    /* the same without a bias */
    SILU,
    HARDSWISH,
    SOFTPLUS,
    SIGMOID,
    GELU,
    ADD, /* from and second */
    SUBTRACT,
    MULTIPLY,
    SHIFT,  /* weight [inner], each for count / inner neighbours */
    SCALE,  /* the same */
    REPEAT, /* one number count times */
    LOG_GAP, /* of the seconds: numbers are scale, mean and standard deviation */
    SCALE_EXP, /* SCALE by the exponentials of the weight */
    GRU,       /* weight [3 count, inner], bias [3 count, count]; state [width, count] */
    ROTATION   /* weight and bias [count]: logarithms of the rates and angles; state [count, 2] */
};

/* Operands are registers: places in the memory of a user, counted in numbers. */
typedef struct {
    int64_t code, count, inner, width;
    int64_t from, second, third, fourth, to; /* SCAN and SSD: x, step, write, read, y */
    int64_t state, part;                     /* which one, and which part of it */
    int64_t prepared;                        /* where its prepared weights are */
    const float *weight, *bias;
    float numbers[4];
} instruction;

/* Followed in memory by the instructions, and by the addresses of the states before and after. */
typedef struct {
    int64_t users, threads, instructions, states, registers;
    int64_t prepared_count, stale; /* stale: set where the weights of `prepared` have changed */
    int64_t width, found, result_width; /* of the input, at register 0; where the result is, its width */
    const float *hidden;                /* [B, width], or NULL */
    const int64_t *items, *seconds;     /* [B], or NULL */
    float *result;                      /* [B, result_width] */
    float *prepared, *copied;           /* what seqzoo_prepare has made, and the weights then */
} program;

#endif
