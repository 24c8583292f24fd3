// One path's kernels against the portable ones, without Python: for instruction sets that only an emulator runs here.
// paths_check NAME: a line per kernel with the largest difference relative to the largest value; 1 if one is too large.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "codec_kernels.h"
#include "half_floats.h"
#include "kernels.h"
#include "packing.h"

using namespace duologue;

namespace {

constexpr float kMost = 2e-5f;
const Kernels *one, *plain;
bool good = true;
uint32_t state = 1;

float random_value() {  // about normal
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) {
        state = state * 1664525u + 1013904223u;
        sum += static_cast<float>(state >> 8) / (1 << 24) - 0.5f;
    }
    return sum * 1.7f;
}

// Zeroed, on a 64-byte boundary, as the engine's own buffers are.
template <class T>
struct Room {
    explicit Room(int64_t count) : count_(count), data(static_cast<T*>(aligned_alloc(64, round_up(count * sizeof(T) + 64, 64)))) {
        memset(static_cast<void*>(data), 0, count * sizeof(T));
    }
    ~Room() { free(data); }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    void fill() {
        for (int64_t i = 0; i < count_; i++) data[i] = random_value();
    }
    int64_t count_;
    T* data;
};

void compare(const char* what, const float* a, const float* b, int64_t count, float most = kMost) {
    float largest = 1e-20f, worst = 0.0f;
    bool finite = true;
    for (int64_t i = 0; i < count; i++) {
        largest = std::fmax(largest, std::fabs(b[i]));
        worst = std::fmax(worst, std::fabs(a[i] - b[i]));
        finite = finite && std::isfinite(a[i]);
    }
    const bool held = finite && worst <= most * largest;
    good = good && held;
    printf("%-40s %.2e %s\n", what, worst / largest, held ? "" : "TOO FAR");
}

struct Activations {
    Activations(int64_t width, int columns)
        : stride(round_up(width, kVectorPad)), groups(round_up(stride / 32, 16)), values(stride * columns), q(stride * columns),
          scales(groups * columns), sums(groups * columns) {
        for (int c = 0; c < columns; c++)
            for (int64_t i = 0; i < width; i++) values.data[c * stride + i] = random_value();
        operand = {values.data, q.data, scales.data, sums.data, stride, groups};
    }
    int64_t stride, groups;
    Room<float> values;
    Room<int8_t> q;
    Room<float> scales;
    Room<int32_t> sums;
    Operand operand;
};

void check_products(Kind kind, int group, int rows, int cols) {
    Matrix w;
    w.kind = kind;
    w.group = is_quantized(kind) ? group : 0;
    w.rows = rows;
    w.cols = cols;
    Room<uint8_t> packed(w.bytes());
    std::vector<float> weights(static_cast<size_t>(rows) * cols);
    for (float& value : weights) value = random_value();
    w.scale = pack(w, weights.data(), packed.data);
    w.data = packed.data;
    for (int columns : {1, 2, 3, 4, 5, 8, 11}) {
        Activations x(cols, columns);
        if (w.quantized())  // once: the next line compares the roundings
            for (int c = 0; c < columns; c++) plain->quantize(x.operand, c, 0, w.packed_cols(), w.group);
        const int64_t stride = round_up(rows, kTileRows);
        Room<float> a(stride * columns), b(stride * columns);
        for (bool add : {false, true}) {
            one->multiply(w, x.operand, a.data, stride, columns, 0, w.tiles(), add);
            plain->multiply(w, x.operand, b.data, stride, columns, 0, w.tiles(), add);
        }
        char name[80];
        snprintf(name, sizeof name, "multiply kind %d group %d, %dx%d, %d", kind, w.group, rows, cols, columns);
        compare(name, a.data, b.data, stride * columns);
    }
}

void check_rounding() {
    for (int group : {32, 64, 128}) {
        Activations x(256, 1), y(256, 1);
        memcpy(y.values.data, x.values.data, 256 * sizeof(float));
        one->quantize(x.operand, 0, 0, 256, group);
        plain->quantize(y.operand, 0, 0, 256, group);
        compare("quantize: scales", x.scales.data, y.scales.data, 256 / group);
        int apart = 0, sums = 0;
        for (int i = 0; i < 256; i++) apart += std::abs(x.q.data[i] - y.q.data[i]) > 1 ? 1000 : x.q.data[i] != y.q.data[i];
        for (int g = 0; g < 256 / group; g++) {
            int sum = 0;
            for (int i = g * group; i < (g + 1) * group; i++) sum += x.q.data[i];
            sums += sum != x.sums.data[g];
        }
        printf("%-40s %d numbers apart by one, %d wrong sums\n", "quantize", apart, sums);
        good = good && apart <= 2 && sums == 0;
    }
}

