// The codec's kernels, written once over 16 lanes; included by kernels_body.h, whose rules hold here too.

// 4 x 6 sums fill 32 wide registers; of 16 narrow ones, of which a tile takes two, 12 hold sums.
constexpr int block_tiles(int columns) { return kMaxColumns >= 8 || columns == 1 ? kPanelTiles : columns <= 3 ? 2 : 1; }

static inline Lanes lanes_load_some(const float* p, int count) {
    if (count >= 16) return lanes_load(p);
    float v[16] = {};
    for (int i = 0; i < count; i++) v[i] = p[i];
    return lanes_load(v);
}

static inline void lanes_store_some(float* p, Lanes value, int count) {
    if (count >= 16) return lanes_store(p, value);
    float v[16];
    lanes_store(v, value);
    for (int i = 0; i < count; i++) p[i] = v[i];
}

static inline Lanes elu_lanes(Lanes x) {
    const Lanes zero = lanes_set(0.0f), below = lanes_sub(exp_lanes(lanes_min(x, zero)), lanes_set(1.0f));
    return lanes_add(lanes_max(x, zero), below);  // below is exactly 0 where x is not negative
}

// x times the normal distribution function of x, by Abramowitz and Stegun's 7.1.26 (error 1.5e-7).
static inline Lanes gelu_lanes(Lanes x) {
    const Lanes z = lanes_mul(lanes_abs(x), lanes_set(0.70710678f)), one = lanes_set(1.0f);
    const Lanes t = lanes_div(one, lanes_fma(lanes_set(0.3275911f), z, one));
    Lanes series = lanes_fma(t, lanes_set(1.061405429f), lanes_set(-1.453152027f));
    series = lanes_fma(series, t, lanes_set(1.421413741f));
    series = lanes_fma(series, t, lanes_set(-0.284496736f));
    series = lanes_fma(series, t, lanes_set(0.254829592f));
    const Lanes minus_square = lanes_sub(lanes_set(0.0f), lanes_mul(z, z));
    const Lanes beyond = lanes_mul(lanes_mul(series, t), lanes_mul(lanes_set(0.5f), exp_lanes(minus_square)));
    return lanes_sub(lanes_max(x, lanes_set(0.0f)), lanes_mul(lanes_abs(x), beyond));
}

template <PanelKind KIND>
static inline Lanes panel_weights(const uint8_t* p, int64_t i) {
    if (KIND == PanelKind::kFloat32) return lanes_load(reinterpret_cast<const float*>(p) + i);
    const uint16_t* half = reinterpret_cast<const uint16_t*>(p) + i;
    return KIND == PanelKind::kBfloat16 ? lanes_load_bfloat16(half) : lanes_load_half(half);
}

static inline void finish_lanes(float* y, Lanes sum, float scale, const Finish& finish, int row, int count) {
    sum = lanes_mul(sum, lanes_set(scale));
    if (finish.bias != nullptr) sum = lanes_add(sum, lanes_load(finish.bias + row));
    if (finish.then == Then::kElu) sum = elu_lanes(sum);
    else if (finish.then == Then::kGelu) sum = gelu_lanes(sum);
    else if (finish.then == Then::kAdd) sum = lanes_add(lanes_load_some(y + row, count), sum);
    else if (finish.then == Then::kAddScaled)
        sum = lanes_fma(lanes_load(finish.factor + row), sum, lanes_load_some(y + row, count));
    lanes_store_some(y + row, sum, count);
}

constexpr int kAheadOfPanel = 4096;  // bytes asked for in advance; a page, so that pages are crossed in time

