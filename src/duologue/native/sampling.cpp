// Temperature and top-k in float32, probabilities in float64, the counter-based uniform; see engine/sampling.py.
#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace duologue {

double uniform(uint64_t seed, uint64_t frame, uint64_t draw) {
    uint64_t x = seed * 0x9E3779B97F4A7C15ull + frame * 0xBF58476D1CE4E5B9ull + draw * 0x94D049BB133111EBull;
    for (int round = 0; round < 2; round++) {
        x ^= x >> 30;
        x *= 0xBF58476D1CE4E5B9ull;
        x ^= x >> 27;
        x *= 0x94D049BB133111EBull;
        x ^= x >> 31;
    }
    return static_cast<double>(x >> 11) * 0x1p-53;
}

int Sampler::candidates(const float* logits, int allowed, int extra, int banned, float temperature) {
    int n = 0;
    const auto offer = [&](int code) {
        if (code == banned) return;
        const float value = temperature > 0.0f ? logits[code] / temperature : logits[code];
        values_[code] = std::isnan(value) ? -std::numeric_limits<float>::infinity() : value;
        order_[n++] = code;
    };
    for (int code = 0; code < allowed; code++) offer(code);
    if (extra >= allowed) offer(extra);
    return n;
}

// The top_k largest candidates come to the front; of equal ones those with lower codes. Plain numbers are searched for the
// smallest that stays, which is several times as fast as moving codes by their values.
int Sampler::keep_largest(int n, int top_k) {
    for (int i = 0; i < n; i++) ranked_[i] = values_[order_[i]];
    std::nth_element(ranked_.begin(), ranked_.begin() + top_k - 1, ranked_.begin() + n, std::greater<float>());
    const float least = ranked_[top_k - 1];
    int above = 0;
    for (int i = 0; i < n; i++) above += values_[order_[i]] > least;
    int kept = 0, equals = top_k - above;
    for (int i = 0; i < n; i++) {  // candidates stand in the order of their codes
        const float value = values_[order_[i]];
        if (value > least || (value == least && equals-- > 0)) order_[kept++] = order_[i];
    }
    return kept;
}

int Sampler::draw(const float* logits, int allowed, int extra, int banned, const Draw& how, double u) {
    int n = candidates(logits, allowed, extra, banned, how.temperature);
    const auto before = [this](int a, int b) { return values_[a] != values_[b] ? values_[a] > values_[b] : a < b; };
    const auto begin = order_.begin();
    if (n == 0) return -1;
    const int largest = *std::min_element(begin, begin + n, before);
    if (!std::isfinite(values_[largest])) return -1;
    if (how.temperature <= 0.0f) return largest;
    if (how.top_k > 0 && how.top_k < n) n = keep_largest(n, how.top_k);
    std::sort(begin, begin + n, before);
    const double most = values_[order_[0]];
    double total = 0.0;
    for (int i = 0; i < n; i++) total += odds_[i] = std::exp(static_cast<double>(values_[order_[i]]) - most);
    double sum = 0.0;
    int last = 0;  // rounding may leave the sum below u: then the last code that is possible at all
    for (int i = 0; i < n && odds_[i] > 0.0; last = i++) {
        sum += odds_[i] / total;
        if (sum > u) return order_[i];
    }
    return order_[last];
}

}  // namespace duologue
