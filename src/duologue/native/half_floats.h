// 16-bit floats, to the nearest even and back. Internal linkage throughout: see kernels_body.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace duologue {

static inline uint16_t half_of_float(float value) {  // magnitudes stay below 2^15
    const float magnitude = std::fabs(value);
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (!(magnitude >= 6.103515625e-5f)) return sign | static_cast<uint16_t>(std::nearbyint(magnitude * 16777216.0f));
    uint32_t bits;
    memcpy(&bits, &magnitude, 4);
    bits += 0xfff + (bits >> 13 & 1);
    return sign | static_cast<uint16_t>(std::min<uint32_t>((bits >> 13) - (112 << 10), 0x7bff));
}

static inline float float_of_half(uint16_t half) {  // finite ones: exponent and mantissa moved into place, 2^112 too small
    const uint32_t bits = static_cast<uint32_t>(half & 0x7fff) << 13;
    float magnitude;
    memcpy(&magnitude, &bits, 4);
    magnitude *= 0x1p112f;
    return half & 0x8000 ? -magnitude : magnitude;
}

static inline uint16_t bfloat16_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float float_of_bfloat16(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float out;
    memcpy(&out, &bits, 4);
    return out;
}

// The power of two that brings the largest weight to 2^14 .. 2^15, so that small ones keep their digits.
static inline float float16_scale(const float* weights, int64_t count) {
    float most = 0.0f;
    for (int64_t i = 0; i < count; i++) most = std::max(most, std::fabs(weights[i]));
    if (!(most > 0.0f) || !std::isfinite(most)) return 1.0f;
    int exponent;
    std::frexp(most, &exponent);
    return std::ldexp(1.0f, std::clamp(exponent - 15, -100, 100));
}

}  // namespace duologue
