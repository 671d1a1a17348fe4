// Small matrix products for attention: factors that fit in the cache, too small for library calls to pay.
#pragma once

#include <cstdint>

#if defined(__AVX512F__)
constexpr int64_t LANES = 16, BLOCK_ROWS = 8;
#elif defined(__AVX__)
constexpr int64_t LANES = 8, BLOCK_ROWS = 4;
#else
constexpr int64_t LANES = 4, BLOCK_ROWS = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

// The columns of a packed matrix are zero-padded to whole vectors.
inline int64_t padded(int64_t columns) { return (columns + LANES - 1) / LANES * LANES; }

// Row i, column j of a left factor is values[i * row + j * column], so that transposing is free.
struct Left {
  const float *values;
  int64_t row, column;
};

template <int ROWS, int VECTORS>
inline void product_block(const Left &a, const float *b, int64_t b_row, float *out, int64_t out_row,
                          int64_t inner) {
  Vector sum[ROWS][VECTORS] = {};
  for (int64_t k = 0; k < inner; ++k) {
    Vector right[VECTORS];
    for (int v = 0; v < VECTORS; ++v)
      right[v] = *reinterpret_cast<const Vector *>(b + k * b_row + v * LANES);
    for (int r = 0; r < ROWS; ++r) {
      const float left = a.values[r * a.row + k * a.column];
      for (int v = 0; v < VECTORS; ++v) sum[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < VECTORS; ++v)
      *reinterpret_cast<Vector *>(out + r * out_row + v * LANES) = sum[r][v];
}

template <int ROWS>
inline void product_rows(const Left &a, const float *b, float *out, int64_t columns, int64_t inner) {
  int64_t j = 0;
  for (; j + 2 * LANES <= columns; j += 2 * LANES)
    product_block<ROWS, 2>(a, b + j, columns, out + j, columns, inner);
  if (j < columns) product_block<ROWS, 1>(a, b + j, columns, out + j, columns, inner);
}

// out [rows, columns] = a [rows, inner] b [inner, columns]; b and out are packed, `columns` is padded.
inline void product(const Left &a, const float *b, float *out, int64_t rows, int64_t columns,
                    int64_t inner) {
  int64_t i = 0;
  for (; i + BLOCK_ROWS <= rows; i += BLOCK_ROWS)
    product_rows<BLOCK_ROWS>({a.values + i * a.row, a.row, a.column}, b, out + i * columns, columns, inner);
  for (; i < rows; ++i)
    product_rows<1>({a.values + i * a.row, a.row, a.column}, b, out + i * columns, columns, inner);
}
