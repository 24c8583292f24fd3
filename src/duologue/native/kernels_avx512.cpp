// 16 lanes in one AVX-512 register; int8 dot products by VNNI. Compiled with AVX-512 flags, called only where the CPU has them.
#include "codec_kernels.h"
#include "kernels.h"

#if defined(__AVX512F__) && defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>

#include <cstring>

namespace duologue {
namespace {

constexpr const char* kName = "avx512vnni";
constexpr int kMaxColumns = 8, kFloatTiles = 4, kInt8Offset = 128;

using Lanes = __m512;
using Counts = __m512i;

inline Lanes lanes_set(float v) { return _mm512_set1_ps(v); }
inline Lanes lanes_load(const float* p) { return _mm512_loadu_ps(p); }
inline void lanes_store(float* p, Lanes v) { _mm512_storeu_ps(p, v); }
inline __m256i half_width(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline Lanes lanes_load_bfloat16(const uint16_t* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half_width(p)), 16));
}
inline Lanes lanes_load_half(const uint16_t* p) { return _mm512_cvtph_ps(half_width(p)); }
inline Lanes lanes_add(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
inline Lanes lanes_sub(Lanes a, Lanes b) { return _mm512_sub_ps(a, b); }
inline Lanes lanes_mul(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
inline Lanes lanes_div(Lanes a, Lanes b) { return _mm512_div_ps(a, b); }
inline Lanes lanes_fma(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
inline Lanes lanes_max(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
inline Lanes lanes_min(Lanes a, Lanes b) { return _mm512_min_ps(a, b); }
inline Lanes lanes_abs(Lanes a) { return _mm512_abs_ps(a); }
inline Lanes lanes_round(Lanes a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Lanes lanes_pow2(Lanes whole) { return _mm512_scalef_ps(_mm512_set1_ps(1.0f), whole); }
inline float lanes_sum(Lanes a) { return _mm512_reduce_add_ps(a); }
inline float lanes_maximum(Lanes a) { return _mm512_reduce_max_ps(a); }

inline Counts counts_set(int32_t v) { return _mm512_set1_epi32(v); }
inline Counts counts_add(Counts a, Counts b) { return _mm512_add_epi32(a, b); }
inline int32_t counts_sum(Counts a) { return _mm512_reduce_add_epi32(a); }
inline Lanes counts_to_lanes(Counts a) { return _mm512_cvtepi32_ps(a); }
inline Counts lanes_to_counts(Lanes a) {
    return _mm512_cvtps_epi32(lanes_min(lanes_max(a, lanes_set(-127.0f)), lanes_set(127.0f)));
}
inline void counts_store_int8(int8_t* p, Counts a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
}
inline Counts counts_load_int8(const int8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

inline __m512i four(const int8_t* q) {
    int32_t v;
    memcpy(&v, q, 4);
    return _mm512_set1_epi32(v);
}

constexpr int kAhead = 4608;  // bytes that are asked for in advance; more than a page, so that pages are crossed in time
inline void ask(const uint8_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p) + kAhead, _MM_HINT_T0); }

// acc[c] += sum over 32 columns of (value + 128) * q
template <int COLUMNS>
inline void dot_int8(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    if (COLUMNS == 1) {
        Counts other = _mm512_setzero_si512();
        for (int j = 0; j < 8; j += 2) {
            ask(w + j * 64);
            ask(w + j * 64 + 64);
            acc[0] = _mm512_dpbusd_epi32(acc[0], _mm512_loadu_si512(w + j * 64), four(q + j * 4));
            other = _mm512_dpbusd_epi32(other, _mm512_loadu_si512(w + j * 64 + 64), four(q + j * 4 + 4));
        }
        acc[0] = counts_add(acc[0], other);
        return;
    }
    for (int j = 0; j < 8; j++) {
        const __m512i v = _mm512_loadu_si512(w + j * 64);
        ask(w + j * 64);
        for (int c = 0; c < COLUMNS; c++) acc[c] = _mm512_dpbusd_epi32(acc[c], v, four(q + c * stride + j * 4));
    }
}

// acc[c] += sum over 32 columns of (value + 8) * q
template <int COLUMNS>
inline void dot_int4(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const __m512i low = _mm512_set1_epi8(0x0f);
    Counts other[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) other[c] = _mm512_setzero_si512();
    for (int j = 0; j < 4; j++) {
        const __m512i v = _mm512_loadu_si512(w + j * 64);
        ask(w + j * 64);
        const __m512i a = _mm512_and_si512(v, low), b = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
        for (int c = 0; c < COLUMNS; c++) {
            acc[c] = _mm512_dpbusd_epi32(acc[c], a, four(q + c * stride + j * 4));
            Counts& rest = COLUMNS <= 4 ? other[c] : acc[c];  // two chains hide the latency, eight columns need none
            rest = _mm512_dpbusd_epi32(rest, b, four(q + c * stride + 16 + j * 4));
        }
    }
    if (COLUMNS <= 4)
        for (int c = 0; c < COLUMNS; c++) acc[c] = counts_add(acc[c], other[c]);
}

inline __m512i offset_levels(const int8_t* levels, int count) {  // level + 128, one copy for every four rows
    alignas(16) uint8_t table[16];
    for (int i = 0; i < 16; i++) table[i] = static_cast<uint8_t>(levels[i % count] + 128);
    return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(table)));
}

// acc[c] += sum over 32 columns of (level + 128) * q
template <int COLUMNS>
inline void dot_uneven4(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const __m512i low = _mm512_set1_epi8(0x0f), levels = offset_levels(kUneven4Levels, 16);
    Counts other[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) other[c] = _mm512_setzero_si512();
    for (int j = 0; j < 4; j++) {
        const __m512i v = _mm512_loadu_si512(w + j * 64);
        ask(w + j * 64);
        const __m512i a = _mm512_shuffle_epi8(levels, _mm512_and_si512(v, low));
        const __m512i b = _mm512_shuffle_epi8(levels, _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
        for (int c = 0; c < COLUMNS; c++) {
            acc[c] = _mm512_dpbusd_epi32(acc[c], a, four(q + c * stride + j * 4));
            Counts& rest = COLUMNS <= 4 ? other[c] : acc[c];
            rest = _mm512_dpbusd_epi32(rest, b, four(q + c * stride + 16 + j * 4));
        }
    }
    if (COLUMNS <= 4)
        for (int c = 0; c < COLUMNS; c++) acc[c] = counts_add(acc[c], other[c]);
}

// The same with three bits: columns 4 j .. 4 j + 3 of 32, from the vector of their low bits and that of all high bits.
template <int J, int COLUMNS>
inline void dot_three_bits(Counts (&acc)[COLUMNS], __m512i low, __m512i high, __m512i levels, const int8_t* q, int64_t stride) {
    const __m512i pair = _mm512_and_si512(_mm512_srli_epi16(low, J % 4 * 2), _mm512_set1_epi8(3));
    const __m512i moved = J < 2 ? _mm512_slli_epi16(high, 2 - J) : _mm512_srli_epi16(high, J - 2);
    const __m512i number = _mm512_ternarylogic_epi32(moved, _mm512_set1_epi8(4), pair, 0xea);  // (moved & 4) | pair
    const __m512i v = _mm512_shuffle_epi8(levels, number);
    for (int c = 0; c < COLUMNS; c++) acc[c] = _mm512_dpbusd_epi32(acc[c], v, four(q + c * stride + J * 4));
}

template <int COLUMNS>
inline void dot_uneven3(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const __m512i levels = offset_levels(kUneven3Levels, 8), high = _mm512_loadu_si512(w + 128);
    const __m512i first = _mm512_loadu_si512(w), second = _mm512_loadu_si512(w + 64);
    for (int j = 0; j < 3; j++) ask(w + j * 64);
    Counts other[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) other[c] = _mm512_setzero_si512();
    dot_three_bits<0>(acc, first, high, levels, q, stride);
    dot_three_bits<1>(other, first, high, levels, q, stride);
    dot_three_bits<2>(acc, first, high, levels, q, stride);
    dot_three_bits<3>(other, first, high, levels, q, stride);
    dot_three_bits<4>(acc, second, high, levels, q, stride);
    dot_three_bits<5>(other, second, high, levels, q, stride);
    dot_three_bits<6>(acc, second, high, levels, q, stride);
    dot_three_bits<7>(other, second, high, levels, q, stride);
    for (int c = 0; c < COLUMNS; c++) acc[c] = counts_add(acc[c], other[c]);
}

#include "kernels_body.h"

}  // namespace

const Kernels* avx512vnni_kernels() { return &kTable; }
}  // namespace duologue

#else
namespace duologue {
const Kernels* avx512vnni_kernels() { return nullptr; }
}  // namespace duologue
#endif
