// The spectral front end's network; see codec_front.h, and mimi/spectral.py for what its numbers mean.
#include <algorithm>

#include "codec_front.h"

namespace duologue {
namespace {

constexpr int64_t kMostHops = kPieceFrames * 2 * kHopsPerLatent;
constexpr float kNormEps = 1e-5f;

}  // namespace

void Spectral::build_encoder(Builder& builder, const dl_codec& sizes) {
    outer_ = build_linear(builder, sizes.spectral_dim, sizes.hop_values);
    build_blocks(builder, sizes);
    resample_.build(builder, {dim_, sizes.width, 2 * kHopsPerLatent, kHopsPerLatent}, kMostHops);
    out_.allocate(kMostHops / kHopsPerLatent * sizes.width);
}

void Spectral::build_decoder(Builder& builder, const dl_codec& sizes) {
    decodes_ = true;
    resample_.build(builder, {sizes.width, kHopsPerLatent * sizes.spectral_dim, 2}, kMostHops / kHopsPerLatent);
    build_blocks(builder, sizes);
    norm_ = builder.tensors->padded(dim_);
    norm_bias_ = builder.tensors->padded(dim_);
    outer_ = build_linear(builder, sizes.hop_values, dim_);
    out_.allocate(kMostHops * sizes.hop_values);
}

void Spectral::build_blocks(Builder& builder, const dl_codec& sizes) {
    TensorReader& tensors = *builder.tensors;
    dim_ = sizes.spectral_dim;
    kernel_ = sizes.kernel;
    hidden_width_ = dim_ * sizes.expansion;
    blocks_.resize(sizes.blocks);
    for (Block& block : blocks_) {
        const float* taps = tensors.take(kernel_ * dim_);
        block.taps.assign(taps, taps + kernel_ * dim_);
        block.bias = tensors.padded(dim_);
        block.norm = tensors.padded(dim_);
        block.norm_bias = tensors.padded(dim_);
        Linear widen = build_linear(builder, hidden_width_, dim_), narrow = build_linear(builder, dim_, hidden_width_);
        block.widen = widen.weights;
        block.widen_bias = std::move(widen.bias);
        block.narrow = narrow.weights;
        block.narrow_bias = std::move(narrow.bias);
        block.scale = tensors.padded(dim_);
        block.past = builder.state->take((kernel_ - 1) * dim_);
    }
    builder.window_floats = std::max(builder.window_floats, (kMostHops + kPieceFrames * (kernel_ - 1)) * dim_);
    x_.allocate(kMostHops * dim_);
    normed_.allocate(kMostHops * dim_);
    hidden_.allocate(kMostHops * hidden_width_);
}

Spectral::Linear Spectral::build_linear(Builder& builder, int64_t outputs, int64_t inputs) {
    Linear out;
    out.weights = builder.store->pack(builder.kind, outputs, inputs, builder.tensors->take(outputs * inputs));
    out.bias = builder.tensors->padded(outputs);
    return out;
}

const float* Spectral::run(const Pass& pass, const float* x, int64_t steps) const {
    const int64_t hops = decodes_ ? steps * kHopsPerLatent : steps, columns = pass.streams * hops;
    if (decodes_) resample_.run(pass, x, steps, false, Then::kStore, x_.get());
    else apply(pass, outer_.weights, outer_.bias, x, columns, x_.get(), Then::kStore);
    for (const Block& block : blocks_) run_block(pass, block, hops);
    if (!decodes_) {
        resample_.run(pass, x_.get(), hops, false, Then::kStore, out_.get());
        return out_.get();
    }
    for (int64_t c = 0; c < columns; c++)
        pass.kernels->codec->layer_norm(&x_[c * dim_], norm_.data(), norm_bias_.data(), &normed_[c * dim_],
                                        static_cast<int>(dim_), kNormEps);
    apply(pass, outer_.weights, outer_.bias, normed_.get(), columns, out_.get(), Then::kStore);
    return out_.get();
}

void Spectral::run_block(const Pass& pass, const Block& block, int64_t steps) const {
    const int64_t columns = pass.streams * steps;
    for (int s = 0; s < pass.streams; s++) look(pass, block, s, steps);
    for (int64_t c = 0; c < columns; c++)
        pass.kernels->codec->layer_norm(&normed_[c * dim_], block.norm.data(), block.norm_bias.data(), &normed_[c * dim_],
                                        static_cast<int>(dim_), kNormEps);
    apply(pass, block.widen, block.widen_bias, normed_.get(), columns, hidden_.get(), Then::kGelu);
    apply(pass, block.narrow, block.narrow_bias, hidden_.get(), columns, x_.get(), Then::kAddScaled, block.scale.data());
}

// Each channel's own convolution over the past and the piece, into normed_.
void Spectral::look(const Pass& pass, const Block& block, int stream, int64_t steps) const {
    const int64_t past = (kernel_ - 1) * dim_, fresh = steps * dim_;
    float *window = pass.windows, *state = pass.states[stream] + block.past;
    std::copy_n(state, past, window);
    std::copy_n(&x_[stream * fresh], fresh, window + past);
    std::copy_n(window + fresh, past, state);
    for (int64_t c = 0; c < steps; c++) {
        float* out = &normed_[stream * fresh + c * dim_];
        std::copy_n(block.bias.data(), dim_, out);
        for (int64_t tap = 0; tap < kernel_; tap++) {
            const float *weight = &block.taps[tap * dim_], *seen = window + (c + tap) * dim_;
            for (int64_t i = 0; i < dim_; i++) out[i] += weight[i] * seen[i];
        }
    }
}

void Spectral::apply(const Pass& pass, const Panels& w, const std::vector<float>& bias, const float* x, int64_t columns,
                     float* y, Then then, const float* factor) const {
    multiply(*pass.kernels, *pass.team, w, {x, 0, w.cols, 1, columns}, y, w.rows, {then, bias.data(), factor});
}

}  // namespace duologue
