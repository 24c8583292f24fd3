// Lookup and search; see codec_quantizer.h.
#include "codec_quantizer.h"

#include <algorithm>
#include <cmath>

#include "packing.h"

namespace duologue {
namespace {

constexpr int kGroup = 32;
constexpr float kSlack = 1.0001f, kRounding = 4e-6f;  // of the bounds themselves; of float32 sums, relative to |x| |c|
constexpr float kNever = 1e30f;  // half a norm of the rows that fill up the last tile

double distance(const float* x, const float* centroid, int64_t width, double half_norm) {
    double dot = 0.0;
    for (int64_t i = 0; i < width; i++) dot += static_cast<double>(x[i]) * centroid[i];
    return half_norm - dot;
}

}  // namespace

void Quantizer::build_lookup(Builder& builder, const QuantizerShape& shape, int64_t most_frames) {
    shape_ = shape;
    if (shape.codebooks < 1 || shape.codebooks > 256 || shape.entries < 1 || shape.entries > kMostRows ||
        shape.code_width < 1 || shape.code_width > kMostRows / 64 || shape.semantic < 1 || shape.semantic >= shape.codebooks)
        throw std::invalid_argument("no quantizer has such a size");
    centroids_ = builder.tensors->take(shape.codebooks * shape.entries * shape.code_width);
    both_.allocate(most_frames * 2 * shape.code_width);
    const int64_t cols = 2 * shape.code_width;
    if (books_.empty()) out_ = builder.store->pack(builder.kind, shape.width, cols, builder.tensors->take(shape.width * cols));
}

void Quantizer::build_search(Builder& builder, const QuantizerShape& shape, int64_t most_frames) {
    books_.resize(std::clamp<int64_t>(shape.codebooks, 1, 256));
    build_lookup(builder, shape, most_frames);
    const int64_t rows = 2 * shape.code_width;
    // In float32 whatever the others are: a code is a choice, and these products decide it.
    in_ = builder.store->pack(PanelKind::kFloat32, rows, shape.width, builder.tensors->take(rows * shape.width));
    for (int64_t k = 0; k < shape.codebooks; k++) build_book(k);
    search_.allocate(shape.code_width, static_cast<int>(most_frames));
    score_stride_ = round_up(shape.entries, kTileRows);
    scores_.allocate(score_stride_ * most_frames);
    lowest_.allocate(score_stride_);
}

void Quantizer::build_book(int64_t index) {
    Book& book = books_[index];
    const int64_t entries = shape_.entries, width = shape_.code_width;
    book.rounded.kind = kInt8;
    book.rounded.group = kGroup;
    book.rounded.rows = static_cast<int>(entries);
    book.rounded.cols = static_cast<int>(width);
    if (!is_valid(book.rounded)) throw std::invalid_argument("no codebook has such a size");
    book.packed.resize(book.rounded.bytes());
    book.rounded.scale = pack(book.rounded, centroid(index, 0), book.packed.data());
    book.rounded.data = book.packed.data();
    std::vector<float> seen(entries * width);
    unpack(book.rounded, seen.data());
    for (int64_t code = 0; code < entries; code++) {
        const float *exact = centroid(index, code), *rounded = &seen[code * width];
        double norm = 0.0, miss = 0.0, length = 0.0;
        for (int64_t i = 0; i < width; i++) {
            norm += static_cast<double>(exact[i]) * exact[i];
            miss += (static_cast<double>(exact[i]) - rounded[i]) * (static_cast<double>(exact[i]) - rounded[i]);
            length += static_cast<double>(rounded[i]) * rounded[i];
        }
        book.half_norms.push_back(static_cast<float>(norm / 2));
        book.miss.push_back(static_cast<float>(std::sqrt(miss)) * kSlack);
        book.length.push_back(static_cast<float>(std::sqrt(length)) * kSlack);
    }
    book.half_norms.resize(round_up(entries, kTileRows), kNever);
    book.miss.resize(book.half_norms.size(), 0.0f);
    book.length.resize(book.half_norms.size(), 0.0f);
}

void Quantizer::add_centroid(int64_t book, int64_t code, float* sums) const {
    const float* from = centroid(book, code);
    float* to = sums + part(book);
    for (int64_t i = 0; i < shape_.code_width; i++) to[i] += from[i];
}

void Quantizer::project_out(const Pass& pass, int64_t columns, float* latents) const {
    const Windows windows = {both_.get(), 0, 2 * shape_.code_width, 1, columns};
    multiply(*pass.kernels, *pass.team, out_, windows, latents, shape_.width, {});
}

void Quantizer::project_in(const Pass& pass, const float* latents, int64_t columns) {
    const Windows windows = {latents, 0, shape_.width, 1, columns};
    multiply(*pass.kernels, *pass.team, in_, windows, both_.get(), 2 * shape_.code_width, {});
}

void Quantizer::find_scores(const Pass& pass, int64_t book, int64_t columns) {
    const Matrix& w = books_[book].rounded;
    for (int64_t c = 0; c < columns; c++) {
        const float* rest = &both_[c * 2 * shape_.code_width] + part(book);
        std::copy_n(rest, shape_.code_width, search_.column(static_cast<int>(c)));
    }
    search_.quantize_for(*pass.kernels, w, static_cast<int>(columns));
    multiply(*pass.team, *pass.kernels, w, search_.operand, scores_.get(), score_stride_, static_cast<int>(columns), false);
}

// |x - rounded x|, rounded up; `length` is |x|, likewise.
float Quantizer::bound_inputs(const float* rest, int64_t column, float* length) const {
    const int8_t* q = search_.operand.q + column * search_.operand.stride;
    const float* scales = search_.operand.scales + column * search_.operand.group_stride;
    double miss = 0.0, square = 0.0;
    for (int64_t i = 0; i < shape_.code_width; i++) {
        const double away = rest[i] - static_cast<double>(q[i]) * scales[i / kGroup];
        miss += away * away;
        square += static_cast<double>(rest[i]) * rest[i];
    }
    *length = static_cast<float>(std::sqrt(square)) * kSlack;
    return static_cast<float>(std::sqrt(miss)) * kSlack;
}

// The nearest centroid to what is left of a column, the first of equals; it is subtracted.
int64_t Quantizer::take_nearest(int64_t index, int64_t column) {
    const Book& book = books_[index];
    float* rest = &both_[column * 2 * shape_.code_width] + part(index);
    const float* products = &scores_[column * score_stride_];
    float length = 0.0f, lanes[kTileRows];
    const float miss = bound_inputs(rest, column, &length);
    std::fill_n(lanes, kTileRows, INFINITY);
    for (int64_t i = 0; i < score_stride_; i += kTileRows)  // |x·c - x'·c'| <= |x| |c - c'| + |x - x'| |c'|
        for (int64_t j = 0; j < kTileRows; j++) {
            const float half = book.half_norms[i + j], reach = book.length[i + j], about = half - products[i + j];
            const float away = length * book.miss[i + j] + miss * reach + kRounding * (half + length * reach);
            lowest_[i + j] = about - away;
            lanes[j] = about + away < lanes[j] ? about + away : lanes[j];
        }
    const float least = *std::min_element(lanes, lanes + kTileRows);
    int64_t nearest = 0;
    double best = INFINITY;
    for (int64_t i = 0; i < shape_.entries; i++) {
        if (lowest_[i] > least) continue;
        const double here = distance(rest, centroid(index, i), shape_.code_width, book.half_norms[i]);
        if (here < best) {
            best = here;
            nearest = i;
        }
    }
    const float* chosen = centroid(index, nearest);
    for (int64_t i = 0; i < shape_.code_width; i++) rest[i] -= chosen[i];
    return nearest;
}

}  // namespace duologue
