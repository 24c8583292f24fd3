// Windows, products and what is remembered between pieces; see codec_layers.h.
#include "codec_layers.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace duologue {
namespace {

constexpr int64_t kUnitColumns = 96;    // columns of a panel's product that a thread takes at once
constexpr int64_t kUnitFloats = 16384;  // activations likewise

// In how many blocks of at most kProductColumns, and the sizes as even as they can be.
int64_t block_end(int64_t begin, int64_t end) {
    const int64_t left = end - begin, blocks = (left + kProductColumns - 1) / kProductColumns;
    return begin + (left + blocks - 1) / blocks;
}

}  // namespace

const float* TensorReader::take(int64_t count) {
    if (left_ < 1) throw std::invalid_argument("a tensor of the codec is missing");
    if (*counts_ != count || *data_ == nullptr)
        throw std::invalid_argument("a tensor of the codec has " + std::to_string(*counts_) + " values; it should have " +
                                    std::to_string(count));
    left_--;
    counts_++;
    return *data_++;
}

std::vector<float> TensorReader::padded(int64_t count) {
    const float* values = take(count);
    std::vector<float> out(round_up(count, 16), 0.0f);
    std::copy_n(values, count, out.begin());
    return out;
}

void TensorReader::finish() const {
    if (left_ != 0) throw std::invalid_argument("there are more tensors than the codec has");
}

void multiply(const Kernels& kernels, Team& team, const Panels& w, const Windows& windows, float* y, int64_t y_stride,
              const Finish& finish) {
    const int64_t all = windows.streams * windows.columns, chunk = std::max<int64_t>(kUnitColumns, (all + 1023) / 1024);
    const int chunks = static_cast<int>((all + chunk - 1) / chunk);
    team.run(w.count() * chunks, [&](int unit) {
        const int panel = unit / chunks;
        const int64_t begin = unit % chunks * chunk, end = std::min(all, begin + chunk);
        const float* from[kProductColumns];
        float* to[kProductColumns];
        for (int64_t first = begin; first < end;) {
            const int64_t last = block_end(first, end);
            for (int64_t c = first; c < last; c++) {
                const int64_t stream = c / windows.columns;
                from[c - first] = windows.x + stream * windows.stream_stride + (c - stream * windows.columns) * windows.column_stride;
                to[c - first] = y + c * y_stride;
            }
            kernels.codec->product(w, panel, from, to, static_cast<int>(last - first), finish);
            first = last;
        }
    });
}

void Conv::build(Builder& builder, const ConvShape& shape, int64_t most_steps) {
    shape_ = shape;
    const int64_t cols = shape.inputs * shape.kernel;
    if (shape.inputs > kMostRows || shape.kernel > kMostRows || cols > kMostRows || shape.outputs > kMostRows ||
        shape.past() < 0)
        throw std::invalid_argument("no convolution has such a size");
    weights_ = builder.store->pack(builder.kind, shape.outputs, cols, builder.tensors->take(shape.outputs * cols));
    if (shape.bias) bias_ = builder.tensors->padded(shape.outputs);
    past_ = builder.state->take(shape.past() * shape.inputs);
    const int64_t taps = shape.dilation > 1 ? most_steps * cols : 0;
    builder.window_floats =
        std::max(builder.window_floats, (most_steps + kPieceFrames * shape.past()) * shape.inputs + taps + 64);
    if (builder.window_floats > kMostScratch || most_steps / shape.stride * shape.outputs > kMostScratch)
        throw std::invalid_argument("a convolution's activations don't fit in memory");
}

void Conv::run(const Pass& pass, const float* x, int64_t steps, bool activate, Then then, float* y) const {
    const int64_t past = shape_.past(), columns = steps / shape_.stride;
    Windows windows = {x, steps * shape_.inputs, shape_.stride * shape_.inputs, pass.streams, columns};
    if (past > 0 || activate) {
        for (int s = 0; s < pass.streams; s++) fill_window(pass, s, x + s * steps * shape_.inputs, steps, activate);
        windows.x = pass.windows;
        windows.stream_stride = (past + steps) * shape_.inputs;
    }
    if (shape_.dilation > 1) {
        float* gathered = pass.windows + round_up(pass.streams * (past + steps) * shape_.inputs, 16);
        gather_taps(pass, steps, gathered);
        windows.x = gathered;
        windows.column_stride = shape_.kernel * shape_.inputs;
        windows.stream_stride = columns * windows.column_stride;
    }
    Finish finish;
    finish.then = then;
    finish.bias = bias_.empty() ? nullptr : bias_.data();
    multiply(*pass.kernels, *pass.team, weights_, windows, y, shape_.outputs, finish);
}

void Conv::fill_window(const Pass& pass, int stream, const float* x, int64_t steps, bool activate) const {
    const int64_t past = shape_.past() * shape_.inputs, fresh = steps * shape_.inputs;
    float *window = pass.windows + stream * (past + fresh), *state = pass.states[stream] + past_;
    const int units = static_cast<int>((fresh + kUnitFloats - 1) / kUnitFloats);
    pass.team->run(units, [&](int unit) {
        const int64_t begin = unit * kUnitFloats, count = std::min(kUnitFloats, fresh - begin);
        if (activate) pass.kernels->codec->elu(x + begin, window + past + begin, count);
        else memcpy(window + past + begin, x + begin, count * 4);
    });
    if (shape_.replicate && pass.seen[stream] == 0) {
        for (int64_t i = 0; i < past; i++) window[i] = window[past + i % shape_.inputs];
    } else {
        std::copy_n(state, past, window);
    }
    std::copy_n(window + fresh, past, state);
}

// A dilated window is no run of memory: its taps are brought together.
void Conv::gather_taps(const Pass& pass, int64_t steps, float* gathered) const {
    const int64_t rows = shape_.past() + steps, width = shape_.inputs;
    for (int s = 0; s < pass.streams; s++)
        for (int64_t c = 0; c < steps / shape_.stride; c++)
            for (int64_t tap = 0; tap < shape_.kernel; tap++, gathered += width)
                std::copy_n(pass.windows + (s * rows + c * shape_.stride + tap * shape_.dilation) * width, width, gathered);
}

}  // namespace duologue
