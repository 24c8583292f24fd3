// How weights lie in memory: formats, tiles, sizes. Knows no arithmetic and no model.
//
// A matrix (rows x cols) is cut into tiles of 16 rows, so that one vector register holds one weight of 16 outputs and no
// horizontal sum is ever needed. Inside a tile:
//   float32, bfloat16   [col][16]; float16 too, relative to the matrix's scale, a power of two: what was float16 before
//                       stays exactly what it was
//   int8                blocks of 256 cols; in a block [col / 4][16][4], value + 128, then the block's scales
//   int4                the same in half bytes, value + 8: of 32 cols the low halves hold the first 16, the high the rest
//   uneven4             as int4, but a half byte is the number of one of 16 levels that stand closer near zero
//   uneven3             8 such levels; 32 cols are 3 x 64 bytes: the low two bits of cols 0-15 (col / 4 says which two of
//                       the byte), those of cols 16-31, and all high bits (bit col / 4 of the byte)
// A block's scales are [group][16]: float16, relative to the matrix's own float32 scale (so they never underflow), or, for
// uneven levels, int8 relative to their row's scale; those are float16, [16] at the tile's end, relative to the matrix's.
// Every size is derived from (kind, group, rows, cols) here and compared with what the caller handed over.
#pragma once

#include <cstdint>

namespace duologue {

enum Kind : int32_t { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2, kInt4 = 3, kUneven4 = 4, kUneven3 = 5, kFloat16 = 6 };

// Levels with the least squared error for normal weights in groups of 64 whose scale is searched (of either sign).
constexpr int8_t kUneven4Levels[16] = {-127, -95, -76, -61, -47, -34, -21, -7, 7, 20, 34, 47, 60, 73, 89, 111};
constexpr int8_t kUneven3Levels[8] = {-127, -75, -41, -14, 11, 37, 66, 105};

constexpr int kTileRows = 16;
constexpr int kBlockCols = 256;
constexpr int kVectorPad = 128;  // activation vectors are padded with zeros to a multiple of this
constexpr int kUnitTiles = 8;    // tiles handed to a thread at once

static inline int64_t round_up(int64_t n, int64_t m) { return (n + m - 1) / m * m; }

constexpr bool is_quantized(Kind kind) { return kind >= kInt8 && kind != kFloat16; }

struct Matrix {
    Kind kind = kFloat32;
    int group = 0;  // columns that share one scale (not float32, bfloat16)
    int rows = 0, cols = 0;
    float scale = 1.0f;
    const uint8_t* data = nullptr;

    bool quantized() const { return is_quantized(kind); }
    bool uneven() const { return kind == kUneven4 || kind == kUneven3; }
    int value_bits() const { return kind == kInt8 ? 8 : kind == kUneven3 ? 3 : 4; }  // of quantized kinds
    int scale_bytes() const { return kTileRows * (uneven() ? 1 : 2); }               // of one group of a tile
    int tiles() const { return (rows + kTileRows - 1) / kTileRows; }
    int packed_cols() const { return quantized() ? static_cast<int>(round_up(cols, group)) : cols; }
    int64_t tile_bytes() const {
        const int64_t k = packed_cols();
        if (kind == kFloat32) return k * kTileRows * 4;
        if (!quantized()) return round_up(k * kTileRows * 2, 64);
        const int64_t values = k * kTileRows * value_bits() / 8;
        return round_up(values + k / group * scale_bytes() + (uneven() ? kTileRows * 2 : 0), 64);
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
