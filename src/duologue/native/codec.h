// Mimi whole, in one direction each: samples to codes, codes to samples, in pieces of any size, for several streams.
// With the spectral front end, the numbers of a hop's spectrum stand in the samples' place.
// Knows no files and no threads but its team's.
#pragma once

#include <memory>
#include <mutex>

#include "codec_front.h"
#include "codec_quantizer.h"
#include "codec_transformer.h"

namespace duologue {

class Codec {
   public:
    Codec(const dl_codec& sizes, TensorReader tensors);  // throws std::invalid_argument where they disagree

    int64_t state_bytes() const { return state_.bytes(); }
    int64_t weight_bytes() const { return store_.bytes(); }
    const char* path() const { return kernels_->name; }

    // codes [streams][books][frames] <-> samples [streams][frames * frame_samples]; latents (may be null)
    // [streams][frames][width]: what is quantized. States are the callers', one per stream.
    void decode(uint8_t* const* states, int64_t streams, const int64_t* codes, int64_t books, int64_t frames, float* samples);
    void encode(uint8_t* const* states, int64_t streams, const float* samples, int64_t frames, int64_t books, int64_t* codes,
                float* latents);

   private:
    struct Piece {
        int64_t stream, streams, frame, frames;
    };
    template <class Work>
    void in_pieces(uint8_t* const* states, int64_t streams, int64_t frames, const Work& work);
    void decode_piece(const Pass& pass, const Piece& piece, const int64_t* codes, int64_t books, int64_t frames, float* samples);
    void encode_piece(const Pass& pass, const Piece& piece, const float* samples, int64_t frames, int64_t books, int64_t* codes,
                      float* latents);
    void upsample(const Pass& pass, int64_t frames);
    void check(int64_t streams, int64_t frames, int64_t books, bool decoding) const;

    dl_codec sizes_;
    int64_t frame_samples_ = 0, frame_steps_ = 0;  // of a frame; a step is one column of the front end's outer side
    const Kernels* kernels_;
    PanelStore store_;
    StateLayout state_;
    Quantizer quantizer_;
    WindowedTransformer transformer_;
    std::unique_ptr<Front> front_;
    Conv downsample_;
    std::vector<float> upsample_;  // [4][width]
    int64_t upsample_past_ = 0;
    Buffer<float> latents_, steps_, sound_, windows_;
    Team team_;
    std::mutex mutex_;
};

}  // namespace duologue
