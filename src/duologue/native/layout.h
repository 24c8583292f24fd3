// How weights lie in memory: formats, tiles, sizes. Knows no arithmetic and no model.
//
// A matrix (rows x cols) is cut into tiles of 16 rows, so that one vector register holds one weight of 16 outputs and no
// horizontal sum is ever needed. Inside a tile:
//   float32, bfloat16   [col][16]
//   int8                blocks of 256 cols; in a block [col / 4][16][4], value + 128, then the block's scales
//   int4                the same in half bytes, value + 8: of 32 cols the low halves hold the first 16, the high the rest
// A block's scales are float16, [group][16], relative to the matrix's own float32 scale (so they never underflow).
// Every size is derived from (kind, group, rows, cols) here and compared with what the caller handed over.
#pragma once

#include <cstdint>

namespace duologue {

enum Kind : int32_t { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2, kInt4 = 3 };

constexpr int kTileRows = 16;
constexpr int kBlockCols = 256;
constexpr int kVectorPad = 128;  // activation vectors are padded with zeros to a multiple of this
constexpr int kUnitTiles = 8;    // tiles handed to a thread at once

static inline int64_t round_up(int64_t n, int64_t m) { return (n + m - 1) / m * m; }

struct Matrix {
    Kind kind = kFloat32;
    int group = 0;  // columns that share one scale (int8, int4)
    int rows = 0, cols = 0;
    float scale = 1.0f;
    const uint8_t* data = nullptr;

    bool quantized() const { return kind == kInt8 || kind == kInt4; }
    int tiles() const { return (rows + kTileRows - 1) / kTileRows; }
    int packed_cols() const { return quantized() ? static_cast<int>(round_up(cols, group)) : cols; }
    int64_t tile_bytes() const {
        const int64_t k = packed_cols();
        if (kind == kFloat32) return k * kTileRows * 4;
        if (kind == kBfloat16) return round_up(k * kTileRows * 2, 64);
        const int64_t values = k * kTileRows * (kind == kInt8 ? 8 : 4) / 8;
        return round_up(values + k / group * kTileRows * 2, 64);
    }
    int64_t bytes() const { return tile_bytes() * tiles(); }
};

// Activations of several columns (positions or streams), one vector each, as floats and, for integer weights, as int8 with
// one scale and one sum per group.
struct Operand {
    float* values = nullptr;
    int8_t* q = nullptr;
    float* scales = nullptr;
    int32_t* sums = nullptr;
    int64_t stride = 0;        // floats (and int8) from one column to the next
    int64_t group_stride = 0;  // scales and sums from one column to the next
};

}  // namespace duologue
