// What lies between sound and the transformer, in either direction. Knows no quantizer.
#pragma once

#include "abi.h"
#include "codec_layers.h"

namespace duologue {

class Front {
   public:
    virtual ~Front() = default;
    // x [streams][steps][inputs] -> [streams][·][outputs], valid until the next run.
    virtual const float* run(const Pass& pass, const float* x, int64_t steps) const = 0;
};

// SEANet: convolutions alone, samples on the outer side.
class Chain : public Front {
   public:
    void build_encoder(Builder& builder, const dl_codec& sizes);
    void build_decoder(Builder& builder, const dl_codec& sizes);
    const float* run(const Pass& pass, const float* x, int64_t steps) const override;

   private:
    struct Stage {
        Conv conv;
        bool activate;     // an ELU before it
        int64_t unfolded;  // steps of output per column: an upsampling's stride
        std::vector<std::pair<Conv, Conv>> residuals;  // after it: look, mix
    };
    void add(Builder& builder, const ConvShape& shape, int64_t unfolded, bool activate, int64_t residuals,
             const dl_codec& sizes);
    void allocate();

    std::vector<Stage> stages_;
    int64_t steps_ = 0;  // of the largest piece, where the chain has been built to
    int64_t floats_ = 0, inner_floats_ = 0;
    Buffer<float> first_, second_, inner_;
};

constexpr int64_t kHopsPerLatent = 4;

// ConvNeXt blocks at four hops a latent; on the outer side a hop's spectrum, as numbers that Python makes or makes sound of.
class Spectral : public Front {
   public:
    void build_encoder(Builder& builder, const dl_codec& sizes);
    void build_decoder(Builder& builder, const dl_codec& sizes);
    const float* run(const Pass& pass, const float* x, int64_t steps) const override;

   private:
    struct Block {
        std::vector<float> taps, bias, norm, norm_bias, widen_bias, narrow_bias, scale;  // taps [kernel][dim]
        Panels widen, narrow;
        int64_t past = 0;
    };
    struct Linear {
        Panels weights;
        std::vector<float> bias;
    };
    void build_blocks(Builder& builder, const dl_codec& sizes);
    Linear build_linear(Builder& builder, int64_t outputs, int64_t inputs);
    void run_block(const Pass& pass, const Block& block, int64_t steps) const;
    void look(const Pass& pass, const Block& block, int stream, int64_t steps) const;
    void apply(const Pass& pass, const Panels& w, const std::vector<float>& bias, const float* x, int64_t columns, float* y,
               Then then, const float* factor = nullptr) const;

    int64_t dim_ = 0, kernel_ = 0, hidden_width_ = 0;
    bool decodes_ = false;
    Conv resample_;              // up before the blocks, or down after them
    std::vector<Block> blocks_;
    Linear outer_;               // features to the first block's input, or the last one's output to filters
    std::vector<float> norm_, norm_bias_;
    Buffer<float> x_, normed_, hidden_, out_;
};

}  // namespace duologue
