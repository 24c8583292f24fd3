// The arithmetic an engine needs, as one table of functions per instruction set. Knows no model.
#pragma once

#include "layout.h"

namespace duologue {

constexpr int kPagePositions = 64;

// Where one layer's keys and values of one kv head lie in every page of a cache: keys [head_width][64 positions], so that
// scores need no horizontal sum, values [64 positions][head_width]; bfloat16 or float32.
struct Past {
    const uint8_t* const* pages;
    int64_t keys, values;  // bytes from a page's start
    int length;            // positions to attend to
    bool bfloat16;
};

struct CodecKernels;

struct Kernels {
    const char* name;
    // y[c][tile0*16 .. tile1*16) (+)= W x[c] for `columns` columns; every column's result is the same whatever their number.
    void (*multiply)(const Matrix& w, const Operand& x, float* y, int64_t y_stride, int columns, int tile0, int tile1,
                     bool add);
    // Fill q, scales and sums of elements [begin, end) of one column, in groups.
    void (*quantize)(const Operand& x, int column, int begin, int end, int group);
    // out = x / rms(x) * scale; `width` counts for the mean, `padded` elements are written.
    void (*normalize)(const float* x, const float* scale, float* out, int width, int padded, float eps);
    // out[i] = silu(gate) * up, tiles of gate and up alternating in gate_up.
    void (*gate)(const float* gate_up, float* out, int tile0, int tile1);
    // Softmax attention of `queries` query heads that share one kv head; all vectors padded to 16.
    void (*attend)(const float* query, int queries, int padded_head, float scale, const Past& past, float* out);
    // out += row (kind float32, bfloat16, or int8 with one scale).
    void (*add_row)(Kind kind, const void* row, float scale, int padded_width, float* out);
    const CodecKernels* codec;  // see codec_kernels.h
};

const Kernels* portable_kernels();
const Kernels* avx2_kernels();        // null where not compiled in
const Kernels* avx512vnni_kernels();  // null where not compiled in
const Kernels* neon_kernels();        // null where not compiled in

// The table called `name`, or the fastest this CPU runs for "auto"; null if this CPU or build has no such path.
const Kernels* select_kernels(const char* name);

}  // namespace duologue
