// The border between C++ and Python: exceptions become numbers and a message. Knows nothing else.
#include "abi.h"

#include <algorithm>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "engine.h"
#include "guard.h"
#include "packing.h"

using namespace duologue;

namespace {

Matrix matrix_of(int kind, int group, int rows, int cols, float scale, const uint8_t* data) {
    Matrix m;
    m.kind = static_cast<Kind>(kind);
    m.group = group;
    m.rows = rows;
    m.cols = cols;
    m.scale = scale;
    m.data = data;
    if (!is_valid(m)) throw std::invalid_argument("unknown kind, group or size of a matrix");
    return m;
}

Matrix matrix_of(const dl_matrix& given) {
    const Matrix m = matrix_of(given.kind, given.group, given.rows, given.cols, given.scale, given.data);
    if (m.data == nullptr || given.bytes != m.bytes()) throw std::invalid_argument("wrong number of bytes for a matrix");
    return m;
}

}  // namespace

std::string& duologue::last_error() {
    thread_local std::string text;
    return text;
}

const char* dl_last_error() { return last_error().c_str(); }

int dl_layout_version() { return 1; }

int dl_structure_bytes(int which) {
    const size_t sizes[] = {sizeof(dl_matrix), sizeof(dl_table), sizeof(dl_layer), sizeof(dl_stack), sizeof(dl_model), sizeof(dl_request), sizeof(dl_codec)};
    return which >= 0 && which < 7 ? static_cast<int>(sizes[which]) : -1;
}

int dl_runs(const char* path) { return select_kernels(path) != nullptr; }

int64_t dl_packed_bytes(int kind, int group, int rows, int cols) {
    int64_t bytes = -1;
    guarded([&] { bytes = matrix_of(kind, group, rows, cols, 1.0f, nullptr).bytes(); });
    return bytes;
}

int dl_pack(int kind, int group, int rows, int cols, const float* weights, uint8_t* out, float* scale) {
    return guarded([&] { *scale = pack(matrix_of(kind, group, rows, cols, 1.0f, nullptr), weights, out); });
}

int dl_unpack(const dl_matrix* matrix, float* weights) {
    return guarded([&] { unpack(matrix_of(*matrix), weights); });
}

int dl_multiply(const char* path, const dl_matrix* matrix, const float* x, int columns, float* y) {
    return guarded([&] {
        const Matrix m = matrix_of(*matrix);
        const Kernels* kernels = select_kernels(path);
        if (kernels == nullptr || columns < 1) throw std::invalid_argument("no such path, or no columns");
        Input input;
        Buffer<float> result;
        const int64_t stride = round_up(m.rows, kTileRows);
        input.allocate(m.cols, columns);
        result.allocate(stride * columns);
        for (int c = 0; c < columns; c++) std::copy_n(x + static_cast<int64_t>(c) * m.cols, m.cols, input.column(c));
        input.quantize_for(*kernels, m, columns);
        kernels->multiply(m, input.operand, result.get(), stride, columns, 0, m.tiles(), false);
        for (int c = 0; c < columns; c++) std::copy_n(&result[c * stride], m.rows, y + static_cast<int64_t>(c) * m.rows);
    });
}

void* dl_engine_new(const dl_model* model) {
    Engine* engine = nullptr;
    guarded([&] { engine = new Engine(*model); });
    return engine;
}

void dl_engine_free(void* engine) { delete static_cast<Engine*>(engine); }

const char* dl_engine_path(void* engine) { return static_cast<Engine*>(engine)->path(); }

int64_t dl_trace_size(void* engine) { return static_cast<Engine*>(engine)->trace_size(); }

int dl_batch(void*) { return kBatch; }

void dl_times(void* engine, double* out) {
    const Engine& e = *static_cast<Engine*>(engine);
    const double values[] = {e.times().prefill,           e.times().backbone,
                             e.times().depth,             e.times().drawing,
                             e.team().waited_seconds(),   static_cast<double>(e.team().rested_frames())};
    std::copy_n(values, 6, out);
}

void* dl_cache_new(void* engine) { return static_cast<Engine*>(engine)->new_cache(); }

void* dl_cache_fork(void* cache) { return new Cache(*static_cast<Cache*>(cache)); }

void dl_cache_free(void* cache) { delete static_cast<Cache*>(cache); }

int64_t dl_cache_length(void* cache) { return static_cast<Cache*>(cache)->length(); }

int64_t dl_cache_own_bytes(void* cache) { return static_cast<Cache*>(cache)->own_bytes(); }

void dl_cache_truncate(void* cache, int64_t length) {
    static_cast<Cache*>(cache)->truncate(static_cast<int>(std::clamp<int64_t>(length, 0, 1 << 24)));
}

int dl_prefill(void* engine, void* cache, const int64_t* rows, const int64_t* positions, int64_t count) {
    return guarded([&] { static_cast<Engine*>(engine)->prefill(*static_cast<Cache*>(cache), rows, positions, count); });
}

int dl_frames(void* engine, const dl_request* requests, int count, int64_t* out) {
    return guarded([&] { static_cast<Engine*>(engine)->frames(requests, count, out); });
}

double dl_read_bandwidth(const uint8_t* data, int64_t bytes, int threads) {
    std::vector<uint64_t> sums(threads, 0);
    std::vector<std::thread> readers;
    const double start = seconds_now();
    for (int t = 0; t < threads; t++)
        readers.emplace_back([&, t] {
            const int64_t words = bytes / 64 / threads * 8;
            const uint64_t* p = reinterpret_cast<const uint64_t*>(data) + t * words;
            uint64_t sum[8] = {};
            for (int64_t i = 0; i < words; i += 8)
                for (int j = 0; j < 8; j++) sum[j] += p[i + j];
            for (uint64_t s : sum) sums[t] += s;
        });
    for (auto& reader : readers) reader.join();
    const double seconds = seconds_now() - start;
    uint64_t all = 0;
    for (uint64_t s : sums) all += s;
    return all == 1 ? 0.0 : bytes / seconds;  // the sum is used, so the reads can't be left out
}
