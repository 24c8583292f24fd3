// Float weights of the codec as panels of 64 rows, each read front to back as one stream. Knows no layer and no codec.
//
// A panel holds four tiles of 16 rows (the last one of a matrix fewer), column by column: [col][tile][16]. 16-bit weights
// are bfloat16, or float16 relative to a power of two that brings the largest one near the top of its range: half the
// memory traffic at an eighth of bfloat16's rounding.
#pragma once

#include <cstdint>

#include "layout.h"

namespace duologue {

enum class PanelKind : int32_t { kFloat32 = 0, kBfloat16 = 1, kFloat16 = 2 };

constexpr int kPanelTiles = 4;
constexpr int kPanelRows = kPanelTiles * kTileRows;
constexpr int64_t kMostRows = 1 << 24;

struct Panels {
    PanelKind kind = PanelKind::kFloat32;
    int rows = 0, cols = 0;
    float scale = 1.0f;  // of float16
    const uint8_t* data = nullptr;

    int64_t weight_bytes() const { return kind == PanelKind::kFloat32 ? 4 : 2; }
    int tiles() const { return (rows + kTileRows - 1) / kTileRows; }
    int count() const { return (rows + kPanelRows - 1) / kPanelRows; }
    int tiles_of(int panel) const {
        const int left = tiles() - panel * kPanelTiles;
        return left < kPanelTiles ? left : kPanelTiles;
    }
    const uint8_t* panel(int index) const { return data + static_cast<int64_t>(index) * kPanelRows * cols * weight_bytes(); }
    int64_t bytes() const { return static_cast<int64_t>(tiles()) * kTileRows * cols * weight_bytes(); }
};

}  // namespace duologue
