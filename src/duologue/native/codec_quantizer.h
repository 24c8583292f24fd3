// Split residual quantization: the semantic and the acoustic row of codebooks on the same latents. Knows no time.
//
// The nearest centroid is found in two steps: an int8 product gives every distance within a bound that is known for each
// centroid, and those that can still be nearest are measured exactly, in double precision. The answer is that of a full
// search at a quarter of its memory traffic.
#pragma once

#include "codec_layers.h"

namespace duologue {

struct QuantizerShape {
    int64_t width, codebooks, entries, code_width, semantic;
};

class Quantizer {
   public:
    // `centroids` [codebooks][entries][code_width] stay where they are.
    void build_lookup(Builder& builder, const QuantizerShape& shape, int64_t most_frames);
    void build_search(Builder& builder, const QuantizerShape& shape, int64_t most_frames);

    // codes(stream, book, frame) of the first `books` codebooks -> latents [streams][frames][width].
    template <class CodeAt>
    void decode(const Pass& pass, const CodeAt& code_at, int64_t books, int64_t frames, float* latents) const {
        for (int s = 0; s < pass.streams; s++)
            for (int64_t t = 0; t < frames; t++) {
                float* sums = &both_[(s * frames + t) * 2 * shape_.code_width];
                std::fill_n(sums, 2 * shape_.code_width, 0.0f);
                for (int64_t k = 0; k < books; k++) add_centroid(k, code_at(s, k, t), sums);
            }
        project_out(pass, pass.streams * frames, latents);
    }

    // latents [columns][width] -> the first `books` codes of each, put(column, book, code).
    template <class Put>
    void encode(const Pass& pass, const float* latents, int64_t columns, int64_t books, const Put& put) {
        project_in(pass, latents, columns);
        for (int64_t k = 0; k < books; k++) {
            find_scores(pass, k, columns);
            for (int64_t c = 0; c < columns; c++) put(c, k, take_nearest(k, c));
        }
    }

   private:
    struct Book {
        Matrix rounded;                                          // int8
        std::vector<uint8_t> packed;
        std::vector<float> half_norms, miss, length;             // |c|^2 / 2; |c - rounded c|, |rounded c|, rounded up
    };
    void build_book(int64_t index);
    void add_centroid(int64_t book, int64_t code, float* sums) const;
    void project_out(const Pass& pass, int64_t columns, float* latents) const;
    void project_in(const Pass& pass, const float* latents, int64_t columns);
    void find_scores(const Pass& pass, int64_t book, int64_t columns);
    int64_t take_nearest(int64_t book, int64_t column);
    float bound_inputs(const float* rest, int64_t column, float* length) const;
    const float* centroid(int64_t book, int64_t code) const {
        return centroids_ + (book * shape_.entries + code) * shape_.code_width;
    }
    int64_t part(int64_t book) const { return book < shape_.semantic ? 0 : shape_.code_width; }

    QuantizerShape shape_{};
    const float* centroids_ = nullptr;
    Panels out_, in_;
    std::vector<Book> books_;
    Buffer<float> both_;  // [columns][2][code_width]: semantic, acoustic
    Input search_;
    Buffer<float> scores_, lowest_;
    int64_t score_stride_ = 0;
};

}  // namespace duologue
