// Which scale suits a group of weights, and which level a weight takes on it. Knows no layout.
#pragma once

#include "layout.h"

namespace duologue {

// To the nearest whole number, ties to even, for magnitudes below 2^22; unlike nearbyint it is no call, and vectorizes.
inline float nearest(float x) { return (x + 12582912.0f) - 12582912.0f; }

inline float clamped(float x, float low, float high) {
    return x > low ? (x < high ? x : high) : low;  // a NaN becomes the lowest level
}

// The levels of an uneven kind, and for each whole number from -127 to 127 the nearest of them.
struct Ladder {
    uint8_t number[255];
    float level[255];

    Ladder(const int8_t* levels, int count) {
        for (int at = -127, next = 0; at <= 127; at++) {
            while (next + 1 < count && levels[next] + levels[next + 1] < 2 * at) next++;
            number[at + 127] = static_cast<uint8_t>(next);
            level[at + 127] = levels[next];
        }
    }
};

const Ladder& ladder_of(Kind kind);

inline int place_on(float x) { return static_cast<int>(clamped(nearest(x), -127.0f, 127.0f)) + 127; }

// int8: the largest magnitude becomes 127. int4: the largest magnitude becomes -8 (its sign goes into the scale), or, where
// that is nearer to the group as a whole, somewhat beyond the last level. Uneven levels: least squares, of either sign.
float group_scale(const float* x, int n, Kind kind);

}  // namespace duologue
