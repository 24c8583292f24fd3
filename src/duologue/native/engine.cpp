// One frame from a row of the grid; see engine.h. Nothing is allocated here, save a cache's next page.
#include "engine.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace duologue {
namespace {

class Stopwatch {
   public:
    explicit Stopwatch(double* total) : total_(total), start_(seconds_now()) {}
    ~Stopwatch() { *total_ += seconds_now() - start_; }

   private:
    double* total_;
    double start_;
};

// The helpers' frame; the team sleeps again however the frame ends.
class Awake {
   public:
    Awake(Team& team, int kind) : team_(team) { team_.begin_frame(kind); }
    ~Awake() { team_.end_frame(); }

   private:
    Team& team_;
};

}  // namespace

int64_t Engine::trace_size() const {
    return backbone_.shape().width + size_ + advances_ + static_cast<int64_t>(books_ - 1) * size_;
}

// ---- what goes in ---------------------------------------------------------------------------------------------------

void Engine::check_row(const int64_t* row, int64_t position) const {
    for (int k = 0; k < books_; k++)
        if (row[k] < -1 || row[k] >= size_) throw std::invalid_argument("code " + std::to_string(row[k]) + " doesn't exist");
    for (size_t i = 0; i < text_.size(); i++)
        if (row[books_ + i] < -1 || row[books_ + i] >= text_[i].rows)
            throw std::invalid_argument("text id " + std::to_string(row[books_ + i]) + " doesn't exist");
    if (position < 0 || position >= backbone_.shape().positions)
        throw std::invalid_argument("position " + std::to_string(position) + " is beyond the model's " +
                                    std::to_string(backbone_.shape().positions));
}

void Engine::check_requests(const dl_request* requests, int count) const {
    if (count < 1 || count > kBatch) throw std::invalid_argument("1 to " + std::to_string(kBatch) + " rows can be spoken at once");
    for (int i = 0; i < count; i++) {
        check_row(requests[i].row, requests[i].position);
        for (int k = 0; requests[i].forced != nullptr && k < books_; k++)
            if (requests[i].forced[k] < 0 || requests[i].forced[k] >= size_) throw std::invalid_argument("a forced code doesn't exist");
        for (int j = 0; j < i; j++)
            if (requests[i].cache == requests[j].cache) throw std::invalid_argument("two rows share one cache");
    }
}

// Returns how many requests draw; the guides behind them are only read. Throws where a guide belongs to none or to another's.
int Engine::find_guides(const dl_request* requests, int count) {
    int own = 0;
    while (own < count && requests[own].guide_of < 0) own++;
    std::fill_n(guides_, own, -1);
    for (int i = own; i < count; i++) {
        const int owner = requests[i].guide_of;
        if (owner < 0 || owner >= own || guides_[owner] >= 0) throw std::invalid_argument("a guide belongs to one request before it");
        guides_[owner] = i;
    }
    return own;
}

void Engine::add_row(const Table& table, int64_t row, int padded_width, float* out) const {
    const int64_t value_bytes = table.kind == kFloat32 ? 4 : table.kind == kBfloat16 ? 2 : 1;
    kernels_->add_row(table.kind, table.data + row * table.stride * value_bytes, table.scales ? table.scales[row] : 1.0f,
                      padded_width, out);
}

void Engine::embed(const int64_t* row, float* out) const {
    const int width = backbone_.shape().padded_width();
    std::fill_n(out, width, 0.0f);
    for (int k = 0; k < books_; k++)
        if (row[k] >= 0) add_row(audio_, static_cast<int64_t>(k) * size_ + row[k], width, out);
    for (size_t i = 0; i < text_.size(); i++)
        if (row[books_ + i] >= 0) add_row(text_[i], row[books_ + i], width, out);
}

