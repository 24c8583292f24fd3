// Every kernel, written once over 16 lanes. Included by one translation unit per instruction set, after it has defined:
//   Lanes (16 float32), Counts (16 int32) and their operations, dot_int8 / dot_int4, kMaxColumns, kInt8Offset, kName.
// Everything has internal linkage: a copy compiled for a newer CPU must never be picked by the linker for an older one.

static inline Lanes exp_lanes(Lanes x) {  // 2^(x log2 e), relative error about 2e-7
    x = lanes_max(lanes_min(x, lanes_set(88.0f)), lanes_set(-87.0f));
    const Lanes t = lanes_mul(x, lanes_set(1.44269504f));
    const Lanes whole = lanes_round(t);
    Lanes f = lanes_fma(x, lanes_set(1.44269504f), lanes_sub(lanes_set(0.0f), whole));
    f = lanes_fma(x, lanes_set(1.92596299e-8f), f);  // the rest of log2 e
    Lanes p = lanes_set(1.5252734e-5f);
    p = lanes_fma(p, f, lanes_set(1.5403530e-4f));
    p = lanes_fma(p, f, lanes_set(1.3333558e-3f));
    p = lanes_fma(p, f, lanes_set(9.6181291e-3f));
    p = lanes_fma(p, f, lanes_set(5.5504109e-2f));
    p = lanes_fma(p, f, lanes_set(2.4022651e-1f));
    p = lanes_fma(p, f, lanes_set(6.9314718e-1f));
    p = lanes_fma(p, f, lanes_set(1.0f));
    return lanes_mul(p, lanes_pow2(whole));
}

// ---- matrix products: float weights ---------------------------------------------------------------------------------

template <Kind KIND>
static inline Lanes weights_at(const uint8_t* tile, int k) {
    if (KIND == kFloat32) return lanes_load(reinterpret_cast<const float*>(tile) + k * 16);
    const uint16_t* half = reinterpret_cast<const uint16_t*>(tile) + k * 16;
    return KIND == kFloat16 ? lanes_load_half(half) : lanes_load_bfloat16(half);
}

static inline void put(float* y, Lanes sum, bool add) {
    lanes_store(y, add ? lanes_add(lanes_load(y), sum) : sum);
}

template <Kind KIND, int TILES, int COLUMNS>
static void float_block(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int tile, bool add) {
    const int64_t tile_bytes = w.tile_bytes();
    const uint8_t* p = w.data + tile * tile_bytes;
    Lanes sum[TILES][COLUMNS];
    for (int t = 0; t < TILES; t++)
        for (int c = 0; c < COLUMNS; c++) sum[t][c] = lanes_set(0.0f);
    for (int k = 0; k < w.cols; k++) {
        Lanes v[COLUMNS];
        for (int c = 0; c < COLUMNS; c++) v[c] = lanes_set(x[c * x_stride + k]);
        for (int t = 0; t < TILES; t++) {
            const Lanes wt = weights_at<KIND>(p + t * tile_bytes, k);
            for (int c = 0; c < COLUMNS; c++) sum[t][c] = lanes_fma(wt, v[c], sum[t][c]);
        }
    }
    for (int t = 0; t < TILES; t++)
        for (int c = 0; c < COLUMNS; c++) {
            const Lanes whole = KIND == kFloat16 ? lanes_mul(sum[t][c], lanes_set(w.scale)) : sum[t][c];
            put(y + c * y_stride + (tile + t) * 16, whole, add);
        }
}

template <Kind KIND, int COLUMNS>
static void float_columns(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int tile0,
                          int tile1, bool add) {
    constexpr int kTogether = COLUMNS == 1 ? kFloatTiles : (COLUMNS * 2 <= kMaxColumns ? 2 : 1);
    int t = tile0;
    for (; t + kTogether <= tile1; t += kTogether) float_block<KIND, kTogether, COLUMNS>(w, x, x_stride, y, y_stride, t, add);
    for (; t < tile1; t++) float_block<KIND, 1, COLUMNS>(w, x, x_stride, y, y_stride, t, add);
}

// ---- matrix products: integer weights -------------------------------------------------------------------------------

