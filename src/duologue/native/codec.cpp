// The two directions, piece by piece; see codec.h.
#include "codec.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace duologue {
namespace {

constexpr int64_t kResampling = 2, kMostFrameSamples = 1 << 17;

class Awake {
   public:
    Awake(Team& team, int kind) : team_(team) { team_.begin_frame(kind); }
    ~Awake() { team_.end_frame(); }

   private:
    Team& team_;
};

// Numbers on the outer side of the front end for one frame of codes.
int64_t spectral_frame(const dl_codec& sizes) {
    const int32_t each[] = {sizes.spectral_dim, sizes.hop_values, sizes.expansion, sizes.kernel, sizes.blocks, sizes.width};
    const int32_t most[] = {1 << 13, 1 << 13, 16, 64, 256, 1 << 13};
    for (int i = 0; i < 6; i++)
        if (each[i] < (i == 4 ? 0 : 1) || each[i] > most[i]) throw std::invalid_argument("no codec has such sizes");
    return kResampling * kHopsPerLatent * sizes.hop_values;
}

int64_t frame_samples(const dl_codec& sizes) {
    if (sizes.spectral_dim != 0) return spectral_frame(sizes);
    if (sizes.ratio_count < 1 || sizes.ratio_count > 8 || sizes.filters < 1 || sizes.filters > 1 << 20 || sizes.width < 1 ||
        sizes.width > 1 << 20 || sizes.compress < 1 || sizes.filters % sizes.compress != 0 || sizes.residual_layers < 1 ||
        sizes.residual_layers > 16 || sizes.dilation_base < 1 || sizes.dilation_base > 8 || sizes.kernel < 1 ||
        sizes.residual_kernel < 1 || sizes.last_kernel < 1 || sizes.kernel > 64 || sizes.residual_kernel > 64 ||
        sizes.last_kernel > 64)
        throw std::invalid_argument("no codec has such sizes");
    int64_t samples = kResampling;
    for (int i = 0; i < sizes.ratio_count; i++) {
        if (sizes.ratios[i] < 1 || sizes.ratios[i] > 64) throw std::invalid_argument("no codec has such ratios");
        samples *= sizes.ratios[i];
    }
    if (samples > kMostFrameSamples) throw std::invalid_argument("a frame can't have so many samples");
    return samples;
}

template <class Kind>
std::unique_ptr<Front> built(Builder& builder, const dl_codec& sizes) {
    auto front = std::make_unique<Kind>();
    if (sizes.decodes) front->build_decoder(builder, sizes);
    else front->build_encoder(builder, sizes);
    return front;
}

std::unique_ptr<Front> build_front(Builder& builder, const dl_codec& sizes) {
    return sizes.spectral_dim != 0 ? built<Spectral>(builder, sizes) : built<Chain>(builder, sizes);
}

int64_t steps_seen(const uint8_t* state) {
    int64_t seen;
    memcpy(&seen, state, 8);
    if (seen < 0 || seen > int64_t{1} << 60) throw std::invalid_argument("this is not a stream's state");
    return seen;
}

}  // namespace

Codec::Codec(const dl_codec& sizes, TensorReader tensors)
    : sizes_(sizes),
      frame_samples_(frame_samples(sizes)),
      frame_steps_(sizes.spectral_dim != 0 ? kResampling * kHopsPerLatent : frame_samples_),
      kernels_(select_kernels(sizes.path)),
      team_(sizes.threads) {
    if (kernels_ == nullptr) throw std::invalid_argument("this CPU or build lacks the path");
    if (sizes.kind < 0 || sizes.kind > 2) throw std::invalid_argument("unknown kind of weights");
    Builder builder{&tensors, &store_, &state_, static_cast<PanelKind>(sizes.kind)};
    const QuantizerShape quantizer{sizes.width, sizes.codebooks, sizes.entries, sizes.code_width, sizes.semantic};
    const TransformerShape transformer{sizes.width,   sizes.layers,    sizes.heads,   sizes.hidden,
                                       sizes.context, sizes.rope_base, sizes.norm_eps};
    const int64_t most_steps = kPieceFrames * kResampling, width = sizes.width;
    if (sizes.decodes) {
        quantizer_.build_lookup(builder, quantizer, kPieceFrames);
        upsample_ = tensors.padded(2 * kResampling * width);
        upsample_past_ = state_.take(width);
        transformer_.build(builder, transformer, most_steps);
        front_ = build_front(builder, sizes);
    } else {
        front_ = build_front(builder, sizes);
        transformer_.build(builder, transformer, most_steps);
        ConvShape shape{width, width, 2 * kResampling, kResampling};
        shape.bias = false;
        shape.replicate = true;
        downsample_.build(builder, shape, most_steps);
        quantizer_.build_search(builder, quantizer, kPieceFrames);
        sound_.allocate(kPieceFrames * frame_samples_);
    }
    tensors.finish();
    latents_.allocate(kPieceFrames * width);
    steps_.allocate(most_steps * width);
    windows_.allocate(builder.window_floats);
}

void Codec::check(int64_t streams, int64_t frames, int64_t books, bool decoding) const {
    if ((sizes_.decodes != 0) != decoding) throw std::invalid_argument("this half of the codec goes the other way");
    if (streams < 1 || streams > 1 << 20 || frames < 1 || frames > int64_t{1} << 40 || books < 1 || books > sizes_.codebooks)
        throw std::invalid_argument("no streams, frames or codebooks, or too many");
}