void check_vectors() {
    const int width = 77, padded = 80;
    Room<float> x(padded), scale(padded), a(padded), b(padded), pairs(2 * padded);
    for (int i = 0; i < width; i++) {
        x.data[i] = random_value();
        scale.data[i] = random_value();
    }
    pairs.fill();
    one->normalize(x.data, scale.data, a.data, width, padded, 1e-5f);
    plain->normalize(x.data, scale.data, b.data, width, padded, 1e-5f);
    compare("normalize", a.data, b.data, padded);
    one->gate(pairs.data, a.data, 0, padded / kTileRows);
    plain->gate(pairs.data, b.data, 0, padded / kTileRows);
    compare("gate", a.data, b.data, padded);
    std::vector<uint16_t> half(padded);
    std::vector<int8_t> small(padded);
    for (int i = 0; i < padded; i++) {
        half[i] = bfloat16_of_float(random_value());
        small[i] = static_cast<int8_t>(random_value() * 60);
    }
    const struct {
        Kind kind;
        const void* row;
    } rows[] = {{kFloat32, x.data}, {kBfloat16, half.data()}, {kInt8, small.data()}};
    for (const auto& row : rows) {
        one->add_row(row.kind, row.row, 0.7f, padded, a.data);
        plain->add_row(row.kind, row.row, 0.7f, padded, b.data);
        compare("add_row", a.data, b.data, padded);
    }
    Room<float> wide(333), elu_a(333), elu_b(333);
    wide.fill();
    one->codec->elu(wide.data, elu_a.data, 333);
    plain->codec->elu(wide.data, elu_b.data, 333);
    compare("elu", elu_a.data, elu_b.data, 333);
    Room<float> weight(padded), bias(padded);
    weight.fill();
    bias.fill();
    one->codec->layer_norm(x.data, weight.data, bias.data, a.data, 64, 1e-5f);
    plain->codec->layer_norm(x.data, weight.data, bias.data, b.data, 64, 1e-5f);
    compare("layer_norm", a.data, b.data, 64);
}

void check_attention(bool bfloat16) {
    for (int length : {1, 5, 63, 64, 65, 150}) {
        const int width = 32, value_bytes = bfloat16 ? 2 : 4, queries = 4;
        const int64_t half_page = static_cast<int64_t>(kPagePositions) * width * value_bytes;
        std::vector<std::vector<uint8_t>> pages;
        std::vector<const uint8_t*> places;
        for (int page = 0; page * kPagePositions < length; page++) {
            pages.emplace_back(2 * half_page + 64);
            uint8_t* data = reinterpret_cast<uint8_t*>(round_up(reinterpret_cast<int64_t>(pages.back().data()), 64));
            for (int i = 0; i < 2 * kPagePositions * width; i++) {
                if (bfloat16) reinterpret_cast<uint16_t*>(data)[i] = bfloat16_of_float(random_value());
                else reinterpret_cast<float*>(data)[i] = random_value();
            }
            places.push_back(data);
        }
        const Past past = {places.data(), 0, half_page, length, bfloat16};
        Room<float> query(queries * width), a(queries * width), b(queries * width);
        query.fill();
        one->attend(query.data, queries, width, 0.2f, past, a.data);
        plain->attend(query.data, queries, width, 0.2f, past, b.data);
        compare(bfloat16 ? "attend, bfloat16" : "attend, float32", a.data, b.data, queries * width);
    }
}

void check_codec(PanelKind kind) {
    const int rows = 100, cols = 37, padded = 112;
    Panels w;
    w.kind = kind;
    w.rows = rows;
    w.cols = cols;
    Room<uint8_t> data(w.bytes());
    for (int64_t i = 0; i < w.bytes() / w.weight_bytes(); i++) {
        const float value = random_value();
        if (kind == PanelKind::kFloat32) reinterpret_cast<float*>(data.data)[i] = value;
        else reinterpret_cast<uint16_t*>(data.data)[i] = kind == PanelKind::kBfloat16 ? bfloat16_of_float(value) : half_of_float(value);
    }
    w.data = data.data;
    Room<float> bias(padded), factor(padded), x(cols * kProductColumns);
    bias.fill();
    factor.fill();
    x.fill();
    for (Then then : {Then::kStore, Then::kElu, Then::kGelu, Then::kAdd, Then::kAddScaled})
        for (int columns = 1; columns <= kProductColumns; columns++) {
            Room<float> a(padded * kProductColumns), b(padded * kProductColumns);
            const float* from[kProductColumns];
            float *to_a[kProductColumns], *to_b[kProductColumns];
            for (int c = 0; c < columns; c++) {
                from[c] = x.data + c * cols;
                to_a[c] = a.data + c * padded;
                to_b[c] = b.data + c * padded;
            }
            const Finish finish = {then, bias.data, factor.data};
            for (int panel = 0; panel < w.count(); panel++) {
                one->codec->product(w, panel, from, to_a, columns, finish);
                plain->codec->product(w, panel, from, to_b, columns, finish);
            }
            char name[80];
            snprintf(name, sizeof name, "product kind %d then %d, %d columns", static_cast<int>(kind), static_cast<int>(then), columns);
            compare(name, a.data, b.data, padded * kProductColumns);
        }
}

}  // namespace

int main(int count, char** arguments) {
    one = count == 2 ? select_kernels(arguments[1]) : nullptr;
    plain = select_kernels("portable");
    if (one == nullptr) {
        fprintf(stderr, "this processor or build has no such path\n");
        return 2;
    }
    for (Kind kind : {kFloat32, kBfloat16, kFloat16}) check_products(kind, 0, 70, 45);
    for (Kind kind : {kInt8, kInt4, kUneven4, kUneven3})
        for (int group : {32, 64, 128}) check_products(kind, group, 70, 300);
    check_rounding();
    check_vectors();
    for (bool bfloat16 : {false, true}) check_attention(bfloat16);
    for (PanelKind kind : {PanelKind::kFloat32, PanelKind::kBfloat16, PanelKind::kFloat16}) check_codec(kind);
    return good ? 0 : 1;
}
