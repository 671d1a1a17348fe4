// LayerNorm (Ba et al. 2016), alone or over dropout(product + bias) + residual. Letters: R rows, H width.
//
// The gradient recomputes mean and deviation: a row fits in the cache, and nothing is stored.
#include "dropout.h"
#include "kernel.h"

namespace {

enum Kind { ALONE, JOINED, DROPPED };

struct Row {
  float mean, inverse;  // of the deviation
};

struct Norm {
  const float *x, *bias, *residual, *weight, *shift;
  float eps;
  int64_t rows, width;
  Dropout drop;
};

// Writes the row (or its sum with bias and residual) to `to` and computes its mean and deviation.
template <Kind KIND>
inline Row measure(const Norm &norm, int64_t row, float *to) {
  const int64_t width = norm.width, place = row * width;
  const float *x = norm.x + place, *bias = norm.bias, *residual = norm.residual + place;
  if (KIND == DROPPED) {
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) to[i] = x[i] + bias[i];
    norm.drop.apply(to, place, width, to);
  }
  float sum = 0.0f, squares = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; ++i) {
    if (KIND == ALONE) to[i] = x[i];
    if (KIND == JOINED) to[i] = x[i] + bias[i] + residual[i];
    if (KIND == DROPPED) to[i] += residual[i];
    sum += to[i];
  }
  const float mean = sum / width;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < width; ++i) squares += (to[i] - mean) * (to[i] - mean);
  return {mean, 1.0f / std::sqrt(squares / width + norm.eps)};
}

template <Kind KIND>
void forward(const Norm &norm, float *out) {
  over_rows(norm.rows, norm.width, [&](int64_t first, int64_t last, int) {
    const int64_t width = norm.width;
    const float *weight = norm.weight, *shift = norm.shift;
    for (int64_t row = first; row < last; ++row) {
      float *to = out + row * width;
      const Row measured = measure<KIND>(norm, row, to);
      const float mean = measured.mean, inverse = measured.inverse;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) to[i] = (to[i] - mean) * inverse * weight[i] + shift[i];
    }
  });
}

// Adds a row to the sums over rows.
inline void add(const float *row, int64_t width, float *sums) {
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) sums[i] += row[i];
}

// row: the input of the normalization -> its gradient; adds to the gradients of weight and shift.
inline void row_gradient(const Row &measured, const float *up, const float *weight, int64_t width, float *row,
                         float *weight_sums, float *shift_sums) {
  const float mean = measured.mean, inverse = measured.inverse;
  float sum = 0.0f, along = 0.0f;
#pragma omp simd reduction(+ : sum, along)
  for (int64_t i = 0; i < width; ++i) {
    row[i] = (row[i] - mean) * inverse;
    sum += up[i] * weight[i];
    along += up[i] * weight[i] * row[i];
  }
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    weight_sums[i] += up[i] * row[i];
    shift_sums[i] += up[i];
  }
  const float flat = sum / width, slant = along / width;
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) row[i] = (up[i] * weight[i] - flat - row[i] * slant) * inverse;
}

// Gradient buffers: of the sum [R, H] (x alone, or product and residual), of the product [R, H] under
// dropout, and of the vectors [H].
struct Gradients {
  float *sum, *product, *bias, *weight, *shift;
};

template <Kind KIND>
void backward(const Norm &norm, const float *upstream, const Gradients &out) {
  const int64_t width = norm.width;
  ColumnSums bias_sums(KIND == ALONE ? 0 : width), weight_sums(width), shift_sums(width);
  over_rows(norm.rows, width, [&](int64_t first, int64_t last, int thread) {
    for (int64_t row = first; row < last; ++row) {
      const int64_t place = row * width;
      float *of_row = out.sum + place, *of_product = out.product + place;
      const Row measured = measure<KIND>(norm, row, of_row);
      row_gradient(measured, upstream + place, norm.weight, width, of_row, weight_sums.of(thread),
                   shift_sums.of(thread));
      if (KIND == DROPPED) norm.drop.apply(of_row, place, width, of_product);
      if (KIND != ALONE) add(of_product, width, bias_sums.of(thread));
    }
  });
  if (KIND != ALONE) bias_sums.write(out.bias);
  weight_sums.write(out.weight);
  shift_sums.write(out.shift);
}

}  // namespace

// x [R, H], weight, shift [H], eps [1] -> normalized [R, H]
KERNEL(layer_norm) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(0), rows = args.count(0) / width;
  const float *x = args.floats(0);
  forward<ALONE>({x, x, x, args.floats(1), args.floats(2), args.floats(3)[0], rows, width, {}},
                 args.floats(4));
  return 0;
}

// x, weight, eps, output gradient [R, H] -> gradients of x, weight, shift
KERNEL(layer_norm_gradient) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(0), rows = args.count(0) / width;
  const float *x = args.floats(0);
  float *of_x = args.floats(4);
  backward<ALONE>({x, x, x, args.floats(1), x, args.floats(2)[0], rows, width, {}}, args.floats(3),
                  {of_x, of_x, nullptr, args.floats(5), args.floats(6)});
  return 0;
}

// product [R, H], bias [H], residual [R, H], weight, shift [H], eps [1] -> normalized sum [R, H]
KERNEL(residual_norm) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(1), rows = args.count(0) / width;
  forward<JOINED>({args.floats(0), args.floats(1), args.floats(2), args.floats(3), args.floats(4),
                   args.floats(5)[0], rows, width, {}},
                  args.floats(6));
  return 0;
}

// product, bias, residual, weight, eps, output gradient [R, H]
// -> gradients of product (and residual), bias, weight, shift
KERNEL(residual_norm_gradient) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(1), rows = args.count(0) / width;
  float *of_sum = args.floats(6);
  backward<JOINED>({args.floats(0), args.floats(1), args.floats(2), args.floats(3), args.floats(3),
                    args.floats(4)[0], rows, width, {}},
                   args.floats(5), {of_sum, of_sum, args.floats(7), args.floats(8), args.floats(9)});
  return 0;
}

// As residual_norm, then step [1], key [2], rate [1] of the dropout of product + bias.
KERNEL(dropout_norm) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(1), rows = args.count(0) / width;
  const Dropout drop(data[6], data[7], args.floats(8));
  forward<DROPPED>({args.floats(0), args.floats(1), args.floats(2), args.floats(3), args.floats(4),
                    args.floats(5)[0], rows, width, drop},
                   args.floats(9));
  return 0;
}

// product, bias, residual, weight, eps, step, key, rate, output gradient
// -> gradients of product, bias, residual, weight, shift
KERNEL(dropout_norm_gradient) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(1), rows = args.count(0) / width;
  const Dropout drop(data[5], data[6], args.floats(7));
  backward<DROPPED>({args.floats(0), args.floats(1), args.floats(2), args.floats(3), args.floats(3),
                     args.floats(4)[0], rows, width, drop},
                    args.floats(8),
                    {args.floats(11), args.floats(9), args.floats(10), args.floats(12), args.floats(13)});
  return 0;
}
