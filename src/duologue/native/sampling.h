// Drawing one code from logits, exactly as every other engine draws it. Knows no model.
#pragma once

#include <cstdint>
#include <vector>

namespace duologue {

struct Draw {
    float temperature;  // 0: the largest logit
    int32_t top_k;      // 0: every code
};

// The uniform number in [0, 1) that belongs to (seed, frame, draw) alone.
double uniform(uint64_t seed, uint64_t frame, uint64_t draw);

class Sampler {
   public:
    explicit Sampler(int codes) : values_(codes), order_(codes), odds_(codes), ranked_(codes) {}

    // A code in [0, allowed), or `extra` where that is not negative, but never `banned`; -1 if no logit is finite.
    int draw(const float* logits, int allowed, int extra, int banned, const Draw& how, double u);

   private:
    int candidates(const float* logits, int allowed, int extra, int banned, float temperature);
    int keep_largest(int n, int top_k);
    std::vector<float> values_;  // by code
    std::vector<int32_t> order_;
    std::vector<double> odds_;
    std::vector<float> ranked_;
};

}  // namespace duologue
