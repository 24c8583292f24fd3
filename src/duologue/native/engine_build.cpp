// Building an engine: nothing is taken on trust, because sizes may come from a file that somebody else wrote.
#include <algorithm>
#include <string>

#include "engine.h"
#include "packing.h"

namespace duologue {
namespace {

void require(bool holds, const std::string& what) {
    if (!holds) throw std::invalid_argument(what);
}

const Kernels* kernels_of(const char* path) {
    const Kernels* kernels = path == nullptr ? nullptr : select_kernels(path);
    require(kernels != nullptr, "this CPU or build has no such path");
    return kernels;
}

int within(int64_t value, int64_t low, int64_t high, const char* name) {
    require(value >= low && value <= high, std::string(name) + " is " + std::to_string(value) + ", outside " +
                                               std::to_string(low) + " to " + std::to_string(high));
    return static_cast<int>(value);
}

}  // namespace

Engine::Engine(const dl_model& model)
    : kernels_(kernels_of(model.path)),
      columns_(within(model.codebooks, 1, 64, "codebooks") + within(model.text_columns, 1, 64, "text columns")),
      books_(model.codebooks),
      size_(within(model.codebook_size, 1, 1 << 20, "codebook size")),
      entries_(within(model.codec_entries, 1, size_, "codec entries")),
      eos_code_(within(model.eos_code, -1, size_ - 1, "eos code")),
      advances_(within(model.advances, 0, 256, "advances")),
      bfloat16_cache_(model.bfloat16_cache != 0),
      sampler_(std::max(size_, advances_)),
      team_(within(model.threads, 1, 64, "threads")) {
    require(eos_code_ < 0 || eos_code_ >= entries_, "the eos code lies among the codec's entries");
    build_stack(&backbone_, model.backbone, "backbone", kPrefillBlock);
    build_stack(&depth_, model.depth, "depth decoder", 2 * kBatch);
    require(depth_.shape().positions >= books_, "the depth decoder has fewer positions than codebooks");
    const int width = backbone_.shape().width, depth_width = depth_.shape().width;
    audio_ = checked(model.audio, static_cast<int64_t>(books_) * size_, width, "audio table");
    for (int i = 0; i < model.text_columns; i++) text_.push_back(checked(model.text[i], -1, width, "text table"));
    first_head_ = checked(model.first_head, size_, width, "first head");
    if (advances_ > 0) advance_head_ = checked(model.advance_head, advances_, width, "advance head");
    if (books_ > 1) {
        depth_audio_ = checked(model.depth_audio, static_cast<int64_t>(books_ - 1) * size_, depth_width, "depth audio table");
        projection_ = checked(model.projection, depth_width, width, "projection");
        for (int i = 0; i + 1 < books_; i++) heads_.push_back(checked(model.heads[i], size_, depth_width, "head"));
    }
    hidden_.allocate(width, kBatch);
    out_.allocate(depth_width, kBatch);
    logit_stride_ = round_up(size_, 16);
    projected_stride_ = round_up(depth_width, 16);
    first_logits_.allocate(logit_stride_ * kBatch);
    logits_.allocate(logit_stride_ * kBatch);
    projected_.allocate(projected_stride_ * kBatch);
    advance_logits_.allocate(round_up(std::max(advances_, 1), 16) * kBatch);
    places_.resize(std::max(kPrefillBlock, 2 * kBatch));
    for (int i = 0; i < kBatch; i++) {
        depth_caches_.push_back(std::make_unique<Cache>(depth_.page_shape(false)));
        depth_caches_.back()->extend(1);  // its page stays for good
    }
}

const float* Engine::keep(const float* values, int64_t count) {
    require(values != nullptr, "a vector is missing");
    kept_.push_back(std::make_unique<Buffer<float>>());
    kept_.back()->allocate(round_up(count, 16));
    std::copy_n(values, count, kept_.back()->get());
    return kept_.back()->get();
}

Engine::Table Engine::checked(const dl_table& table, int64_t rows, int width, const char* name) const {
    const Kind kind = static_cast<Kind>(table.kind);
    require(kind == kFloat32 || kind == kBfloat16 || kind == kInt8, std::string(name) + ": unknown kind");
    require(table.rows > 0 && table.rows < (int64_t{1} << 32) && (rows < 0 || table.rows == rows),
            std::string(name) + ": wrong number of rows");
    require(table.stride % 16 == 0 && table.stride >= round_up(width, 16) && table.stride <= 1 << 20,
            std::string(name) + ": wrong width");
    const int64_t value_bytes = kind == kFloat32 ? 4 : kind == kBfloat16 ? 2 : 1;
    require(table.data != nullptr && table.bytes == table.rows * table.stride * value_bytes,
            std::string(name) + ": wrong number of bytes");
    require(kind != kInt8 || table.scales != nullptr, std::string(name) + ": no scales");
    return {kind, table.stride, table.rows, static_cast<const uint8_t*>(table.data), table.scales};
}

Matrix Engine::checked(const dl_matrix& given, int64_t rows, int64_t cols, const char* name) const {
    Matrix m;
    m.kind = static_cast<Kind>(given.kind);
    m.group = given.group;
    m.rows = given.rows;
    m.cols = given.cols;
    m.scale = given.scale;
    m.data = given.data;
    require(is_valid(m), std::string(name) + ": unknown kind, group or size");
    require(m.rows == rows && m.cols == cols, std::string(name) + " is " + std::to_string(m.rows) + " x " +
                                                  std::to_string(m.cols) + ", not " + std::to_string(rows) + " x " +
                                                  std::to_string(cols));
    require(m.data != nullptr && given.bytes == m.bytes(), std::string(name) + ": wrong number of bytes");
    return m;
}

StackShape Engine::checked(const dl_stack& s, const char* name) const {
    const std::string where = name;
    StackShape shape;
    shape.layers = within(s.layers, 1, 1024, (where + " layers").c_str());
    shape.width = within(s.width, 1, 1 << 16, (where + " width").c_str());
    shape.heads = within(s.heads, 1, 1024, (where + " heads").c_str());
    shape.kv_heads = within(s.kv_heads, 1, s.heads, (where + " kv heads").c_str());
    shape.head_width = within(s.head_width, 2, 1024, (where + " head width").c_str());
    shape.hidden = within(s.hidden, 1, 1 << 18, (where + " hidden").c_str());
    shape.positions = within(s.positions, 1, 1 << 20, (where + " positions").c_str());
    shape.eps = s.eps;
    require(shape.heads % shape.kv_heads == 0 && shape.head_width % 2 == 0, where + ": heads don't divide");
    require(s.layer != nullptr && s.cosines != nullptr && s.sines != nullptr, where + ": parts are missing");
    return shape;
}

void Engine::build_stack(Stack* out, const dl_stack& s, const char* name, int max_columns) {
    const StackShape shape = checked(s, name);
    const int64_t head = shape.padded_head(), inner = shape.heads * head, hidden = shape.hidden;
    std::vector<Layer> layers;
    for (int i = 0; i < shape.layers; i++) {
        const dl_layer& given = s.layer[i];
        Layer layer;
        layer.attention_norm = keep(given.attention_norm, shape.width);
        layer.feed_norm = keep(given.feed_norm, shape.width);
        layer.qkv = checked(given.qkv, inner + 2 * shape.kv_heads * head, shape.width, name);
        layer.out = checked(given.out, shape.width, inner, name);
        layer.gate_up = checked(given.gate_up, static_cast<int64_t>(shape.hidden_tiles()) * 2 * kTileRows, shape.width, name);
        layer.down = checked(given.down, shape.width, hidden, name);
        layers.push_back(layer);
    }
    const int64_t angles = static_cast<int64_t>(shape.positions) * (shape.head_width / 2);
    const float *norm = keep(s.final_norm, shape.width), *cosines = keep(s.cosines, angles), *sines = keep(s.sines, angles);
    out->build(kernels_, shape, std::move(layers), norm, cosines, sines, max_columns);
}

}  // namespace duologue
