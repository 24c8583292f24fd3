// Attention over a cache's pages, one page of 64 positions at a time, the softmax kept up to date. Heads that share keys
// and values read a page together. Included by kernels_body.h, under its rules.

template <bool BF16>
static inline Lanes cached(const void* p, int64_t i) {
    return BF16 ? lanes_load_bfloat16(static_cast<const uint16_t*>(p) + i) : lanes_load(static_cast<const float*>(p) + i);
}

constexpr int kQueries = kMaxColumns >= 8 ? 4 : 2;  // heads that read a page together, where they share it

// One page's scores of QUERIES heads, each [64]; VECTORS * 16 positions are looked at, `length` of them are spoken.
template <bool BF16, int QUERIES, int VECTORS>
static void page_scores(const float* query, int padded_head, float scale, const void* keys, int length, float* scores) {
    Lanes sum[QUERIES][VECTORS];
    for (int r = 0; r < QUERIES; r++)
        for (int j = 0; j < VECTORS; j++) sum[r][j] = lanes_set(0.0f);
    for (int i = 0; i < padded_head; i++) {
        Lanes key[VECTORS];
        for (int j = 0; j < VECTORS; j++) key[j] = cached<BF16>(keys, i * kPagePositions + j * 16);
        for (int r = 0; r < QUERIES; r++) {
            const Lanes q = lanes_set(query[r * padded_head + i]);
            for (int j = 0; j < VECTORS; j++) sum[r][j] = lanes_fma(q, key[j], sum[r][j]);
        }
    }
    for (int r = 0; r < QUERIES; r++) {
        float* own = scores + r * kPagePositions;
        for (int j = 0; j < VECTORS; j++) lanes_store(own + j * 16, lanes_mul(sum[r][j], lanes_set(scale)));
        for (int j = length; j < VECTORS * 16; j++) own[j] = -3.0e38f;  // slots not yet spoken, or left by a truncation
    }
}

template <bool BF16, int QUERIES>
static void page_scores_of(int vectors, const float* query, int padded_head, float scale, const void* keys, int length,
                           float* scores) {
    switch (vectors) {
        case 1: return page_scores<BF16, QUERIES, 1>(query, padded_head, scale, keys, length, scores);
        case 2: return page_scores<BF16, QUERIES, 2>(query, padded_head, scale, keys, length, scores);
        case 3: return page_scores<BF16, QUERIES, 3>(query, padded_head, scale, keys, length, scores);
        default: return page_scores<BF16, QUERIES, 4>(query, padded_head, scale, keys, length, scores);
    }
}

struct Softmax {
    float most = -3.0e38f, total = 0.0f;
};

// Scores of one page become weights against the largest score so far; returns what earlier sums shrink by.
static inline float weigh(float* scores, int here, bool first, Softmax* state) {
    const int vectors = (here + 15) / 16;
    Lanes peak = lanes_load(scores);
    for (int j = 1; j < vectors; j++) peak = lanes_max(peak, lanes_load(scores + j * 16));
    const float page_most = lanes_maximum(peak), now = page_most > state->most ? page_most : state->most;
    float shrink[16];
    lanes_store(shrink, exp_lanes(lanes_set(state->most - now)));
    const float keep = first ? 0.0f : shrink[0];
    Lanes sum = lanes_set(0.0f);
    for (int j = 0; j < vectors; j++) {
        const Lanes e = exp_lanes(lanes_sub(lanes_load(scores + j * 16), lanes_set(now)));
        lanes_store(scores + j * 16, e);
        if (j + 1 < vectors) sum = lanes_add(sum, e);
    }
    float tail = 0.0f;  // the last vector holds unused slots
    for (int j = (vectors - 1) * 16; j < here; j++) tail += scores[j];
    state->total = state->total * keep + (lanes_sum(sum) + tail);
    state->most = now;
    return keep;
}

template <bool BF16, int QUERIES>
static void attend_some(const float* query, int padded_head, float scale, const Past& past, float* out) {
    alignas(64) float scores[QUERIES * kPagePositions];
    Softmax state[QUERIES];
    for (int i = 0; i < QUERIES * padded_head; i += 16) lanes_store(out + i, lanes_set(0.0f));
    for (int start = 0; start < past.length; start += kPagePositions) {
        const int here = past.length - start < kPagePositions ? past.length - start : kPagePositions;
        const uint8_t* page = past.pages[start / kPagePositions];
        const void* values = page + past.values;
        page_scores_of<BF16, QUERIES>((here + 15) / 16, query, padded_head, scale, page + past.keys, here, scores);
        float keep[QUERIES];
        for (int r = 0; r < QUERIES; r++) keep[r] = weigh(scores + r * kPagePositions, here, start == 0, &state[r]);
        for (int i = 0; i < padded_head; i += 16) {
            Lanes o[QUERIES];
            for (int r = 0; r < QUERIES; r++) o[r] = lanes_mul(lanes_load(out + r * padded_head + i), lanes_set(keep[r]));
            for (int j = 0; j < here; j++) {
                const Lanes value = cached<BF16>(values, static_cast<int64_t>(j) * padded_head + i);
                for (int r = 0; r < QUERIES; r++) o[r] = lanes_fma(lanes_set(scores[r * kPagePositions + j]), value, o[r]);
            }
            for (int r = 0; r < QUERIES; r++) lanes_store(out + r * padded_head + i, o[r]);
        }
    }
    for (int r = 0; r < QUERIES; r++) {
        const Lanes inverse = lanes_set(1.0f / state[r].total);
        for (int i = 0; i < padded_head; i += 16)
            lanes_store(out + r * padded_head + i, lanes_mul(lanes_load(out + r * padded_head + i), inverse));
    }
}

template <bool BF16>
static void attend_all(const float* query, int queries, int padded_head, float scale, const Past& past, float* out) {
    int r = 0;
    for (; r + kQueries <= queries; r += kQueries)
        attend_some<BF16, kQueries>(query + r * padded_head, padded_head, scale, past, out + r * padded_head);
    for (; r < queries; r++) attend_some<BF16, 1>(query + r * padded_head, padded_head, scale, past, out + r * padded_head);
}

static void attend(const float* query, int queries, int padded_head, float scale, const Past& past, float* out) {
    if (past.bfloat16) attend_all<true>(query, queries, padded_head, scale, past, out);
    else attend_all<false>(query, queries, padded_head, scale, past, out);
}