// Streams together as long as there are more than one, so that they share each reading of the weights.
template <class Work>
void Codec::in_pieces(uint8_t* const* states, int64_t streams, int64_t frames, const Work& work) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (int64_t s = 0; s < streams; s++) {
        if (reinterpret_cast<uintptr_t>(states[s]) % 8 != 0) throw std::invalid_argument("a state isn't aligned");
        for (int64_t other = 0; other < s; other++)
            if (states[s] == states[other]) throw std::invalid_argument("two streams share one state");
        steps_seen(states[s]);
    }
    Awake awake(team_, 0);
    for (int64_t stream = 0; stream < streams; stream += kPieceFrames) {
        const int64_t here = std::min<int64_t>(kPieceFrames, streams - stream), most = kPieceFrames / here;
        for (int64_t frame = 0; frame < frames; frame += most) {
            const Piece piece = {stream, here, frame, std::min(most, frames - frame)};
            float* places[kPieceFrames];
            int64_t seen[kPieceFrames];
            for (int64_t s = 0; s < here; s++) {
                places[s] = reinterpret_cast<float*>(states[stream + s]);
                seen[s] = steps_seen(states[stream + s]);
            }
            work(Pass{kernels_, &team_, places, seen, static_cast<int>(here), windows_.get()}, piece);
            for (int64_t s = 0; s < here; s++) {
                const int64_t after = seen[s] + piece.frames * kResampling;
                memcpy(states[stream + s], &after, 8);
            }
        }
    }
}

void Codec::decode(uint8_t* const* states, int64_t streams, const int64_t* codes, int64_t books, int64_t frames,
                   float* samples) {
    check(streams, frames, books, true);
    for (int64_t i = 0; i < streams * books * frames; i++)
        if (codes[i] < 0 || codes[i] >= sizes_.entries) throw std::invalid_argument("code " + std::to_string(codes[i]) + " has no sound");
    in_pieces(states, streams, frames, [&](const Pass& pass, const Piece& piece) {
        decode_piece(pass, piece, codes, books, frames, samples);
    });
}

void Codec::decode_piece(const Pass& pass, const Piece& piece, const int64_t* codes, int64_t books, int64_t frames,
                         float* samples) {
    const auto code_at = [&](int64_t s, int64_t k, int64_t t) {
        return codes[((piece.stream + s) * books + k) * frames + piece.frame + t];
    };
    quantizer_.decode(pass, code_at, books, piece.frames, latents_.get());
    upsample(pass, piece.frames);
    transformer_.run(pass, steps_.get(), piece.frames * kResampling);
    const float* sound = front_->run(pass, steps_.get(), piece.frames * kResampling);
    const int64_t count = piece.frames * frame_samples_;
    for (int64_t s = 0; s < piece.streams; s++)
        std::copy_n(sound + s * count, count, samples + ((piece.stream + s) * frames + piece.frame) * frame_samples_);
}

// Each channel on its own: a latent paints two steps of its own and two of the next one's.
void Codec::upsample(const Pass& pass, int64_t frames) {
    const int64_t width = sizes_.width;
    for (int s = 0; s < pass.streams; s++) {
        const float* before = pass.states[s] + upsample_past_;
        for (int64_t t = 0; t < frames; t++) {
            const float* now = &latents_[(s * frames + t) * width];
            for (int64_t j = 0; j < kResampling; j++) {
                float* out = &steps_[((s * frames + t) * kResampling + j) * width];
                const float *own = &upsample_[j * width], *over = &upsample_[(kResampling + j) * width];
                for (int64_t i = 0; i < width; i++) out[i] = now[i] * own[i] + before[i] * over[i];
            }
            before = now;
        }
        std::copy_n(before, width, pass.states[s] + upsample_past_);
    }
}

void Codec::encode(uint8_t* const* states, int64_t streams, const float* samples, int64_t frames, int64_t books,
                   int64_t* codes, float* latents) {
    check(streams, frames, books, false);
    in_pieces(states, streams, frames, [&](const Pass& pass, const Piece& piece) {
        encode_piece(pass, piece, samples, frames, books, codes, latents);
    });
}

void Codec::encode_piece(const Pass& pass, const Piece& piece, const float* samples, int64_t frames, int64_t books,
                         int64_t* codes, float* latents) {
    const int64_t count = piece.frames * frame_samples_, width = sizes_.width, steps = piece.frames * kResampling;
    for (int64_t s = 0; s < piece.streams; s++)
        std::copy_n(samples + ((piece.stream + s) * frames + piece.frame) * frame_samples_, count, &sound_[s * count]);
    const float* x = front_->run(pass, sound_.get(), piece.frames * frame_steps_);
    std::copy_n(x, pass.streams * steps * width, steps_.get());
    transformer_.run(pass, steps_.get(), steps);
    downsample_.run(pass, steps_.get(), steps, false, Then::kStore, latents_.get());
    for (int64_t s = 0; latents != nullptr && s < piece.streams; s++)
        std::copy_n(&latents_[s * piece.frames * width], piece.frames * width,
                    latents + ((piece.stream + s) * frames + piece.frame) * width);
    quantizer_.encode(pass, latents_.get(), pass.streams * piece.frames, books, [&](int64_t column, int64_t k, int64_t code) {
        const int64_t stream = piece.stream + column / piece.frames, frame = piece.frame + column % piece.frames;
        codes[(stream * books + k) * frames + frame] = code;
    });
}

}  // namespace duologue
