// Rounding and layout of weights; see layout.h for the form.
#include "packing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "half_floats.h"
#include "packing_scales.h"

namespace duologue {
namespace {

int64_t block_start(const Matrix& m, int64_t block) {
    return block * (kBlockCols * kTileRows * m.value_bits() / 8 + kBlockCols / m.group * m.scale_bytes());
}

// Where column `col` of tile row `row` lies: the byte, how far up in it, and for uneven3 the byte of its high bit.
struct Place {
    int64_t byte;
    int shift;
    int64_t high_byte;
    int high_shift;
};

Place place_of(const Matrix& m, int row, int col) {
    const int64_t start = block_start(m, col / kBlockCols);
    const int within = col % kBlockCols, span = within % 32, lane = row * 4 + col % 4;
    if (m.kind == kInt8) return {start + within / 4 * 64 + lane, 0, 0, 0};
    if (m.kind != kUneven3) return {start + within / 32 * 256 + span % 16 / 4 * 64 + lane, span >= 16 ? 4 : 0, 0, 0};
    const int64_t first = start + within / 32 * 192 + lane;
    return {first + span / 16 * 64, span % 16 / 4 * 2, first + 128, span / 4};
}

void put_number(const Matrix& m, uint8_t* tile, int row, int col, int number) {
    const Place place = place_of(m, row, col);
    const int low = m.kind == kUneven3 ? number & 3 : number;
    tile[place.byte] |= static_cast<uint8_t>(low << place.shift);
    if (m.kind == kUneven3) tile[place.high_byte] |= static_cast<uint8_t>(number >> 2 << place.high_shift);
}

int number_at(const Matrix& m, const uint8_t* tile, int row, int col) {
    const Place place = place_of(m, row, col);
    const int value = tile[place.byte] >> place.shift;
    if (m.kind == kInt8) return value;
    return m.kind == kUneven3 ? (value & 3) | (tile[place.high_byte] >> place.high_shift & 1) << 2 : value & 15;
}

int64_t scale_place(const Matrix& m, int row, int group) {
    const int per_block = kBlockCols / m.group, block = group / per_block;
    const int here = std::min(kBlockCols, m.packed_cols() - block * kBlockCols);
    const int64_t values = static_cast<int64_t>(here) * kTileRows * m.value_bits() / 8;
    return block_start(m, block) + values + group % per_block * m.scale_bytes() + row * m.scale_bytes() / kTileRows;
}

int64_t row_scale_place(const Matrix& m, int row) {  // uneven kinds: behind all blocks
    const int64_t k = m.packed_cols();
    return k * kTileRows * m.value_bits() / 8 + k / m.group * m.scale_bytes() + row * 2;
}

// Returns the matrix's scale.
float pack_floats(const Matrix& m, const float* weights, uint8_t* out) {
    const float scale = m.kind == kFloat16 ? float16_scale(weights, static_cast<int64_t>(m.rows) * m.cols) : 1.0f;
    const float inverse = 1.0f / scale;
    for (int row = 0; row < m.rows; row++) {
        uint8_t* tile = out + row / kTileRows * m.tile_bytes();
        for (int col = 0; col < m.cols; col++) {
            const float value = weights[static_cast<int64_t>(row) * m.cols + col];
            const int64_t i = static_cast<int64_t>(col) * kTileRows + row % kTileRows;
            const uint16_t rounded = m.kind == kFloat16 ? half_of_float(value * inverse) : bfloat16_of_float(value);
            if (m.kind == kFloat32) memcpy(tile + i * 4, &value, 4);
            else memcpy(tile + i * 2, &rounded, 2);
        }
    }
    return scale;
}

void pack_row(const Matrix& m, const float* padded, const float* scales, uint8_t* tile, int row) {
    const int offset = m.kind == kInt8 ? 128 : 8;
    const float low = m.kind == kInt8 ? -127.0f : -8.0f, high = m.kind == kInt8 ? 127.0f : 7.0f;
    for (int group = 0; group < m.packed_cols() / m.group; group++) {
        const uint16_t stored = half_of_float(scales[group] / m.scale);
        memcpy(tile + scale_place(m, row, group), &stored, 2);
        const float scale = float_of_half(stored) * m.scale, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        for (int col = group * m.group; col < (group + 1) * m.group; col++) {
            const int value = static_cast<int>(clamped(nearest(padded[col] * inverse), low, high)) + offset;
            put_number(m, tile, row, col, value);
        }
    }
}

// A row's scales become whole numbers, -127 to 127, of the row's own step.
void pack_uneven_row(const Matrix& m, const float* padded, const float* scales, uint8_t* tile, int row) {
    const Ladder& ladder = ladder_of(m.kind);
    const int groups = m.packed_cols() / m.group;
    float most = 0.0f;
    for (int g = 0; g < groups; g++) most = std::max(most, std::fabs(scales[g]));
    const uint16_t stored = half_of_float(most / 127.0f / m.scale);
    memcpy(tile + row_scale_place(m, row), &stored, 2);
    const float step = float_of_half(stored) * m.scale, inverse_step = step > 0.0f ? 1.0f / step : 0.0f;
    for (int g = 0; g < groups; g++) {
        const float count = clamped(nearest(clamped(scales[g] * inverse_step, -127.0f, 127.0f)), -127.0f, 127.0f);
        tile[scale_place(m, row, g)] = static_cast<uint8_t>(static_cast<int8_t>(count));
        const float scale = count * step, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        for (int col = g * m.group; col < (g + 1) * m.group; col++)
            put_number(m, tile, row, col, ladder.number[place_on(padded[col] * inverse)]);
    }
}

int level_at(const Matrix& m, const uint8_t* tile, int row, int col) {
    const int number = number_at(m, tile, row, col);
    if (m.kind == kUneven4) return kUneven4Levels[number];
    if (m.kind == kUneven3) return kUneven3Levels[number];
    return number - (m.kind == kInt8 ? 128 : 8);
}

float scale_at(const Matrix& m, const uint8_t* tile, int row, int group) {  // relative to the matrix's
    uint16_t half;
    memcpy(&half, tile + (m.uneven() ? row_scale_place(m, row) : scale_place(m, row, group)), 2);
    const int count = m.uneven() ? static_cast<int8_t>(tile[scale_place(m, row, group)]) : 1;
    return count * float_of_half(half);
}

}  // namespace

bool is_valid(const Matrix& m) {
    if (m.kind < kFloat32 || m.kind > kFloat16 || m.rows < 1 || m.cols < 1) return false;
    if (m.rows > 1 << 24 || m.cols > 1 << 20) return false;
    return !m.quantized() || m.group == 32 || m.group == 64 || m.group == 128;
}

float pack(const Matrix& shape, const float* weights, uint8_t* out) {
    Matrix m = shape;
    memset(out, 0, m.bytes());
    if (!m.quantized()) return pack_floats(m, weights, out);
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
    if (m.uneven()) m.scale /= 127.0f;
    if (!(m.scale > 0.0f)) m.scale = 1.0f;
    const auto pack_one = m.uneven() ? pack_uneven_row : pack_row;
    for (int row = 0; row < m.rows; row++) {
        load_row(row);
        pack_one(m, padded.data(), &scales[static_cast<size_t>(row) * groups], out + row / kTileRows * m.tile_bytes(),
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
            } else if (!m.quantized()) {
                uint16_t half;
                memcpy(&half, tile + i * 2, 2);
                out = m.kind == kFloat16 ? float_of_half(half) * m.scale : float_of_bfloat16(half);
            } else {
                out = level_at(m, tile, r, col) * scale_at(m, tile, r, col / m.group) * m.scale;
            }
        }
    }
}

}  // namespace duologue
