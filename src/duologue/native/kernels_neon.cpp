// 16 lanes in four NEON registers; int8 dot products by SDOT. Compiled on ARM alone (armv8.2-a+dotprod) and, so far,
// run by an emulator only (tests/native/test_neon.py): no ARM machine was at hand to measure it.
#include "codec_kernels.h"
#include "kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>

#include <cstring>

namespace duologue {
namespace {

constexpr const char* kName = "neon";
constexpr int kMaxColumns = 4, kFloatTiles = 4, kInt8Offset = 0;

struct Lanes {
    float32x4_t v[4];
};
struct Counts {
    int32x4_t v[4];
};

template <class F>
inline Lanes each(F f) {
    return {{f(0), f(1), f(2), f(3)}};
}

inline Lanes lanes_set(float x) { return each([=](int) { return vdupq_n_f32(x); }); }
inline Lanes lanes_load(const float* p) { return each([=](int i) { return vld1q_f32(p + 4 * i); }); }
inline void lanes_store(float* p, const Lanes& x) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.v[i]);
}
inline Lanes lanes_load_bfloat16(const uint16_t* p) {
    return each([=](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
}
inline Lanes lanes_load_half(const uint16_t* p) {
    return each([=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
inline Lanes lanes_add(const Lanes& a, const Lanes& b) { return each([&](int i) { return vaddq_f32(a.v[i], b.v[i]); }); }
inline Lanes lanes_sub(const Lanes& a, const Lanes& b) { return each([&](int i) { return vsubq_f32(a.v[i], b.v[i]); }); }
inline Lanes lanes_mul(const Lanes& a, const Lanes& b) { return each([&](int i) { return vmulq_f32(a.v[i], b.v[i]); }); }
inline Lanes lanes_div(const Lanes& a, const Lanes& b) { return each([&](int i) { return vdivq_f32(a.v[i], b.v[i]); }); }
inline Lanes lanes_fma(const Lanes& a, const Lanes& b, const Lanes& c) {
    return each([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
}
// "nm" forms: a NaN gives way to the number beside it, as on the other paths
inline Lanes lanes_max(const Lanes& a, const Lanes& b) { return each([&](int i) { return vmaxnmq_f32(a.v[i], b.v[i]); }); }
inline Lanes lanes_min(const Lanes& a, const Lanes& b) { return each([&](int i) { return vminnmq_f32(a.v[i], b.v[i]); }); }
inline Lanes lanes_abs(const Lanes& a) { return each([&](int i) { return vabsq_f32(a.v[i]); }); }
inline Lanes lanes_round(const Lanes& a) { return each([&](int i) { return vrndnq_f32(a.v[i]); }); }
inline Lanes lanes_pow2(const Lanes& whole) {
    return each([&](int i) {
        return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(whole.v[i]), vdupq_n_s32(127)), 23));
    });
}
inline float lanes_sum(const Lanes& x) {
    return vaddvq_f32(vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3])));
}
inline float lanes_maximum(const Lanes& x) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.v[0], x.v[1]), vmaxq_f32(x.v[2], x.v[3])));
}

inline Counts counts_set(int32_t x) {
    const int32x4_t v = vdupq_n_s32(x);
    return {{v, v, v, v}};
}
inline Counts counts_add(const Counts& a, const Counts& b) {
    Counts out;
    for (int i = 0; i < 4; i++) out.v[i] = vaddq_s32(a.v[i], b.v[i]);
    return out;
}
inline int32_t counts_sum(const Counts& a) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3])));
}
inline Lanes counts_to_lanes(const Counts& a) { return each([&](int i) { return vcvtq_f32_s32(a.v[i]); }); }
inline Counts lanes_to_counts(const Lanes& a) {
    const Lanes x = lanes_min(lanes_max(a, lanes_set(-127.0f)), lanes_set(127.0f));
    Counts out;
    for (int i = 0; i < 4; i++) out.v[i] = vcvtnq_s32_f32(x.v[i]);
    return out;
}
inline void counts_store_int8(int8_t* p, const Counts& a) {
    const int16x8_t low = vcombine_s16(vqmovn_s32(a.v[0]), vqmovn_s32(a.v[1]));
    const int16x8_t high = vcombine_s16(vqmovn_s32(a.v[2]), vqmovn_s32(a.v[3]));
    vst1q_s8(p, vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)));
}
inline Counts counts_load_int8(const int8_t* p) {
    const int8x16_t v = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(v)), high = vmovl_s8(vget_high_s8(v));
    return {{vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)), vmovl_s16(vget_low_s16(high)),
             vmovl_s16(vget_high_s16(high))}};
}