template <Kind KIND, int SPANS, int COLUMNS>  // SPANS * 32 columns share a scale
static void int_tile(const Matrix& w, const Operand& x, int column, float* y, int64_t y_stride, int tile, bool add) {
    constexpr int kSpanBytes = KIND == kInt8 ? 512 : KIND == kUneven3 ? 192 : 256;
    constexpr int kOffset = KIND == kInt4 ? 8 : kInt8Offset;
    constexpr bool kUneven = KIND == kUneven4 || KIND == kUneven3;
    constexpr int kScaleBytes = kUneven ? 16 : 32;
    const uint8_t* p = w.data + tile * w.tile_bytes();
    const int groups = w.packed_cols() / (SPANS * 32);
    constexpr int kGroupsPerBlock = kBlockCols / (SPANS * 32);
    const int8_t* q = x.q + column * x.stride;
    const float* xs = x.scales + column * x.group_stride;
    const int32_t* sums = x.sums + column * x.group_stride;
    Lanes total[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) total[c] = lanes_set(0.0f);
    for (int first = 0; first < groups; first += kGroupsPerBlock) {
        const int here = groups - first < kGroupsPerBlock ? groups - first : kGroupsPerBlock;
        const uint8_t* scales = p + here * SPANS * kSpanBytes;
        for (int g = 0; g < here; g++) {
            Counts acc[COLUMNS];
            for (int c = 0; c < COLUMNS; c++) acc[c] = counts_set(-kOffset * sums[c * x.group_stride + first + g]);
            for (int s = 0; s < SPANS; s++) {
                const uint8_t* span = p + (g * SPANS + s) * kSpanBytes;
                const int8_t* qs = q + ((first + g) * SPANS + s) * 32;
                if (KIND == kInt8) dot_int8<COLUMNS>(acc, span, qs, x.stride);
                if (KIND == kInt4) dot_int4<COLUMNS>(acc, span, qs, x.stride);
                if (KIND == kUneven4) dot_uneven4<COLUMNS>(acc, span, qs, x.stride);
                if (KIND == kUneven3) dot_uneven3<COLUMNS>(acc, span, qs, x.stride);
            }
            const uint8_t* scale = scales + g * kScaleBytes;
            const Lanes ws = kUneven ? counts_to_lanes(counts_load_int8(reinterpret_cast<const int8_t*>(scale)))
                                     : lanes_load_half(reinterpret_cast<const uint16_t*>(scale));
            for (int c = 0; c < COLUMNS; c++)
                total[c] = lanes_fma(counts_to_lanes(acc[c]), lanes_mul(ws, lanes_set(xs[c * x.group_stride + first + g])),
                                     total[c]);
        }
        p += here * (SPANS * kSpanBytes + kScaleBytes);
    }
    Lanes whole = lanes_set(w.scale);
    if (kUneven) whole = lanes_mul(whole, lanes_load_half(reinterpret_cast<const uint16_t*>(p)));
    for (int c = 0; c < COLUMNS; c++) put(y + (column + c) * y_stride + tile * 16, lanes_mul(total[c], whole), add);
}

template <Kind KIND, int COLUMNS>
static void int_columns(const Matrix& w, const Operand& x, int column, float* y, int64_t y_stride, int tile0, int tile1,
                        bool add) {
    for (int t = tile0; t < tile1; t++) {
        if (w.group == 32) int_tile<KIND, 1, COLUMNS>(w, x, column, y, y_stride, t, add);
        else if (w.group == 64) int_tile<KIND, 2, COLUMNS>(w, x, column, y, y_stride, t, add);
        else int_tile<KIND, 4, COLUMNS>(w, x, column, y, y_stride, t, add);
    }
}

template <Kind KIND, int COLUMNS>
static void some_columns(const Matrix& w, const Operand& x, float* y, int64_t y_stride, int column, int tile0, int tile1,
                         bool add) {
    if (is_quantized(KIND)) int_columns<KIND, COLUMNS>(w, x, column, y, y_stride, tile0, tile1, add);
    else
        float_columns<is_quantized(KIND) ? kFloat32 : KIND, COLUMNS>(
            w, x.values + column * x.stride, x.stride, y + column * y_stride, y_stride, tile0, tile1, add);
}

template <Kind KIND>
static void multiply_kind(const Matrix& w, const Operand& x, float* y, int64_t y_stride, int columns, int tile0, int tile1,
                          bool add) {
    int c = 0;
    if (kMaxColumns >= 8)
        for (; c + 8 <= columns; c += 8) some_columns<KIND, kMaxColumns >= 8 ? 8 : 1>(w, x, y, y_stride, c, tile0, tile1, add);
    if (kMaxColumns >= 4)
        for (; c + 4 <= columns; c += 4) some_columns<KIND, kMaxColumns >= 4 ? 4 : 1>(w, x, y, y_stride, c, tile0, tile1, add);
    for (; c + 2 <= columns; c += 2) some_columns<KIND, 2>(w, x, y, y_stride, c, tile0, tile1, add);
    for (; c < columns; c++) some_columns<KIND, 1>(w, x, y, y_stride, c, tile0, tile1, add);
}

