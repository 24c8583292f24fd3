// The codec's arithmetic, one table of functions per instruction set, beside the engine's. Knows no layer.
#pragma once

#include "codec_panels.h"

namespace duologue {

constexpr int kProductColumns = 6;  // columns that one call of `product` takes

// What becomes of a product s (weights times input, plus bias) on its way out.
enum class Then { kStore, kElu, kGelu, kAdd, kAddScaled };  // y = s, elu(s), gelu(s); y += s, y += factor * s

struct Finish {
    Then then = Then::kStore;
    const float* bias = nullptr;    // (rows, padded to 16); null: none
    const float* factor = nullptr;  // likewise; for kAddScaled
};

struct CodecKernels {
    // y[c][rows of the panel] becomes W x[c]. A column's result is the same whatever stands beside it.
    void (*product)(const Panels& w, int panel, const float* const* x, float* const* y, int columns, const Finish& finish);
    // out = x above zero, exp(x) - 1 below.
    void (*elu)(const float* x, float* out, int64_t count);
    // Zero mean and unit variance, then a scale and a shift.
    void (*layer_norm)(const float* x, const float* weight, const float* bias, float* out, int width, float eps);
};

}  // namespace duologue
