// The search for scales; see packing_scales.h.
#include "packing_scales.h"

#include <cmath>
#include <initializer_list>

namespace duologue {
namespace {

float squared_error(const float* x, int n, float scale, float low, float high) {
    const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    float error = 0.0f;
    for (int i = 0; i < n; i++) {
        const float miss = x[i] - clamped(nearest(x[i] * inverse), low, high) * scale;
        error += miss * miss;
    }
    return error;
}

// The scale with the least squared error: the largest magnitude on or beyond either end of the ladder, the best of these
// then moved twice to where least squares put it for the levels that were taken.
float uneven_scale(const float* x, int n, float peak, const Ladder& ladder) {
    float best = 0.0f, least = 0.0f;
    for (int i = 0; i < n; i++) least += x[i] * x[i];
    float products = 0.0f, squares = 0.0f;  // of the best
    const auto attempt = [&](float scale) {
        const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        float error = 0.0f, product = 0.0f, square = 0.0f;
        for (int i = 0; i < n; i++) {
            const float level = ladder.level[place_on(x[i] * inverse)], miss = x[i] - level * scale;
            error += miss * miss;
            product += x[i] * level;
            square += level * level;
        }
        if (!(error < least)) return;
        least = error;
        best = scale;
        products = product;
        squares = square;
    };
    for (float reach : {108.0f, 116.0f, 125.0f, 135.0f, 147.0f, 162.0f}) {
        attempt(peak / reach);
        attempt(-peak / reach);
    }
    for (int i = 0; i < 2 && squares > 0.0f; i++) attempt(products / squares);
    return best;
}

}  // namespace

const Ladder& ladder_of(Kind kind) {
    static const Ladder four(kUneven4Levels, 16), three(kUneven3Levels, 8);
    return kind == kUneven4 ? four : three;
}

float group_scale(const float* x, int n, Kind kind) {
    float peak = 0.0f;
    for (int i = 0; i < n; i++)
        if (std::fabs(x[i]) > std::fabs(peak)) peak = x[i];
    if (kind == kInt8) return std::fabs(peak) / 127.0f;
    if (kind == kUneven4 || kind == kUneven3) return uneven_scale(x, n, peak, ladder_of(kind));
    float best = peak / -8.0f, least = squared_error(x, n, best, -8, 7);
    for (float reach : {-7.0f, -7.5f, -8.5f, -9.0f, -9.5f}) {
        const float scale = peak / reach, error = squared_error(x, n, scale, -8, 7);
        if (error < least) {
            least = error;
            best = scale;
        }
    }
    return best;
}

}  // namespace duologue
