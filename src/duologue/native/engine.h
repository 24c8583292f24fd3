// The whole frame: embed a row, backbone, codebook 0 and pointer, then every codebook of the depth decoder.
#pragma once

#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "abi.h"
#include "sampling.h"
#include "stack.h"

namespace duologue {

constexpr int kBatch = 32;         // conversations per call
constexpr int kPrefillBlock = 64;  // positions per matrix product

struct NotFinite : std::runtime_error {
    NotFinite() : std::runtime_error("the network gave no finite logits") {}
};

struct Times {
    double prefill = 0, backbone = 0, depth = 0, drawing = 0;
};

class Engine {
   public:
    explicit Engine(const dl_model& model);  // throws std::invalid_argument where sizes disagree

    void prefill(Cache& cache, const int64_t* rows, const int64_t* positions, int64_t count);
    void frames(const dl_request* requests, int count, int64_t* out);
    Cache* new_cache() const { return new Cache(backbone_.page_shape(bfloat16_cache_)); }

    const char* path() const { return kernels_->name; }
    int64_t trace_size() const;
    const Times& times() const { return times_; }
    const Team& team() const { return team_; }

   private:
    struct Table {
        Kind kind;
        int stride;
        int64_t rows;
        const uint8_t* data;
        const float* scales;
    };

    const float* keep(const float* values, int64_t count);
    Table checked(const dl_table& table, int64_t rows, int width, const char* name) const;
    Matrix checked(const dl_matrix& matrix, int64_t rows, int64_t cols, const char* name) const;
    StackShape checked(const dl_stack& stack, const char* name) const;
    void build_stack(Stack* out, const dl_stack& stack, const char* name, int max_columns);
    void check_row(const int64_t* row, int64_t position) const;
    void check_requests(const dl_request* requests, int count) const;
    int find_guides(const dl_request* requests, int count);

    void embed(const int64_t* row, float* out) const;
    void add_row(const Table& table, int64_t row, int padded_width, float* out) const;
    void read_rows(const dl_request* requests, int count);
    void speak(const dl_request* requests, int count, int64_t* out);
    void draw_first(const dl_request* requests, int count, int64_t* out);
    void complete(const dl_request* requests, const int* chosen, int count, int64_t* out);
    void put_code(int column, int book, int64_t code);
    void mix(const dl_request& request, float* logits, const float* guide) const;
    int64_t draw(const dl_request& request, const float* logits, int book, bool bar_zero);
    bool must_go_on(const dl_request& request, const int64_t* codes) const;
    void project(const Matrix& w, const Input& input, int count, Buffer<float>* out, int64_t stride);

    const Kernels* kernels_;
    int columns_, books_, size_, entries_, eos_code_, advances_;
    bool bfloat16_cache_;
    std::vector<std::unique_ptr<Buffer<float>>> kept_;
    Stack backbone_, depth_;
    Table audio_{}, depth_audio_{};
    std::vector<Table> text_;
    Matrix first_head_, advance_head_, projection_;
    std::vector<Matrix> heads_;
    Input hidden_, out_;
    Buffer<float> first_logits_, advance_logits_, projected_, logits_;
    int64_t logit_stride_ = 0, projected_stride_ = 0;
    std::vector<std::unique_ptr<Cache>> depth_caches_;
    std::vector<Column> places_;
    int guides_[kBatch] = {};  // of each request, where its guide stands among the readings; -1 without
    Sampler sampler_;
    Team team_;
    Times times_;
    std::mutex mutex_;
};

}  // namespace duologue
