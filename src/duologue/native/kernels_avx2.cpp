// 16 lanes in two AVX2 registers; int8 dot products by multiply-add of bytes. Compiled with AVX2, FMA and F16C flags.
#include "codec_kernels.h"
#include "kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>

#include <cstring>

namespace duologue {
namespace {

constexpr const char* kName = "avx2";
constexpr int kMaxColumns = 4, kFloatTiles = 4, kInt8Offset = 0;

struct Lanes {
    __m256 a, b;
};
struct Counts {
    __m256i a, b;
};

inline Lanes lanes_set(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
inline Lanes lanes_load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void lanes_store(float* p, Lanes v) {
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
}
inline __m128i eight(const uint16_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline __m256 widen(__m128i v) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16)); }
inline Lanes lanes_load_bfloat16(const uint16_t* p) { return {widen(eight(p)), widen(eight(p + 8))}; }
inline Lanes lanes_load_half(const uint16_t* p) { return {_mm256_cvtph_ps(eight(p)), _mm256_cvtph_ps(eight(p + 8))}; }
inline Lanes lanes_add(Lanes x, Lanes y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Lanes lanes_sub(Lanes x, Lanes y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Lanes lanes_mul(Lanes x, Lanes y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Lanes lanes_div(Lanes x, Lanes y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Lanes lanes_fma(Lanes x, Lanes y, Lanes z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline Lanes lanes_max(Lanes x, Lanes y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Lanes lanes_min(Lanes x, Lanes y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline Lanes lanes_abs(Lanes x) {
    const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    return {_mm256_and_ps(x.a, mask), _mm256_and_ps(x.b, mask)};
}
inline __m256 nearest(__m256 v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Lanes lanes_round(Lanes x) { return {nearest(x.a), nearest(x.b)}; }
inline __m256 power(__m256 v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127)), 23));
}
inline Lanes lanes_pow2(Lanes whole) { return {power(whole.a), power(whole.b)}; }
inline float lanes_sum(Lanes x) {
    alignas(32) float v[8];
    _mm256_store_ps(v, _mm256_add_ps(x.a, x.b));
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
inline float lanes_maximum(Lanes x) {
    alignas(32) float v[8];
    _mm256_store_ps(v, _mm256_max_ps(x.a, x.b));
    float most = v[0];
    for (int i = 1; i < 8; i++) most = v[i] > most ? v[i] : most;
    return most;
}

inline Counts counts_set(int32_t v) { return {_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
inline Counts counts_add(Counts x, Counts y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline int32_t counts_sum(Counts x) {
    alignas(32) int32_t v[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(v), _mm256_add_epi32(x.a, x.b));
    return v[0] + v[1] + v[2] + v[3] + v[4] + v[5] + v[6] + v[7];
}
inline Lanes counts_to_lanes(Counts x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline Counts lanes_to_counts(Lanes x) {
    const Lanes v = lanes_min(lanes_max(x, lanes_set(-127.0f)), lanes_set(127.0f));
    return {_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b)};
}
inline void counts_store_int8(int8_t* p, Counts x) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);  // 16 x int16 in order
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
inline Counts counts_load_int8(const int8_t* p) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8))};
}

inline __m256i four(const int8_t* q) {
    int32_t v;
    memcpy(&v, q, 4);
    return _mm256_set1_epi32(v);
}
inline __m256i load32(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

constexpr int kAhead = 3456;
inline void ask(const uint8_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p) + kAhead, _MM_HINT_T0); }

// The product of bytes wants one unsigned factor: |w| * (q with w's sign). Both stay within 127, so int16 can't overflow.
inline __m256i signed_product(__m256i acc, __m256i w, __m256i q) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// acc[c] += sum over 32 columns of value * q
template <int COLUMNS>
inline void dot_int8(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const __m256i flip = _mm256_set1_epi8(-128);
    const auto add = [&](int j, int upper, __m256i& sum, int c) {
        sum = signed_product(sum, _mm256_xor_si256(load32(w + j * 64 + upper), flip), four(q + c * stride + j * 4));
    };
    for (int j = 0; j < 8; j++) ask(w + j * 64);
    if (COLUMNS < 3) {
        for (int j = 0; j < 8; j++)
            for (int c = 0; c < COLUMNS; c++) {
                add(j, 0, acc[c].a, c);
                add(j, 32, acc[c].b, c);
            }
    } else {  // one half of the rows at a time: more sums than that don't fit the registers
        for (int j = 0; j < 8; j++)
            for (int c = 0; c < COLUMNS; c++) add(j, 0, acc[c].a, c);
        for (int j = 0; j < 8; j++)
            for (int c = 0; c < COLUMNS; c++) add(j, 32, acc[c].b, c);
    }
}

// acc[c] += sum over 32 columns of (value + 8) * q; 8 byte products of at most 15 * 127 * 2 fit an int16
template <int COLUMNS>
inline void dot_int4(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const __m256i low = _mm256_set1_epi8(0x0f), one = _mm256_set1_epi16(1);
    Counts pairs[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) pairs[c] = counts_set(0);
    for (int j = 0; j < 4; j++) {
        ask(w + j * 64);
        const __m256i a = load32(w + j * 64), b = load32(w + j * 64 + 32);
        const __m256i a_low = _mm256_and_si256(a, low), a_high = _mm256_and_si256(_mm256_srli_epi16(a, 4), low);
        const __m256i b_low = _mm256_and_si256(b, low), b_high = _mm256_and_si256(_mm256_srli_epi16(b, 4), low);
        for (int c = 0; c < COLUMNS; c++) {
            const __m256i v = four(q + c * stride + j * 4), u = four(q + c * stride + 16 + j * 4);
            const __m256i x = _mm256_add_epi16(_mm256_maddubs_epi16(a_low, v), _mm256_maddubs_epi16(a_high, u));
            const __m256i y = _mm256_add_epi16(_mm256_maddubs_epi16(b_low, v), _mm256_maddubs_epi16(b_high, u));
            pairs[c].a = _mm256_add_epi16(pairs[c].a, x);
            pairs[c].b = _mm256_add_epi16(pairs[c].b, y);
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        acc[c].a = _mm256_add_epi32(acc[c].a, _mm256_madd_epi16(pairs[c].a, one));
        acc[c].b = _mm256_add_epi32(acc[c].b, _mm256_madd_epi16(pairs[c].b, one));
    }
}

inline __m256i signed_levels(const int8_t* levels, int count) {
    alignas(16) int8_t table[16];
    for (int i = 0; i < 16; i++) table[i] = levels[i % count];
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table)));
}

template <int COLUMNS>
inline void add_products(Counts (&acc)[COLUMNS], __m256i a, __m256i b, const int8_t* q, int64_t stride) {
    for (int c = 0; c < COLUMNS; c++) {
        const __m256i v = four(q + c * stride);
        acc[c].a = signed_product(acc[c].a, a, v);
        acc[c].b = signed_product(acc[c].b, b, v);
    }
}

// acc[c] += sum over 32 columns of level * q
template <int COLUMNS>
inline void dot_uneven4(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const __m256i low = _mm256_set1_epi8(0x0f), levels = signed_levels(kUneven4Levels, 16);
    const auto level = [&](__m256i v) { return _mm256_shuffle_epi8(levels, _mm256_and_si256(v, low)); };
    for (int j = 0; j < 4; j++) {
        ask(w + j * 64);
        const __m256i a = load32(w + j * 64), b = load32(w + j * 64 + 32);
        add_products<COLUMNS>(acc, level(a), level(b), q + j * 4, stride);
        add_products<COLUMNS>(acc, level(_mm256_srli_epi16(a, 4)), level(_mm256_srli_epi16(b, 4)), q + 16 + j * 4, stride);
    }
}

// The eight numbers of a byte's columns, ready for a look-up, which minds a byte's low four bits and its highest: bits 0 and
// 1 are the number's low ones, bit 2 its high one, bit 7 is zero, and what a shift of 16 bits brings over from the neighbour
// lands on bits 4 to 6.
struct Threes {
    __m256i low[2][2];  // [columns 0-3, 4-7][columns 0 and 2, 1 and 3 of the four]
    __m256i high[4];    // columns 0 and 4, 1 and 5, 2 and 6, 3 and 7
    explicit Threes(const uint8_t* w) {
        const __m256i pair = _mm256_set1_epi8(0x33), top = _mm256_set1_epi8(0x44), tops = load32(w + 128);
        for (int part = 0; part < 2; part++) {
            const __m256i fours = load32(w + part * 64);
            low[part][0] = _mm256_and_si256(fours, pair);
            low[part][1] = _mm256_and_si256(_mm256_srli_epi16(fours, 2), pair);
        }
        high[0] = _mm256_and_si256(_mm256_slli_epi16(tops, 2), top);
        high[1] = _mm256_and_si256(_mm256_slli_epi16(tops, 1), top);
        high[2] = _mm256_and_si256(tops, top);
        high[3] = _mm256_and_si256(_mm256_srli_epi16(tops, 1), top);
    }
    template <int COLUMN>
    __m256i number() const {
        const __m256i two = low[COLUMN / 4][COLUMN % 2], one = high[COLUMN % 4];
        return _mm256_or_si256(COLUMN % 4 < 2 ? two : _mm256_srli_epi16(two, 4), COLUMN < 4 ? one : _mm256_srli_epi16(one, 4));
    }
};

// The same with three bits: two low ones of 16 columns in each of the first two 64 bytes, all high ones in the third.
template <int COLUMNS>
inline void dot_uneven3(Counts (&acc)[COLUMNS], const uint8_t* w, const int8_t* q, int64_t stride) {
    const __m256i levels = signed_levels(kUneven3Levels, 8);
    for (int j = 0; j < 3; j++) ask(w + j * 64);
    for (int upper = 0; upper < 2; upper++) {
        const Threes threes(w + upper * 32);
        const auto add = [&](int j, __m256i number) {
            const __m256i level = _mm256_shuffle_epi8(levels, number);
            for (int c = 0; c < COLUMNS; c++) {
                __m256i& sum = upper ? acc[c].b : acc[c].a;
                sum = signed_product(sum, level, four(q + c * stride + j * 4));
            }
        };
        add(0, threes.number<0>());
        add(1, threes.number<1>());
        add(2, threes.number<2>());
        add(3, threes.number<3>());
        add(4, threes.number<4>());
        add(5, threes.number<5>());
        add(6, threes.number<6>());
        add(7, threes.number<7>());
    }
}

#include "kernels_body.h"

}  // namespace

const Kernels* avx2_kernels() { return &kTable; }
}  // namespace duologue

#else
namespace duologue {
const Kernels* avx2_kernels() { return nullptr; }
}  // namespace duologue
#endif