void Engine::prefill(Cache& cache, const int64_t* rows, const int64_t* positions, int64_t count) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (int64_t i = 0; i < count; i++) check_row(rows + i * columns_, positions[i]);
    if (count > (1 << 24) - cache.length()) throw std::invalid_argument("a cache can't hold so many rows");
    Stopwatch watch(&times_.prefill);
    Awake awake(team_, 0);
    for (int64_t start = 0; start < count; start += kPrefillBlock) {
        const int here = static_cast<int>(std::min<int64_t>(kPrefillBlock, count - start));
        const int slot = cache.extend(here);
        for (int c = 0; c < here; c++) {
            embed(rows + (start + c) * columns_, backbone_.x(c));
            places_[c] = {&cache, slot + c, static_cast<int>(positions[start + c])};
        }
        backbone_.run(team_, places_.data(), here);
    }
}

void Engine::read_rows(const dl_request* requests, int count) {
    Stopwatch watch(&times_.backbone);
    for (int c = 0; c < count; c++) {
        Cache& cache = *static_cast<Cache*>(requests[c].cache);
        embed(requests[c].row, backbone_.x(c));
        places_[c] = {&cache, cache.extend(1), static_cast<int>(requests[c].position)};
    }
    backbone_.run(team_, places_.data(), count);
    for (int c = 0; c < count; c++) backbone_.final_norm(c, hidden_.column(c));
    project(first_head_, hidden_, count, &first_logits_, logit_stride_);
    if (advances_ > 0) project(advance_head_, hidden_, count, &advance_logits_, round_up(advances_, 16));
    if (books_ > 1) project(projection_, hidden_, count, &projected_, projected_stride_);
}

void Engine::project(const Matrix& w, const Input& input, int count, Buffer<float>* out, int64_t stride) {
    input.quantize_for(*kernels_, w, count);
    multiply(team_, *kernels_, w, input.operand, out->get(), stride, count, false);
}

// ---- what comes out -------------------------------------------------------------------------------------------------

void Engine::frames(const dl_request* requests, int count, int64_t* out) {
    std::lock_guard<std::mutex> lock(mutex_);
    check_requests(requests, count);
    Awake awake(team_, count);
    int before[kBatch];
    for (int i = 0; i < count; i++) before[i] = static_cast<Cache*>(requests[i].cache)->length();
    try {
        const int own = find_guides(requests, count);
        read_rows(requests, count);
        speak(requests, own, out);
    } catch (...) {
        for (int i = 0; i < count; i++) static_cast<Cache*>(requests[i].cache)->truncate(before[i]);
        throw;
    }
}

void Engine::speak(const dl_request* requests, int count, int64_t* out) {
    draw_first(requests, count, out);
    int chosen[kBatch], again = 0;
    for (int i = 0; i < count; i++) chosen[i] = i;
    complete(requests, chosen, count, out);
    for (int i = 0; i < count; i++)
        if (must_go_on(requests[i], out + i * (books_ + 1))) chosen[again++] = i;
    for (int j = 0; j < again; j++) {  // a frame of zeros would end the turn: draw it again without code 0 in codebook 0
        const int i = chosen[j];
        out[i * (books_ + 1)] = draw(requests[i], &first_logits_[i * logit_stride_], 0, true);
    }
    if (again > 0) complete(requests, chosen, again, out);
}

bool Engine::must_go_on(const dl_request& request, const int64_t* codes) const {
    const auto is_zero = [](int64_t code) { return code == 0; };
    return eos_code_ < 0 && !request.allow_eos && request.forced == nullptr && size_ > 1 && entries_ > 1 &&
           std::all_of(codes, codes + books_, is_zero);
}

void Engine::mix(const dl_request& request, float* logits, const float* guide) const {
    for (int i = 0; i < size_; i++) logits[i] = guide[i] + request.guidance * (logits[i] - guide[i]);
}

int64_t Engine::draw(const dl_request& request, const float* logits, int book, bool bar_zero) {
    if (request.forced != nullptr) return request.forced[book];
    Stopwatch watch(&times_.drawing);
    const int stage = book == 0 ? 0 : 1;
    const int extra = book == 0 && request.allow_eos ? eos_code_ : -1;
    const Draw how = {request.temperature[stage], request.top_k[stage]};
    const int code = sampler_.draw(logits, entries_, extra, bar_zero ? 0 : -1, how,
                                   uniform(request.seed, static_cast<uint64_t>(request.index), static_cast<uint64_t>(book)));
    if (code < 0) throw NotFinite();
    return code;
}

