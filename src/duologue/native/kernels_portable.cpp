// 16 lanes as a plain array: any CPU, any compiler. The other paths are held to this one.
#include <cmath>
#include <cstring>

#include "codec_kernels.h"
#include "kernels.h"

namespace duologue {
namespace {

constexpr const char* kName = "portable";
constexpr int kMaxColumns = 4, kFloatTiles = 2, kInt8Offset = 128;

struct Lanes {
    float v[16];
};
struct Counts {
    int32_t v[16];
};

template <class F>
inline Lanes each(F f) {
    Lanes out;
    for (int i = 0; i < 16; i++) out.v[i] = f(i);
    return out;
}

inline float float_of_bits(uint32_t bits) {
    float v;
    memcpy(&v, &bits, 4);
    return v;
}
inline float float_of_half(uint16_t h) {  // exponent and mantissa moved into place are 2^112 too small
    uint32_t bits;
    const float magnitude = float_of_bits(static_cast<uint32_t>(h & 0x7fff) << 13) * 0x1p112f;
    memcpy(&bits, &magnitude, 4);
    const uint32_t endless = (h & 0x7c00) == 0x7c00 ? 0x7f800000u : 0u;
    return float_of_bits(bits | endless | static_cast<uint32_t>(h & 0x8000) << 16);
}

inline Lanes lanes_set(float x) { return each([=](int) { return x; }); }
inline Lanes lanes_load(const float* p) { return each([=](int i) { return p[i]; }); }
inline void lanes_store(float* p, const Lanes& x) { memcpy(p, x.v, sizeof x.v); }
inline Lanes lanes_load_bfloat16(const uint16_t* p) {
    return each([=](int i) { return float_of_bits(static_cast<uint32_t>(p[i]) << 16); });
}
inline Lanes lanes_load_half(const uint16_t* p) { return each([=](int i) { return float_of_half(p[i]); }); }
inline Lanes lanes_add(const Lanes& a, const Lanes& b) { return each([&](int i) { return a.v[i] + b.v[i]; }); }
inline Lanes lanes_sub(const Lanes& a, const Lanes& b) { return each([&](int i) { return a.v[i] - b.v[i]; }); }
inline Lanes lanes_mul(const Lanes& a, const Lanes& b) { return each([&](int i) { return a.v[i] * b.v[i]; }); }
inline Lanes lanes_div(const Lanes& a, const Lanes& b) { return each([&](int i) { return a.v[i] / b.v[i]; }); }
inline Lanes lanes_fma(const Lanes& a, const Lanes& b, const Lanes& c) {
    return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Lanes lanes_max(const Lanes& a, const Lanes& b) { return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; }); }
inline Lanes lanes_min(const Lanes& a, const Lanes& b) { return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; }); }
inline Lanes lanes_abs(const Lanes& a) { return each([&](int i) { return std::fabs(a.v[i]); }); }
inline Lanes lanes_round(const Lanes& a) { return each([&](int i) { return std::nearbyint(a.v[i]); }); }
inline Lanes lanes_pow2(const Lanes& whole) {
    return each([&](int i) { return float_of_bits(static_cast<uint32_t>(static_cast<int32_t>(whole.v[i]) + 127) << 23); });
}
inline float lanes_sum(const Lanes& x) {
    float v[8];
    for (int i = 0; i < 8; i++) v[i] = x.v[i] + x.v[i + 8];
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
inline float lanes_maximum(const Lanes& x) {
    float most = x.v[0];
    for (int i = 1; i < 16; i++) most = x.v[i] > most ? x.v[i] : most;
    return most;
}

inline Counts counts_set(int32_t x) {
    Counts out;
    for (int i = 0; i < 16; i++) out.v[i] = x;
    return out;
}
inline Counts counts_add(const Counts& a, const Counts& b) {
    Counts out;
    for (int i = 0; i < 16; i++) out.v[i] = a.v[i] + b.v[i];
    return out;
}
inline int32_t counts_sum(const Counts& a) {
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) sum += a.v[i];
    return sum;
}
inline Lanes counts_to_lanes(const Counts& a) { return each([&](int i) { return static_cast<float>(a.v[i]); }); }
inline Counts lanes_to_counts(const Lanes& a) {
    const Lanes x = lanes_min(lanes_max(a, lanes_set(-127.0f)), lanes_set(127.0f));
    Counts out;
    for (int i = 0; i < 16; i++) out.v[i] = static_cast<int32_t>(std::nearbyint(x.v[i]));
    return out;
}
inline void counts_store_int8(int8_t* p, const Counts& a) {
    for (int i = 0; i < 16; i++) p[i] = static_cast<int8_t>(a.v[i]);
}
inline Counts counts_load_int8(const int8_t* p) {
    Counts out;
    for (int i = 0; i < 16; i++) out.v[i] = p[i];
    return out;
}

// acc[c] += sum over 32 columns of (value + 128) * q
template <int COLUMNS>
inline void dot_int8(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    for (int j = 0; j < 8; j++, w += 64)
        for (int c = 0; c < COLUMNS; c++) {
            const int8_t* x = q + c * stride + j * 4;
            for (int r = 0; r < 16; r++)
                acc[c].v[r] += w[r * 4] * x[0] + w[r * 4 + 1] * x[1] + w[r * 4 + 2] * x[2] + w[r * 4 + 3] * x[3];
        }
}

// acc[c] += sum over 32 columns of (value + 8) * q
template <int COLUMNS>
inline void dot_int4(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    for (int j = 0; j < 4; j++, w += 64)
        for (int c = 0; c < COLUMNS; c++) {
            const int8_t *x = q + c * stride + j * 4, *y = x + 16;
            for (int r = 0; r < 16; r++)
                for (int b = 0; b < 4; b++) acc[c].v[r] += (w[r * 4 + b] & 15) * x[b] + (w[r * 4 + b] >> 4) * y[b];
        }
}

// acc[c] += sum over 32 columns of (level + 128) * q
template <int COLUMNS>
inline void dot_uneven4(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    for (int j = 0; j < 4; j++, w += 64)
        for (int c = 0; c < COLUMNS; c++) {
            const int8_t *x = q + c * stride + j * 4, *y = x + 16;
            for (int r = 0; r < 64; r++)
                acc[c].v[r / 4] += (kUneven4Levels[w[r] & 15] + 128) * x[r % 4] + (kUneven4Levels[w[r] >> 4] + 128) * y[r % 4];
        }
}

template <int COLUMNS>
inline void dot_uneven3(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    for (int j = 0; j < 8; j++)
        for (int c = 0; c < COLUMNS; c++) {
            const int8_t* x = q + c * stride + j * 4;
            for (int r = 0; r < 64; r++) {
                const int number = (w[j / 4 * 64 + r] >> j % 4 * 2 & 3) | (w[128 + r] >> j & 1) << 2;
                acc[c].v[r / 4] += (kUneven3Levels[number] + 128) * x[r % 4];
            }
        }
}

#include "kernels_body.h"

}  // namespace

const Kernels* portable_kernels() { return &kTable; }
}  // namespace duologue
