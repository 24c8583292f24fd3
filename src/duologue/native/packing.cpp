// Rounding and layout of weights; see layout.h for the form.
#include "packing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace duologue {
namespace {

uint16_t half_of_float(float value) {  // round to nearest even; the scales stay within [-1, 1]
    const float magnitude = std::fabs(value);
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (!(magnitude >= 6.103515625e-5f)) return sign | static_cast<uint16_t>(std::nearbyint(magnitude * 16777216.0f));
    uint32_t bits;
    memcpy(&bits, &magnitude, 4);
    bits += 0xfff + (bits >> 13 & 1);
    return sign | static_cast<uint16_t>(std::min<uint32_t>((bits >> 13) - (112 << 10), 0x7bff));
}

float float_of_half(uint16_t half) {
    const int exponent = half >> 10 & 31, mantissa = half & 1023;
    const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                          : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

uint16_t bfloat16_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float float_of_bfloat16(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float out;
    memcpy(&out, &bits, 4);
    return out;
}

// To the nearest whole number, ties to even, for magnitudes below 2^22; unlike nearbyint it is no call, and vectorizes.
inline float nearest(float x) { return (x + 12582912.0f) - 12582912.0f; }

inline float clamped(float x, float low, float high) {
    return x > low ? (x < high ? x : high) : low;  // a NaN becomes the lowest level
}

float squared_error(const float* x, int n, float scale, float low, float high) {
    const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    float error = 0.0f;
    for (int i = 0; i < n; i++) {
        const float miss = x[i] - clamped(nearest(x[i] * inverse), low, high) * scale;
        error += miss * miss;
    }
    return error;
}

// int8: the largest magnitude becomes 127. int4: the largest magnitude becomes -8 (its sign goes into the scale), or, where
// that is nearer to the group as a whole, somewhat beyond the last level.
float group_scale(const float* x, int n, Kind kind) {
    float peak = 0.0f;
    for (int i = 0; i < n; i++)
        if (std::fabs(x[i]) > std::fabs(peak)) peak = x[i];
    if (kind == kInt8) return std::fabs(peak) / 127.0f;
    float best = peak / -8.0f, least = squared_error(x, n, best, -8, 7);
    for (float reach : {-7.0f, -7.5f, -8.5f, -9.0f, -9.5f}) {
        const float scale = peak / reach, error = squared_error(x, n, scale, -8, 7);
        if (error < least) {
            least = error;
            best = scale;
        }
    }
    return best;
}

// Where column `col` of tile row `row` lies: the byte, and for int4 which half.
struct Place {
    int64_t byte;
    bool high;
};

Place place_of(const Matrix& m, int row, int col) {
    const int64_t block = col / kBlockCols;
    const int within = col % kBlockCols;
    const int64_t value_bytes = m.kind == kInt8 ? 16 * kBlockCols : 8 * kBlockCols;
    const int64_t start = block * (value_bytes + kBlockCols / m.group * 32);
    if (m.kind == kInt8) return {start + within / 4 * 64 + row * 4 + within % 4, false};
    const int half = within % 32;
    return {start + within / 32 * 256 + half % 16 / 4 * 64 + row * 4 + half % 4, half >= 16};
}

int64_t scale_place(const Matrix& m, int row, int group) {
    const int per_block = kBlockCols / m.group, block = group / per_block;
    const int here = std::min(kBlockCols, m.packed_cols() - block * kBlockCols);
    const int64_t bytes_per_col = m.kind == kInt8 ? 16 : 8;
    const int64_t start = block * (kBlockCols * bytes_per_col + per_block * 32);
    return start + here * bytes_per_col + group % per_block * 32 + row * 2;
}

void pack_floats(const Matrix& m, const float* weights, uint8_t* out) {
    for (int row = 0; row < m.rows; row++) {
        uint8_t* tile = out + row / kTileRows * m.tile_bytes();
        for (int col = 0; col < m.cols; col++) {
            const float value = weights[static_cast<int64_t>(row) * m.cols + col];
            const int64_t i = static_cast<int64_t>(col) * kTileRows + row % kTileRows;
            const uint16_t rounded = bfloat16_of_float(value);
            if (m.kind == kFloat32) memcpy(tile + i * 4, &value, 4);
            else memcpy(tile + i * 2, &rounded, 2);
        }
    }
}

void pack_row(const Matrix& m, const float* padded, const float* scales, uint8_t* tile, int row) {
    const int offset = m.kind == kInt8 ? 128 : 8;
    const float low = m.kind == kInt8 ? -127.0f : -8.0f, high = m.kind == kInt8 ? 127.0f : 7.0f;
    for (int group = 0; group < m.packed_cols() / m.group; group++) {
        const uint16_t stored = half_of_float(scales[group] / m.scale);
        memcpy(tile + scale_place(m, row, group), &stored, 2);
        const float scale = float_of_half(stored) * m.scale, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        for (int col = group * m.group; col < (group + 1) * m.group; col++) {
            const Place place = place_of(m, row, col);
            const int value = static_cast<int>(clamped(nearest(padded[col] * inverse), low, high)) + offset;
            tile[place.byte] |= static_cast<uint8_t>(place.high ? value << 4 : value);
        }
    }
}

}  // namespace

bool is_valid(const Matrix& m) {
    if (m.kind < kFloat32 || m.kind > kInt4 || m.rows < 1 || m.cols < 1) return false;
    if (m.rows > 1 << 24 || m.cols > 1 << 20) return false;
    return !m.quantized() || m.group == 32 || m.group == 64 || m.group == 128;
}

float pack(const Matrix& shape, const float* weights, uint8_t* out) {
    Matrix m = shape;
    memset(out, 0, m.bytes());
    if (!m.quantized()) {
        pack_floats(m, weights, out);
        return 1.0f;
    }
    const int cols = m.packed_cols(), groups = cols / m.group;
    std::vector<float> padded(cols, 0.0f), scales(static_cast<size_t>(m.rows) * groups);
    const auto load_row = [&](int row) { std::copy_n(weights + static_cast<int64_t>(row) * m.cols, m.cols, padded.begin()); };
    m.scale = 0.0f;
    for (int row = 0; row < m.rows; row++) {
        load_row(row);
        for (int g = 0; g < groups; g++) {
            const float scale = group_scale(&padded[g * m.group], m.group, m.kind);
            scales[static_cast<size_t>(row) * groups + g] = scale;
            m.scale = std::max(m.scale, std::fabs(scale));
        }
    }
    if (!(m.scale > 0.0f)) m.scale = 1.0f;
    for (int row = 0; row < m.rows; row++) {
        load_row(row);
        pack_row(m, padded.data(), &scales[static_cast<size_t>(row) * groups], out + row / kTileRows * m.tile_bytes(),
                 row % kTileRows);
    }
    return m.scale;
}

void unpack(const Matrix& m, float* weights) {
    for (int row = 0; row < m.rows; row++) {
        const uint8_t* tile = m.data + row / kTileRows * m.tile_bytes();
        const int r = row % kTileRows;
        for (int col = 0; col < m.cols; col++) {
            float& out = weights[static_cast<int64_t>(row) * m.cols + col];
            const int64_t i = static_cast<int64_t>(col) * kTileRows + r;
            if (m.kind == kFloat32) {
                memcpy(&out, tile + i * 4, 4);
            } else if (m.kind == kBfloat16) {
                uint16_t half;
                memcpy(&half, tile + i * 2, 2);
                out = float_of_bfloat16(half);
            } else {
                uint16_t half;
                memcpy(&half, tile + scale_place(m, r, col / m.group), 2);
                const Place place = place_of(m, r, col);
                const int byte = tile[place.byte];
                const int level = m.kind == kInt8 ? byte - 128 : (place.high ? byte >> 4 : byte & 15) - 8;
                out = level * float_of_half(half) * m.scale;
            }
        }
    }
}

}  // namespace duologue
