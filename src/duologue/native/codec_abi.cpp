// The codec's side of the border between C++ and Python; see abi.h.
#include "codec.h"
#include "guard.h"

using namespace duologue;

void* dl_codec_new(const dl_codec* sizes, const float* const* tensors, const int64_t* counts, int64_t count) {
    Codec* codec = nullptr;
    guarded([&] { codec = new Codec(*sizes, TensorReader(tensors, counts, count)); });
    return codec;
}

void dl_codec_free(void* codec) { delete static_cast<Codec*>(codec); }

const char* dl_codec_path(void* codec) { return static_cast<Codec*>(codec)->path(); }

int64_t dl_codec_state_bytes(void* codec) { return static_cast<Codec*>(codec)->state_bytes(); }

int64_t dl_codec_weight_bytes(void* codec) { return static_cast<Codec*>(codec)->weight_bytes(); }

int dl_codec_decode(void* codec, void* const* states, int64_t streams, const int64_t* codes, int64_t books, int64_t frames,
                    float* samples) {
    return guarded([&] {
        static_cast<Codec*>(codec)->decode(reinterpret_cast<uint8_t* const*>(states), streams, codes, books, frames, samples);
    });
}

int dl_codec_encode(void* codec, void* const* states, int64_t streams, const float* samples, int64_t frames, int64_t books,
                    int64_t* codes, float* latents) {
    return guarded([&] {
        static_cast<Codec*>(codec)->encode(reinterpret_cast<uint8_t* const*>(states), streams, samples, frames, books, codes,
                                           latents);
    });
}
