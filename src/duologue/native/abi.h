// What Python sees: plain C structures and functions. Every size is checked against every other when an engine is built;
// after that no input can make it read or write elsewhere.
#pragma once

#include <stdint.h>

#define DUOLOGUE_API extern "C" __attribute__((visibility("default")))

struct dl_matrix {
    int32_t kind, group, rows, cols;
    float scale;
    const uint8_t* data;
    int64_t bytes;
};

// Rows of embeddings, `stride` values apart (a multiple of 16, zeros beyond the width). Kind float32, bfloat16, or int8
// with one float32 scale per row.
struct dl_table {
    int32_t kind, stride;
    int64_t rows;
    const void* data;
    const float* scales;
    int64_t bytes;
};

struct dl_layer {
    const float *attention_norm, *feed_norm;  // (width)
    dl_matrix qkv, out, gate_up, down;
};

struct dl_stack {
    int32_t layers, width, heads, kv_heads, head_width, hidden, positions;
    float eps;
    const float* final_norm;           // (width)
    const float *cosines, *sines;      // (positions, head_width / 2)
    const dl_layer* layer;
};

struct dl_model {
    dl_stack backbone, depth;
    int32_t codebooks, codebook_size, codec_entries;
    int32_t eos_code;  // -1: the end is a frame of zeros
    int32_t text_columns, advances;  // advances 0: no pointer
    dl_table audio, depth_audio;     // depth_audio: the first codebooks - 1 books, already projected to the depth width
    const dl_table* text;            // one per text column
    dl_matrix first_head, advance_head, projection;
    const dl_matrix* heads;          // codebooks - 1
    int32_t bfloat16_cache, threads;
    const char* path;                // "auto" or the name of an instruction set's path
};

struct dl_request {
    void* cache;
    const int64_t* row;
    int64_t position, index;
    uint64_t seed;
    float temperature[3];  // codebook 0, the others, the pointer
    int32_t top_k[3];
    int32_t allow_eos;
    const int64_t* forced;  // null, or codes that replace the drawn ones (codebooks)
    float* trace;           // null, or hidden (width), then the logits: codebook 0, pointer, codebooks 1.. (see dl_trace_size)
    int32_t guide_of;       // -1, or the request whose wordless reading this is; guides come last and draw nothing
    float guidance;         // of a request with a guide: logits become guide + guidance * (logits - guide)
};

// One direction of a codec; tensors follow in the order in which it is built.
struct dl_codec {
    int32_t decodes;  // 1: codes to sound, 0: sound to codes
    int32_t width, filters, kernel, residual_kernel, last_kernel, residual_layers, dilation_base, compress;
    int32_t ratio_count, ratios[8];
    int32_t layers, heads, hidden, context;
    float rope_base, norm_eps;
    int32_t codebooks, entries, code_width, semantic;
    int32_t kind, threads;  // of weights: 0 float32, 1 bfloat16, 2 float16
    int32_t spectral_dim;   // 0: SEANet; else the spectral front end, whose depthwise convolutions are `kernel` hops wide
    int32_t blocks, expansion, hop_values;  // hop_values: the numbers of one hop on the outer side, in place of samples
    const char* path;
};

DUOLOGUE_API const char* dl_last_error();
DUOLOGUE_API int dl_layout_version();
DUOLOGUE_API int dl_structure_bytes(int which);  // matrix, table, layer, stack, model, request, codec
DUOLOGUE_API int dl_runs(const char* path);
DUOLOGUE_API int64_t dl_packed_bytes(int kind, int group, int rows, int cols);
DUOLOGUE_API int dl_pack(int kind, int group, int rows, int cols, const float* weights, uint8_t* out, float* scale);
DUOLOGUE_API int dl_unpack(const dl_matrix* matrix, float* weights);
DUOLOGUE_API int dl_multiply(const char* path, const dl_matrix* matrix, const float* x, int columns, float* y);

DUOLOGUE_API void* dl_engine_new(const dl_model* model);
DUOLOGUE_API void dl_engine_free(void* engine);
DUOLOGUE_API const char* dl_engine_path(void* engine);
DUOLOGUE_API int64_t dl_trace_size(void* engine);
DUOLOGUE_API int dl_batch(void* engine);  // rows per call of dl_frames
DUOLOGUE_API void dl_times(void* engine, double* out);  // prefill, backbone, depth, drawing, waiting seconds; rested frames

DUOLOGUE_API void* dl_cache_new(void* engine);
DUOLOGUE_API void* dl_cache_fork(void* cache);
DUOLOGUE_API void dl_cache_free(void* cache);
DUOLOGUE_API int64_t dl_cache_length(void* cache);
DUOLOGUE_API int64_t dl_cache_own_bytes(void* cache);
DUOLOGUE_API void dl_cache_truncate(void* cache, int64_t length);

// 0, or 1 for input that can't be used, 2 for logits that are not finite, 3 for anything else; dl_last_error says what.
DUOLOGUE_API int dl_prefill(void* engine, void* cache, const int64_t* rows, const int64_t* positions, int64_t count);
DUOLOGUE_API int dl_frames(void* engine, const dl_request* requests, int count, int64_t* out);  // (count, codebooks + 1)
DUOLOGUE_API double dl_read_bandwidth(const uint8_t* data, int64_t bytes, int threads);  // bytes per second of plain reads

// The tensors' values are copied, but for the centroids, which stay where they are. Null where they don't fit each other.
DUOLOGUE_API void* dl_codec_new(const dl_codec* sizes, const float* const* tensors, const int64_t* counts, int64_t count);
DUOLOGUE_API void dl_codec_free(void* codec);
DUOLOGUE_API const char* dl_codec_path(void* codec);
DUOLOGUE_API int64_t dl_codec_state_bytes(void* codec);  // of one stream; zeros before its first frame
DUOLOGUE_API int64_t dl_codec_weight_bytes(void* codec);
// codes (streams, books, frames), samples (streams, frames * frame; spectral: frames * 8 hops * hop_values), latents null or (streams, frames, width).
DUOLOGUE_API int dl_codec_decode(void* codec, void* const* states, int64_t streams, const int64_t* codes, int64_t books,
                                 int64_t frames, float* samples);
DUOLOGUE_API int dl_codec_encode(void* codec, void* const* states, int64_t streams, const float* samples, int64_t frames,
                                 int64_t books, int64_t* codes, float* latents);