inline int8x16_t four(const int8_t* q) {
    int32_t v;
    memcpy(&v, q, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(v));
}

// acc[c] += sum over 32 columns of value * q
template <int COLUMNS>
inline void dot_int8(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const uint8x16_t flip = vdupq_n_u8(128);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 4; i++) {
            const int8x16_t v = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(w + j * 64 + i * 16), flip));
            for (int c = 0; c < COLUMNS; c++) acc[c].v[i] = vdotq_s32(acc[c].v[i], v, four(q + c * stride + j * 4));
        }
}

// acc[c] += sum over 32 columns of (value + 8) * q
template <int COLUMNS>
inline void dot_int4(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const uint8x16_t low = vdupq_n_u8(15);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 4; i++) {
            const uint8x16_t v = vld1q_u8(w + j * 64 + i * 16);
            const int8x16_t a = vreinterpretq_s8_u8(vandq_u8(v, low)), b = vreinterpretq_s8_u8(vshrq_n_u8(v, 4));
            for (int c = 0; c < COLUMNS; c++) {
                acc[c].v[i] = vdotq_s32(acc[c].v[i], a, four(q + c * stride + j * 4));
                acc[c].v[i] = vdotq_s32(acc[c].v[i], b, four(q + c * stride + 16 + j * 4));
            }
        }
}

inline int8x16_t signed_levels(const int8_t* levels, int count) {
    int8_t table[16];
    for (int i = 0; i < 16; i++) table[i] = levels[i % count];
    return vld1q_s8(table);
}

// acc[c] += sum over 32 columns of level * q
template <int COLUMNS>
inline void dot_uneven4(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const uint8x16_t low = vdupq_n_u8(15);
    const int8x16_t levels = signed_levels(kUneven4Levels, 16);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 4; i++) {
            const uint8x16_t v = vld1q_u8(w + j * 64 + i * 16);
            const int8x16_t a = vqtbl1q_s8(levels, vandq_u8(v, low)), b = vqtbl1q_s8(levels, vshrq_n_u8(v, 4));
            for (int c = 0; c < COLUMNS; c++) {
                acc[c].v[i] = vdotq_s32(acc[c].v[i], a, four(q + c * stride + j * 4));
                acc[c].v[i] = vdotq_s32(acc[c].v[i], b, four(q + c * stride + 16 + j * 4));
            }
        }
}

// The same with three bits: two low ones of 16 columns in each of the first two 64 bytes, all high ones in the third.
template <int COLUMNS>
inline void dot_uneven3(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const int8x16_t levels = signed_levels(kUneven3Levels, 8);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 4; i++) {
            const uint8x16_t pair = vshlq_u8(vld1q_u8(w + j / 4 * 64 + i * 16), vdupq_n_s8(static_cast<int8_t>(-(j % 4) * 2)));
            const uint8x16_t top = vshlq_u8(vld1q_u8(w + 128 + i * 16), vdupq_n_s8(static_cast<int8_t>(2 - j)));
            const uint8x16_t number = vorrq_u8(vandq_u8(pair, vdupq_n_u8(3)), vandq_u8(top, vdupq_n_u8(4)));
            const int8x16_t v = vqtbl1q_s8(levels, number);
            for (int c = 0; c < COLUMNS; c++) acc[c].v[i] = vdotq_s32(acc[c].v[i], v, four(q + c * stride + j * 4));
        }
}

#include "kernels_body.h"

}  // namespace

const Kernels* neon_kernels() { return &kTable; }
}  // namespace duologue

#else
namespace duologue {
const Kernels* neon_kernels() { return nullptr; }
}  // namespace duologue
#endif
