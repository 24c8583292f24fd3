// From a float32 matrix to its packed form and back. Knows no model and no instruction set.
#pragma once

#include "layout.h"

namespace duologue {

// True if the kernels can read such a matrix: known kind, group of 32, 64 or 128, sizes that don't overflow.
bool is_valid(const Matrix& shape);

// Round `weights` (rows x cols, row-major) into `out` (shape.bytes() bytes); returns the matrix's scale.
float pack(const Matrix& shape, const float* weights, uint8_t* out);

// The weights as the kernels see them, rows x cols.
void unpack(const Matrix& matrix, float* weights);

}  // namespace duologue
