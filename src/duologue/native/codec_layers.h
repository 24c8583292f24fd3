// Convolutions that run piece by piece over several streams: a window of the past and the piece, times a matrix.
//
// Activations are time-major and dense, [stream][step][channel], so that the window that one output column sees is one run
// of memory: no copies but the one that puts the past in front. A transposed convolution of two strides is the same thing:
// its window is this step and the one before, and its rows are `stride` steps of output.
//
// What a stream remembers lies in memory of the caller's, `StateLayout.bytes()` of it, zeros before the first step.
#pragma once

#include <stdexcept>
#include <vector>

#include "codec_kernels.h"
#include "codec_store.h"
#include "kernels.h"
#include "stack.h"
#include "team.h"

namespace duologue {

constexpr int kPieceFrames = 8;  // frames, of all streams together, that pass through the layers at once

constexpr int64_t kMostScratch = int64_t{1} << 28;  // activations of one buffer: a file that asks for more is damaged

// The codec's tensors in the order in which it is built; see mimi/torchless/native_tensors.py.
class TensorReader {
   public:
    TensorReader(const float* const* data, const int64_t* counts, int64_t tensors) : data_(data), counts_(counts), left_(tensors) {}
    const float* take(int64_t count);          // throws std::invalid_argument unless the next one has `count` values
    std::vector<float> padded(int64_t count);  // a copy with zeros up to a multiple of 16
    void finish() const;                       // throws if any is left

   private:
    const float* const* data_;
    const int64_t* counts_;
    int64_t left_;
};

// Places, in floats, within a stream's state.
class StateLayout {
   public:
    int64_t take(int64_t floats) {
        const int64_t place = floats_;
        floats_ += round_up(floats, 16);
        return place;
    }
    int64_t bytes() const { return floats_ * 4; }

   private:
    int64_t floats_ = 16;  // the first holds the number of steps seen
};

// One pass of a piece: who computes, for which streams, in which memory.
struct Pass {
    const Kernels* kernels;
    Team* team;
    float* const* states;
    const int64_t* seen;  // steps of each stream before this piece
    int streams;
    float* windows;
};

struct Builder {
    TensorReader* tensors;
    PanelStore* store;
    StateLayout* state;
    PanelKind kind;
    int64_t window_floats = 0;  // the largest that any layer wants
};

struct ConvShape {
    int64_t inputs, outputs, kernel, stride = 1, dilation = 1;
    bool bias = true, replicate = false;
    int64_t past() const { return (kernel - 1) * dilation + 1 - stride; }
};

class Conv {
   public:
    // `most_steps`: input steps of all streams together in the largest piece.
    void build(Builder& builder, const ConvShape& shape, int64_t most_steps);
    // x [streams][steps][inputs], through an ELU first if `activate`, to y [streams][steps / stride][outputs].
    void run(const Pass& pass, const float* x, int64_t steps, bool activate, Then then, float* y) const;
    const ConvShape& shape() const { return shape_; }

   private:
    void fill_window(const Pass& pass, int stream, const float* x, int64_t steps, bool activate) const;
    void gather_taps(const Pass& pass, int64_t steps, float* gathered) const;

    ConvShape shape_{};
    Panels weights_;
    std::vector<float> bias_;
    int64_t past_ = 0;  // place in the state
};

// y [streams * columns][rows] from windows x: stream s, column c starts at x + s * stream_stride + c * column_stride.
struct Windows {
    const float* x;
    int64_t stream_stride, column_stride;
    int streams;
    int64_t columns;
};
void multiply(const Kernels& kernels, Team& team, const Panels& w, const Windows& windows, float* y, int64_t y_stride,
              const Finish& finish);

}  // namespace duologue