static void multiply(const Matrix& w, const Operand& x, float* y, int64_t y_stride, int columns, int tile0, int tile1,
                     bool add) {
    switch (w.kind) {
        case kFloat32: return multiply_kind<kFloat32>(w, x, y, y_stride, columns, tile0, tile1, add);
        case kBfloat16: return multiply_kind<kBfloat16>(w, x, y, y_stride, columns, tile0, tile1, add);
        case kInt8: return multiply_kind<kInt8>(w, x, y, y_stride, columns, tile0, tile1, add);
        case kInt4: return multiply_kind<kInt4>(w, x, y, y_stride, columns, tile0, tile1, add);
        case kUneven4: return multiply_kind<kUneven4>(w, x, y, y_stride, columns, tile0, tile1, add);
        case kUneven3: return multiply_kind<kUneven3>(w, x, y, y_stride, columns, tile0, tile1, add);
        case kFloat16: return multiply_kind<kFloat16>(w, x, y, y_stride, columns, tile0, tile1, add);
    }
}

static void quantize(const Operand& x, int column, int begin, int end, int group) {
    const float* v = x.values + column * x.stride;
    int8_t* q = x.q + column * x.stride;
    for (int k = begin; k < end; k += group) {
        Lanes peak = lanes_set(0.0f);
        for (int i = 0; i < group; i += 16) peak = lanes_max(peak, lanes_abs(lanes_load(v + k + i)));
        const float most = lanes_maximum(peak);
        const Lanes inverse = lanes_set(most > 1e-30f ? 127.0f / most : 0.0f);
        Counts sum = counts_set(0);
        for (int i = 0; i < group; i += 16) {
            const Counts n = lanes_to_counts(lanes_mul(lanes_load(v + k + i), inverse));
            sum = counts_add(sum, n);
            counts_store_int8(q + k + i, n);
        }
        x.scales[column * x.group_stride + k / group] = most / 127.0f;
        x.sums[column * x.group_stride + k / group] = counts_sum(sum);
    }
}

// ---- vectors --------------------------------------------------------------------------------------------------------

static void normalize(const float* x, const float* scale, float* out, int width, int padded, float eps) {
    Lanes squares = lanes_set(0.0f);
    for (int i = 0; i < padded; i += 16) {
        const Lanes v = lanes_load(x + i);
        squares = lanes_fma(v, v, squares);
    }
    const Lanes factor = lanes_set(1.0f / __builtin_sqrtf(lanes_sum(squares) / width + eps));
    for (int i = 0; i < padded; i += 16)
        lanes_store(out + i, lanes_mul(lanes_mul(lanes_load(x + i), factor), lanes_load(scale + i)));
}

static void gate(const float* gate_up, float* out, int tile0, int tile1) {
    for (int t = tile0; t < tile1; t++) {
        const Lanes g = lanes_load(gate_up + t * 32), u = lanes_load(gate_up + t * 32 + 16);
        const Lanes one = lanes_set(1.0f);
        const Lanes sigmoid = lanes_div(one, lanes_add(one, exp_lanes(lanes_sub(lanes_set(0.0f), g))));
        lanes_store(out + t * 16, lanes_mul(lanes_mul(g, sigmoid), u));
    }
}

static void add_row(Kind kind, const void* row, float scale, int padded_width, float* out) {
    for (int i = 0; i < padded_width; i += 16) {
        Lanes v;
        if (kind == kFloat32) v = lanes_load(static_cast<const float*>(row) + i);
        else if (kind == kBfloat16) v = lanes_load_bfloat16(static_cast<const uint16_t*>(row) + i);
        else v = lanes_mul(counts_to_lanes(counts_load_int8(static_cast<const int8_t*>(row) + i)), lanes_set(scale));
        lanes_store(out + i, lanes_add(lanes_load(out + i), v));
    }
}

#include "attention_body.h"
#include "codec_kernels_body.h"

static const Kernels kTable = {kName, multiply, quantize, normalize, gate, attend, add_row, &kCodecTable};
