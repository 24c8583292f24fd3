// SEANet's convolutions, stage by stage; see codec_front.h.
#include <algorithm>

#include "codec_front.h"

namespace duologue {

void Chain::build_encoder(Builder& builder, const dl_codec& sizes) {
    int64_t channels = sizes.filters;
    steps_ = kPieceFrames * 2;
    for (int i = 0; i < sizes.ratio_count; i++) steps_ *= sizes.ratios[i];
    ConvShape shape{1, channels, sizes.kernel};
    add(builder, shape, 1, false, sizes.residual_layers, sizes);
    for (int i = sizes.ratio_count - 1; i >= 0; i--, channels *= 2) {
        shape = {channels, 2 * channels, 2 * sizes.ratios[i], sizes.ratios[i]};
        add(builder, shape, 1, true, i > 0 ? sizes.residual_layers : 0, sizes);
    }
    shape = {channels, sizes.width, sizes.last_kernel};
    add(builder, shape, 1, true, 0, sizes);
    allocate();
}

void Chain::build_decoder(Builder& builder, const dl_codec& sizes) {
    int64_t channels = static_cast<int64_t>(sizes.filters) << sizes.ratio_count;
    steps_ = kPieceFrames * 2;
    ConvShape shape{sizes.width, channels, sizes.kernel};
    add(builder, shape, 1, false, 0, sizes);
    for (int i = 0; i < sizes.ratio_count; i++, channels /= 2) {
        shape = {channels, channels / 2 * sizes.ratios[i], 2};
        add(builder, shape, sizes.ratios[i], true, sizes.residual_layers, sizes);
    }
    shape = {channels, 1, sizes.last_kernel};
    add(builder, shape, 1, true, 0, sizes);
    allocate();
}

void Chain::add(Builder& builder, const ConvShape& shape, int64_t unfolded, bool activate, int64_t residuals,
                const dl_codec& sizes) {
    Stage stage;
    stage.activate = activate;
    stage.unfolded = unfolded;
    stage.conv.build(builder, shape, steps_);
    steps_ = steps_ / shape.stride * unfolded;
    const int64_t channels = shape.outputs / unfolded;
    floats_ = std::max(floats_, steps_ * channels);
    int64_t dilation = 1;
    for (int64_t n = 0; n < residuals; n++, dilation *= sizes.dilation_base) {
        const int64_t inner = channels / sizes.compress;
        ConvShape look{channels, inner, sizes.residual_kernel, 1, dilation}, mix{inner, channels, 1};
        stage.residuals.emplace_back();
        stage.residuals.back().first.build(builder, look, steps_);
        stage.residuals.back().second.build(builder, mix, steps_);
        inner_floats_ = std::max(inner_floats_, steps_ * inner);
    }
    stages_.push_back(std::move(stage));
}

void Chain::allocate() {
    first_.allocate(floats_);
    second_.allocate(floats_);
    inner_.allocate(inner_floats_);
}

const float* Chain::run(const Pass& pass, const float* x, int64_t steps) const {
    float *out = first_.get(), *other = second_.get();
    for (const Stage& stage : stages_) {
        stage.conv.run(pass, x, steps, stage.activate, Then::kStore, out);
        steps = steps / stage.conv.shape().stride * stage.unfolded;
        for (const auto& [look, mix] : stage.residuals) {
            look.run(pass, out, steps, true, Then::kElu, inner_.get());
            mix.run(pass, inner_.get(), steps, false, Then::kAdd, out);
        }
        x = out;
        std::swap(out, other);
    }
    return x;
}

}  // namespace duologue
