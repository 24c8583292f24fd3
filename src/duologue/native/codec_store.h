// Where a codec's packed weights live. Knows no layer.
#pragma once

#include <vector>

#include "codec_panels.h"

namespace duologue {

// Memory for the packed weights of one codec, in blocks that the system may back with large pages.
class PanelStore {
   public:
    PanelStore() = default;
    ~PanelStore();
    PanelStore(const PanelStore&) = delete;
    PanelStore& operator=(const PanelStore&) = delete;

    // Round `weights` (rows x cols, row-major) into memory of this store. Throws std::invalid_argument for a size that is
    // no matrix's.
    Panels pack(PanelKind kind, int64_t rows, int64_t cols, const float* weights);
    int64_t bytes() const { return bytes_; }

   private:
    std::vector<void*> blocks_;
    uint8_t* free_ = nullptr;
    int64_t left_ = 0, bytes_ = 0;
};

}  // namespace duologue