template <PanelKind KIND, int TILES, int COLUMNS>
static void panel_block(const Panels& w, int panel, int tile, const float* const* x, float* const* y, const Finish& finish) {
    const int64_t step = static_cast<int64_t>(w.tiles_of(panel)) * 16;
    const int64_t weight_bytes = KIND == PanelKind::kFloat32 ? 4 : 2;
    const uint8_t* p = w.panel(panel) + tile * 16 * weight_bytes;
    const float* from[COLUMNS];
    Lanes sum[COLUMNS][TILES];
    for (int c = 0; c < COLUMNS; c++) {
        from[c] = x[c];
        for (int t = 0; t < TILES; t++) sum[c][t] = lanes_set(0.0f);
    }
    for (int k = 0; k < w.cols; k++, p += step * weight_bytes) {
        Lanes weights[TILES];
        for (int t = 0; t < TILES; t++) {
            weights[t] = panel_weights<KIND>(p, t * 16);
            if (t % (KIND == PanelKind::kFloat32 ? 1 : 2) == 0) __builtin_prefetch(p + t * 16 * weight_bytes + kAheadOfPanel);
        }
        for (int c = 0; c < COLUMNS; c++) {
            const Lanes v = lanes_set(from[c][k]);
            for (int t = 0; t < TILES; t++) sum[c][t] = lanes_fma(weights[t], v, sum[c][t]);
        }
    }
    for (int c = 0; c < COLUMNS; c++)
        for (int t = 0; t < TILES; t++) {
            const int row = panel * kPanelRows + (tile + t) * 16;
            finish_lanes(y[c], sum[c][t], w.scale, finish, row, w.rows - row);
        }
}

template <PanelKind KIND, int COLUMNS>
static void panel_columns(const Panels& w, int panel, const float* const* x, float* const* y, const Finish& finish) {
    constexpr int kTogether = block_tiles(COLUMNS);
    int tile = 0;
    const int tiles = w.tiles_of(panel);
    for (; tile + kTogether <= tiles; tile += kTogether) panel_block<KIND, kTogether, COLUMNS>(w, panel, tile, x, y, finish);
    for (; tile < tiles; tile++) panel_block<KIND, 1, COLUMNS>(w, panel, tile, x, y, finish);
}

template <PanelKind KIND>
static void panel_kind(const Panels& w, int panel, const float* const* x, float* const* y, int columns, const Finish& finish) {
    switch (columns) {
        case 1: return panel_columns<KIND, 1>(w, panel, x, y, finish);
        case 2: return panel_columns<KIND, 2>(w, panel, x, y, finish);
        case 3: return panel_columns<KIND, 3>(w, panel, x, y, finish);
        case 4: return panel_columns<KIND, 4>(w, panel, x, y, finish);
        case 5: return panel_columns<KIND, 5>(w, panel, x, y, finish);
        case 6: return panel_columns<KIND, 6>(w, panel, x, y, finish);
    }
}

static void product(const Panels& w, int panel, const float* const* x, float* const* y, int columns, const Finish& finish) {
    switch (w.kind) {
        case PanelKind::kFloat32: return panel_kind<PanelKind::kFloat32>(w, panel, x, y, columns, finish);
        case PanelKind::kBfloat16: return panel_kind<PanelKind::kBfloat16>(w, panel, x, y, columns, finish);
        case PanelKind::kFloat16: return panel_kind<PanelKind::kFloat16>(w, panel, x, y, columns, finish);
    }
}

static void elu(const float* x, float* out, int64_t count) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) lanes_store(out + i, elu_lanes(lanes_load(x + i)));
    if (i < count) {
        const int rest = static_cast<int>(count - i);
        lanes_store_some(out + i, elu_lanes(lanes_load_some(x + i, rest)), rest);
    }
}

static void layer_norm(const float* x, const float* weight, const float* bias, float* out, int width, float eps) {
    Lanes total = lanes_set(0.0f), squares = total;
    for (int i = 0; i < width; i += 16) total = lanes_add(total, lanes_load_some(x + i, width - i));
    const float mean = lanes_sum(total) / width;
    const int whole = width / 16 * 16;
    for (int i = 0; i < whole; i += 16) {
        const Lanes away = lanes_sub(lanes_load(x + i), lanes_set(mean));
        squares = lanes_fma(away, away, squares);
    }
    float sum = lanes_sum(squares);
    for (int i = whole; i < width; i++) sum += (x[i] - mean) * (x[i] - mean);
    const float factor = 1.0f / __builtin_sqrtf(sum / width + eps);
    for (int i = 0; i < width; i += 16) {
        const Lanes away = lanes_mul(lanes_sub(lanes_load_some(x + i, width - i), lanes_set(mean)), lanes_set(factor));
        lanes_store_some(out + i, lanes_fma(away, lanes_load_some(weight + i, width - i), lanes_load_some(bias + i, width - i)),
                         width - i);
    }
}

static const CodecKernels kCodecTable = {product, elu, layer_norm};
