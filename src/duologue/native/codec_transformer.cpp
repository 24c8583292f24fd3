// Layer by layer; see codec_transformer.h.
#include "codec_transformer.h"

#include <algorithm>
#include <cmath>

namespace duologue {

void WindowedTransformer::build(Builder& builder, const TransformerShape& shape, int64_t most_steps) {
    shape_ = shape;
    if (shape.layers < 1 || shape.layers > 256 || shape.context < 1 || shape.context > kMostRows || shape.width > kMostRows ||
        shape.hidden > kMostRows || shape.heads < 1 || shape.width % (2 * shape.heads) != 0)
        throw std::invalid_argument("no transformer has such a size");
    layers_.resize(shape.layers);
    for (Layer& layer : layers_) build_layer(builder, &layer);
    normed_.allocate(most_steps * shape.width);
    qkv_.allocate(most_steps * 3 * shape.inner());
    attended_.allocate(most_steps * shape.inner());
    hidden_.allocate(most_steps * shape.hidden);
    pages_.allocate(kPieceFrames * ring_pages());
    cosines_.allocate(most_steps * shape.head_width() / 2);
    sines_.allocate(most_steps * shape.head_width() / 2);
}

void WindowedTransformer::build_layer(Builder& builder, Layer* layer) const {
    TensorReader& tensors = *builder.tensors;
    const int64_t width = shape_.width, inner = shape_.inner(), hidden = shape_.hidden;
    const auto matrix = [&](int64_t rows, int64_t cols) {
        return builder.store->pack(builder.kind, rows, cols, tensors.take(rows * cols));
    };
    layer->norm1 = tensors.padded(width);
    layer->norm1_bias = tensors.padded(width);
    layer->qkv = matrix(3 * inner, width);
    layer->out = matrix(width, inner);
    layer->scale1 = tensors.padded(width);
    layer->norm2 = tensors.padded(width);
    layer->norm2_bias = tensors.padded(width);
    layer->expand = matrix(hidden, width);
    layer->contract = matrix(width, hidden);
    layer->scale2 = tensors.padded(width);
    layer->past = builder.state->take(ring_pages() * page_floats());
}

void WindowedTransformer::run(const Pass& pass, float* x, int64_t steps) const {
    const int64_t width = shape_.width, inner = shape_.inner(), hidden = shape_.hidden, columns = pass.streams * steps;
    const auto through = [&](const Panels& w, const Buffer<float>& from, int64_t from_width, float* to, int64_t to_width,
                             Then then, const float* factor) {
        const Windows windows = {from.get(), 0, from_width, 1, columns};
        multiply(*pass.kernels, *pass.team, w, windows, to, to_width, {then, nullptr, factor});
    };
    find_angles(pass, steps);
    for (const Layer& layer : layers_) {
        normalize(pass, x, columns, layer.norm1, layer.norm1_bias);
        through(layer.qkv, normed_, width, qkv_.get(), 3 * inner, Then::kStore, nullptr);
        find_pages(pass, layer);
        const int heads = static_cast<int>(shape_.heads);
        pass.team->run(pass.streams * heads, [&](int unit) { attend(pass, layer, unit / heads, unit % heads, steps); });
        through(layer.out, attended_, inner, x, width, Then::kAddScaled, layer.scale1.data());
        normalize(pass, x, columns, layer.norm2, layer.norm2_bias);
        through(layer.expand, normed_, width, hidden_.get(), hidden, Then::kGelu, nullptr);
        through(layer.contract, hidden_, hidden, x, width, Then::kAddScaled, layer.scale2.data());
    }
}

void WindowedTransformer::normalize(const Pass& pass, const float* x, int64_t columns, const std::vector<float>& weight,
                                    const std::vector<float>& bias) const {
    const int width = static_cast<int>(shape_.width);
    for (int64_t c = 0; c < columns; c++)
        pass.kernels->codec->layer_norm(x + c * width, weight.data(), bias.data(), &normed_[c * width], width, shape_.norm_eps);
}

void WindowedTransformer::find_angles(const Pass& pass, int64_t steps) const {
    const int64_t half = shape_.head_width() / 2;
    for (int64_t i = 0; i < half; i++) {
        const double frequency = std::pow(static_cast<double>(shape_.rope_base), -static_cast<double>(i) / half);
        for (int64_t c = 0; c < pass.streams * steps; c++) {
            const double angle = static_cast<double>(pass.seen[c / steps] + c % steps) * frequency;
            cosines_[c * half + i] = static_cast<float>(std::cos(angle));
            sines_[c * half + i] = static_cast<float>(std::sin(angle));
        }
    }
}

void WindowedTransformer::find_pages(const Pass& pass, const Layer& layer) const {
    for (int s = 0; s < pass.streams; s++)
        for (int64_t i = 0; i < ring_pages(); i++)
            pages_[s * ring_pages() + i] = reinterpret_cast<const uint8_t*>(pass.states[s] + layer.past + i * page_floats());
}

void WindowedTransformer::rotate(float* head, int64_t column) const {
    const int64_t half = shape_.head_width() / 2;
    const float *cosine = &cosines_[column * half], *sine = &sines_[column * half];
    for (int64_t i = 0; i < half; i++) {
        const float a = head[i], b = head[i + half];
        head[i] = a * cosine[i] - b * sine[i];
        head[i + half] = b * cosine[i] + a * sine[i];
    }
}

// One head's steps in order: rotate, remember in the ring, look at the ring. Pages hold [head](keys [width][64], values
// [64][width]).
void WindowedTransformer::attend(const Pass& pass, const Layer& layer, int stream, int head, int64_t steps) const {
    const int64_t padded = shape_.padded_head(), block = padded * kPagePositions, inner = shape_.inner();
    float* ring = pass.states[stream] + layer.past;
    const float scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_width()));
    Past past = {&pages_[stream * ring_pages()], head * 2 * block * 4, (head * 2 + 1) * block * 4, 0, false};
    for (int64_t step = 0; step < steps; step++) {
        const int64_t column = stream * steps + step, seen = pass.seen[stream] + step, place = seen % shape_.context;
        float *query = &qkv_[column * 3 * inner + head * padded], *key = query + inner, *value = key + inner;
        rotate(query, column);
        rotate(key, column);
        float *keys = ring + place / kPagePositions * page_floats() + head * 2 * block, *values = keys + block;
        const int64_t slot = place % kPagePositions;
        for (int64_t i = 0; i < padded; i++) keys[i * kPagePositions + slot] = key[i];
        std::copy_n(value, padded, values + slot * padded);
        past.length = static_cast<int>(std::min(seen + 1, shape_.context));
        pass.kernels->attend(query, 1, static_cast<int>(padded), scale, past, &attended_[column * inner + head * padded]);
    }
}

}  // namespace duologue
