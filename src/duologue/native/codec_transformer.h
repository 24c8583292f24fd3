// Pre-norm attention over the last `context` steps and a GELU feed-forward, piece by piece, over several streams.
//
// Keys and values of a stream are a ring of `context` places, in the pages that the engine's attention reads. A piece's
// steps are taken one after another, each writing its place before it looks, so that a step always sees exactly the
// `context - 1` steps before it, however the steps were cut into pieces.
#pragma once

#include "codec_layers.h"

namespace duologue {

struct TransformerShape {
    int64_t width, layers, heads, hidden, context;
    float rope_base, norm_eps;
    int64_t head_width() const { return width / heads; }
    int64_t padded_head() const { return round_up(head_width(), 16); }
    int64_t inner() const { return heads * padded_head(); }
};

class WindowedTransformer {
   public:
    void build(Builder& builder, const TransformerShape& shape, int64_t most_steps);
    void run(const Pass& pass, float* x, int64_t steps) const;  // x [streams][steps][width], in place

   private:
    struct Layer {
        std::vector<float> norm1, norm1_bias, norm2, norm2_bias, scale1, scale2;
        Panels qkv, out, expand, contract;  // heads padded to 16, rotary pairs (i, i + half)
        int64_t past = 0;
    };
    void build_layer(Builder& builder, Layer* layer) const;
    void normalize(const Pass& pass, const float* x, int64_t columns, const std::vector<float>& weight,
                   const std::vector<float>& bias) const;
    void find_angles(const Pass& pass, int64_t steps) const;
    void find_pages(const Pass& pass, const Layer& layer) const;
    void attend(const Pass& pass, const Layer& layer, int stream, int head, int64_t steps) const;
    void rotate(float* head, int64_t column) const;
    int64_t ring_pages() const { return (shape_.context + kPagePositions - 1) / kPagePositions; }
    int64_t page_floats() const { return shape_.heads * 2 * shape_.padded_head() * kPagePositions; }

    TransformerShape shape_{};
    std::vector<Layer> layers_;
    Buffer<float> normed_, qkv_, attended_, hidden_, cosines_, sines_;
    Buffer<const uint8_t*> pages_;
};

}  // namespace duologue
