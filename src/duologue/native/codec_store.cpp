// Rounding and layout; see codec_store.h and codec_panels.h.
#include "codec_store.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "half_floats.h"

namespace duologue {
namespace {

constexpr int64_t kBlock = 16 << 20, kLargePage = 2 << 20;

}  // namespace

PanelStore::~PanelStore() {
    for (void* block : blocks_) std::free(block);
}

Panels PanelStore::pack(PanelKind kind, int64_t rows, int64_t cols, const float* weights) {
    if (rows < 1 || cols < 1 || rows > kMostRows || cols > kMostRows) throw std::invalid_argument("no matrix has such a size");
    Panels out;
    out.kind = kind;
    out.rows = static_cast<int>(rows);
    out.cols = static_cast<int>(cols);
    const int64_t bytes = round_up(out.bytes(), 64);
    if (bytes > left_) {
        const int64_t size = round_up(std::max(bytes, kBlock), kLargePage);
        void* block = std::aligned_alloc(kLargePage, size);
        if (block == nullptr) throw std::bad_alloc();
        blocks_.push_back(block);
#if defined(__linux__)
        madvise(block, size, MADV_HUGEPAGE);  // a wish; nothing depends on it
#endif
        free_ = static_cast<uint8_t*>(block);
        left_ = size;
    }
    uint8_t* place = free_;
    free_ += bytes;
    left_ -= bytes;
    bytes_ += bytes;
    memset(place, 0, bytes);
    out.data = place;
    if (kind == PanelKind::kFloat16) out.scale = float16_scale(weights, rows * cols);
    const float inverse = 1.0f / out.scale;
    for (int row = 0; row < out.rows; row++) {
        const int panel = row / kPanelRows;
        const int64_t width = static_cast<int64_t>(out.tiles_of(panel)) * kTileRows;
        uint8_t* start = place + (out.panel(panel) - out.data);
        for (int col = 0; col < out.cols; col++) {
            const float value = weights[row * cols + col];
            const int64_t i = col * width + row % kPanelRows;
            const uint16_t rounded = kind == PanelKind::kBfloat16 ? bfloat16_of_float(value) : half_of_float(value * inverse);
            if (kind == PanelKind::kFloat32) memcpy(start + i * 4, &value, 4);
            else memcpy(start + i * 2, &rounded, 2);
        }
    }
    return out;
}

}  // namespace duologue
