// One Llama-style stack over several columns (positions of one conversation, or conversations). Knows no speech.
#pragma once

#include <vector>

#include "cache.h"
#include "kernels.h"
#include "team.h"

namespace duologue {

// Zeroed floats (or bytes) on a 64-byte boundary.
template <class T>
class Buffer {
   public:
    void allocate(int64_t count) {
        memory_.assign(count * sizeof(T) + 64, 0);
        data_ = reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(memory_.data()) + 63) & ~uintptr_t{63});
    }
    T* get() const { return data_; }
    T& operator[](int64_t i) const { return data_[i]; }

   private:
    std::vector<uint8_t> memory_;
    T* data_ = nullptr;
};

// The input of a matrix product for up to `columns` columns, with the memory it needs.
class Input {
   public:
    void allocate(int64_t width, int columns);
    void quantize_for(const Kernels& kernels, const Matrix& w, int columns, int begin, int end) const;
    void quantize_for(const Kernels& kernels, const Matrix& w, int columns) const {
        quantize_for(kernels, w, columns, 0, w.packed_cols());
    }
    float* column(int c) const { return operand.values + c * operand.stride; }
    Operand operand;

   private:
    Buffer<float> values_, scales_;
    Buffer<int8_t> q_;
    Buffer<int32_t> sums_;
};

struct Layer {
    const float* attention_norm;  // (padded width), zeros beyond the width
    const float* feed_norm;
    Matrix qkv;      // heads of queries, then keys, then values, each padded to 16 rows; rotary pairs (i, i + half)
    Matrix out;      // columns padded per head likewise
    Matrix gate_up;  // tiles of gate and up alternate
    Matrix down;
};

struct StackShape {
    int layers, width, heads, kv_heads, head_width, hidden, positions;
    float eps;
    int padded_width() const { return static_cast<int>(round_up(width, 16)); }
    int padded_head() const { return static_cast<int>(round_up(head_width, 16)); }
    int hidden_tiles() const { return (hidden + kTileRows - 1) / kTileRows; }
};

// Where one column stands.
struct Column {
    Cache* cache;
    int slot;      // place in the cache: it attends to slots 0..slot
    int position;  // rotary position
};

class Stack {
   public:
    Stack() = default;
    void build(const Kernels* kernels, const StackShape& shape, std::vector<Layer> layers, const float* final_norm,
               const float* cosines, const float* sines, int max_columns);

    float* x(int column) const { return &x_[column * stride_]; }  // residual stream, in and out
    void run(Team& team, const Column* columns, int count);
    void final_norm(int column, float* out) const;
    const StackShape& shape() const { return shape_; }
    int max_columns() const { return max_columns_; }
    PageShape page_shape(bool bfloat16) const { return {shape_.layers, shape_.kv_heads, shape_.padded_head(), bfloat16}; }

   private:
    void attention(Team& team, const Layer& layer, int index, const Column* columns, int count);
    void attend_head(int layer, int head, const Column* columns, int count);
    void rotate(float* head, int position) const;
    void remember(const Column& column, int layer, int head, const float* key, const float* value) const;
    void feed(Team& team, const Layer& layer, int count);
    void normalize_into(const Input& input, const float* scale, int count) const;

    const Kernels* kernels_ = nullptr;
    StackShape shape_{};
    std::vector<Layer> layers_;
    const float *final_norm_ = nullptr, *cosines_ = nullptr, *sines_ = nullptr;
    int max_columns_ = 0;
    int64_t stride_ = 0, qkv_stride_ = 0, gate_stride_ = 0;
    Buffer<float> x_, qkv_, gate_up_;
    Input normed_, attended_, gated_;
};

// Multiply in units of tiles shared out to the team.
void multiply(Team& team, const Kernels& kernels, const Matrix& w, const Operand& x, float* y, int64_t y_stride, int columns,
              bool add);

}  // namespace duologue