void Engine::draw_first(const dl_request* requests, int count, int64_t* out) {
    for (int i = 0; i < count; i++) {
        const dl_request& request = requests[i];
        int64_t* codes = out + i * (books_ + 1);
        const float* advance = &advance_logits_[i * round_up(advances_, 16)];
        if (guides_[i] >= 0) mix(request, &first_logits_[i * logit_stride_], &first_logits_[guides_[i] * logit_stride_]);
        if (request.trace != nullptr) {
            float* trace = std::copy_n(hidden_.column(i), backbone_.shape().width, request.trace);
            trace = std::copy_n(&first_logits_[i * logit_stride_], size_, trace);
            std::copy_n(advance, advances_, trace);
        }
        codes[0] = draw(request, &first_logits_[i * logit_stride_], 0, false);
        codes[books_] = 0;
        if (advances_ == 0) continue;
        const double u = uniform(request.seed, static_cast<uint64_t>(request.index), static_cast<uint64_t>(books_));
        const int move = sampler_.draw(advance, advances_, -1, -1, {request.temperature[2], request.top_k[2]}, u);
        if (move < 0) throw NotFinite();
        codes[books_] = move;
    }
}

void Engine::put_code(int column, int book, int64_t code) {
    float* x = depth_.x(column);
    std::fill_n(x, depth_.shape().padded_width(), 0.0f);
    add_row(depth_audio_, static_cast<int64_t>(book) * size_ + code, depth_.shape().padded_width(), x);
}

// Codebooks 1.. of the chosen rows. The first pass reads the backbone's hidden state and codebook 0 at once.
void Engine::complete(const dl_request* requests, const int* chosen, int count, int64_t* out) {
    if (books_ == 1) return;
    Stopwatch watch(&times_.depth);
    int columns = count, guide_column[kBatch];  // the chosen rows, then their guides
    for (int c = 0; c < count; c++) guide_column[c] = guides_[chosen[c]] >= 0 ? columns++ : -1;
    const auto begin = [&](int column, int reading, int64_t code) {
        Cache* cache = depth_caches_[column].get();
        std::copy_n(&projected_[reading * projected_stride_], depth_.shape().padded_width(), depth_.x(column));
        put_code(columns + column, 0, code);
        places_[column] = {cache, 0, 0};
        places_[columns + column] = {cache, 1, 1};
    };
    for (int c = 0; c < count; c++) {
        const int64_t code = out[chosen[c] * (books_ + 1)];
        begin(c, chosen[c], code);
        if (guide_column[c] >= 0) begin(guide_column[c], guides_[chosen[c]], code);
    }
    const auto go_on = [&](int column, int book, int64_t code) {
        put_code(column, book, code);
        places_[column] = {depth_caches_[column].get(), book + 1, book + 1};
    };
    for (int book = 1; book < books_; book++) {
        const int first = book == 1 ? columns : 0;  // the columns that carry the newest code
        depth_.run(team_, places_.data(), first + columns);
        for (int c = 0; c < columns; c++) depth_.final_norm(first + c, out_.column(c));
        project(heads_[book - 1], out_, columns, &logits_, logit_stride_);
        for (int c = 0; c < count; c++) {
            const dl_request& request = requests[chosen[c]];
            float* logits = &logits_[c * logit_stride_];
            if (guide_column[c] >= 0) mix(request, logits, &logits_[guide_column[c] * logit_stride_]);
            if (request.trace != nullptr)
                std::copy_n(logits, size_, request.trace + backbone_.shape().width + advances_ + static_cast<int64_t>(book) * size_);
            int64_t& code = out[chosen[c] * (books_ + 1) + book];
            code = draw(request, logits, book, false);
            if (book + 1 == books_) continue;
            go_on(c, book, code);
            if (guide_column[c] >= 0) go_on(guide_column[c], book, code);
        }
    }
}

}  // namespace duologue
