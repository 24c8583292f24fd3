// Attention and feed-forward, layer by layer; see stack.h.
#include "stack.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "half_floats.h"

namespace duologue {
namespace {

constexpr int64_t kWorthSharing = 16384;  // multiply-adds of attention below which a phase of its own costs more

}  // namespace

void multiply(Team& team, const Kernels& kernels, const Matrix& w, const Operand& x, float* y, int64_t y_stride, int columns,
              bool add) {
    const int tiles = w.tiles();
    team.run((tiles + kUnitTiles - 1) / kUnitTiles, [&](int unit) {
        kernels.multiply(w, x, y, y_stride, columns, unit * kUnitTiles, std::min(tiles, (unit + 1) * kUnitTiles), add);
    });
}

void Input::allocate(int64_t width, int columns) {
    operand.stride = round_up(width, kVectorPad);
    operand.group_stride = round_up(operand.stride / 32, 16);
    values_.allocate(operand.stride * columns);
    q_.allocate(operand.stride * columns);
    scales_.allocate(operand.group_stride * columns);
    sums_.allocate(operand.group_stride * columns);
    operand.values = values_.get();
    operand.q = q_.get();
    operand.scales = scales_.get();
    operand.sums = sums_.get();
}

void Input::quantize_for(const Kernels& kernels, const Matrix& w, int columns, int begin, int end) const {
    if (!w.quantized()) return;
    for (int c = 0; c < columns; c++) kernels.quantize(operand, c, begin, end, w.group);
}

void Stack::build(const Kernels* kernels, const StackShape& shape, std::vector<Layer> layers, const float* final_norm,
                  const float* cosines, const float* sines, int max_columns) {
    kernels_ = kernels;
    shape_ = shape;
    layers_ = std::move(layers);
    final_norm_ = final_norm;
    cosines_ = cosines;
    sines_ = sines;
    max_columns_ = max_columns;
    stride_ = round_up(shape.width, kVectorPad);
    qkv_stride_ = static_cast<int64_t>(shape.heads + 2 * shape.kv_heads) * shape.padded_head();
    gate_stride_ = static_cast<int64_t>(shape.hidden_tiles()) * 2 * kTileRows;
    x_.allocate(stride_ * max_columns);
    qkv_.allocate(qkv_stride_ * max_columns);
    gate_up_.allocate(gate_stride_ * max_columns);
    normed_.allocate(shape.width, max_columns);
    attended_.allocate(static_cast<int64_t>(shape.heads) * shape.padded_head(), max_columns);
    gated_.allocate(shape.hidden, max_columns);
}

void Stack::run(Team& team, const Column* columns, int count) {
    for (int i = 0; i < shape_.layers; i++) {
        attention(team, layers_[i], i, columns, count);
        feed(team, layers_[i], count);
    }
}

void Stack::final_norm(int column, float* out) const {
    kernels_->normalize(x(column), final_norm_, out, shape_.width, shape_.padded_width(), shape_.eps);
}

void Stack::normalize_into(const Input& input, const float* scale, int count) const {
    for (int c = 0; c < count; c++)
        kernels_->normalize(x(c), scale, input.column(c), shape_.width, shape_.padded_width(), shape_.eps);
}

void Stack::attention(Team& team, const Layer& layer, int index, const Column* columns, int count) {
    normalize_into(normed_, layer.attention_norm, count);
    normed_.quantize_for(*kernels_, layer.qkv, count);
    multiply(team, *kernels_, layer.qkv, normed_.operand, qkv_.get(), qkv_stride_, count, false);
    int64_t work = 0;
    for (int c = 0; c < count; c++) work += static_cast<int64_t>(columns[c].slot + 1) * shape_.heads * shape_.head_width;
    const auto head = [&](int h) { attend_head(index, h, columns, count); };
    if (work > kWorthSharing) {
        team.run(shape_.kv_heads, head);
    } else {
        for (int h = 0; h < shape_.kv_heads; h++) head(h);
    }
    attended_.quantize_for(*kernels_, layer.out, count);
    multiply(team, *kernels_, layer.out, attended_.operand, x_.get(), stride_, count, true);
}

// First every column's key and value, then every column's attention: a column sees those before it in the same call.
void Stack::attend_head(int layer, int head, const Column* columns, int count) {
    const int width = shape_.padded_head(), queries = shape_.heads / shape_.kv_heads;
    const float scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_width));
    for (int c = 0; c < count; c++) {
        float* row = &qkv_[c * qkv_stride_];
        float* key = row + (shape_.heads + head) * width;
        for (int r = 0; r < queries; r++) rotate(row + (head * queries + r) * width, columns[c].position);
        rotate(key, columns[c].position);
        remember(columns[c], layer, head, key, row + (shape_.heads + shape_.kv_heads + head) * width);
    }
    for (int c = 0; c < count; c++) {
        const PageShape& shape = columns[c].cache->shape();
        const Past past = {columns[c].cache->pages(), shape.keys(layer, head), shape.values(layer, head), columns[c].slot + 1,
                           shape.bfloat16};
        const int first = head * queries * width;
        kernels_->attend(&qkv_[c * qkv_stride_ + first], queries, width, scale, past, attended_.column(c) + first);
    }
}

void Stack::rotate(float* head, int position) const {
    const int half = shape_.head_width / 2;
    const float *cosine = cosines_ + static_cast<int64_t>(position) * half, *sine = sines_ + static_cast<int64_t>(position) * half;
    for (int i = 0; i < half; i++) {
        const float a = head[i], b = head[i + half];
        head[i] = a * cosine[i] - b * sine[i];
        head[i + half] = b * cosine[i] + a * sine[i];
    }
}

void Stack::remember(const Column& column, int layer, int head, const float* key, const float* value) const {
    const PageShape& shape = column.cache->shape();
    uint8_t* page = column.cache->pages()[column.slot / kPagePositions];
    const int place = column.slot % kPagePositions, width = shape.padded_head;
    uint8_t *keys = page + shape.keys(layer, head), *values = page + shape.values(layer, head);
    for (int i = 0; i < width; i++) {
        if (shape.bfloat16) {
            reinterpret_cast<uint16_t*>(keys)[i * kPagePositions + place] = bfloat16_of_float(key[i]);
            reinterpret_cast<uint16_t*>(values)[place * width + i] = bfloat16_of_float(value[i]);
        } else {
            reinterpret_cast<float*>(keys)[i * kPagePositions + place] = key[i];
            reinterpret_cast<float*>(values)[place * width + i] = value[i];
        }
    }
}

// Gate, up, their product and its rounding belong to one unit, so that no thread waits between them.
void Stack::feed(Team& team, const Layer& layer, int count) {
    normalize_into(normed_, layer.feed_norm, count);
    normed_.quantize_for(*kernels_, layer.gate_up, count);
    const int tiles = shape_.hidden_tiles();
    team.run((tiles + kUnitTiles - 1) / kUnitTiles, [&](int unit) {
        const int first = unit * kUnitTiles, last = std::min(tiles, first + kUnitTiles);
        kernels_->multiply(layer.gate_up, normed_.operand, gate_up_.get(), gate_stride_, count, 2 * first, 2 * last, false);
        for (int c = 0; c < count; c++) kernels_->gate(&gate_up_[c * gate_stride_], gated_.column(c), first, last);
        gated_.quantize_for(*kernels_, layer.down, count, first * kTileRows,
                            std::min(layer.down.packed_cols(), (unit + 1) * kUnitTiles * kTileRows));
    });
    multiply(team, *kernels_, layer.down, gated_.operand, x_.get(), stride_, count, true);
}

}  // namespace duologue
