// LayerNorm (Ba et al. 2016), alone or over dropout(product + bias) + residual. Letters: R rows, H width.
//
// The gradient computes mean and deviation again: a row lies in the cache, and nothing has to be kept.
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

// Writes the row to normalise (or its sum with bias and residual) to `to` and measures it.
template <Kind KIND>
inline Row measure(const Norm &norm, int64_t row, float *to) {
  const int64_t width = norm.width, place = row * width;
  const float *x = norm.x + place, *bias = norm.bias, *residual = norm.residual + place;
  const Dropout drop = norm.drop;
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; ++i) {
    if (KIND == ALONE) to[i] = x[i];
    if (KIND == JOINED) to[i] = x[i] + bias[i] + residual[i];
    if (KIND == DROPPED) to[i] = (x[i] + bias[i]) * drop(place + i) + residual[i];
    sum += to[i];
  }
  const float mean = sum / width;
  float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < width; ++i) squares += (to[i] - mean) * (to[i] - mean);
  return {mean, 1.0f / std::sqrt(squares / width + norm.eps)};
}

template <Kind KIND>
void forward(const Norm &norm, float *out) {
  const int64_t width = norm.width;
  const float *weight = norm.weight, *shift = norm.shift;
  over_rows(norm.rows, width, [&, width, weight, shift, out](int64_t first, int64_t last, int) {
    for (int64_t row = first; row < last; ++row) {
      float *to = out + row * width;
      const Row r = measure<KIND>(norm, row, to);
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) to[i] = (to[i] - r.mean) * r.inverse * weight[i] + shift[i];
    }
  });
}

// Where the gradients go: of the sum [R, H] (x alone, or product and residual), of the product [R, H] where it
// was dropped, and of the vectors [H].
struct Gradients {
  float *sum, *product, *bias, *weight, *shift;
};

template <Kind KIND>
void backward(const Norm &norm, const float *upstream, const Gradients &out) {
  const int64_t width = norm.width;
  const float *weight = norm.weight;
  const Dropout drop = norm.drop;
  ColumnSums bias_sums(KIND == ALONE ? 0 : width), weight_sums(width), shift_sums(width);
  over_rows(norm.rows, width, [&, width, weight, drop](int64_t first, int64_t last, int thread) {
    float *of_bias = bias_sums.of(thread), *of_weight = weight_sums.of(thread);
    float *of_shift = shift_sums.of(thread);
    std::vector<float> kept(width);
    float *scaled = kept.data();
    for (int64_t row = first; row < last; ++row) {
      const Row r = measure<KIND>(norm, row, scaled);
      const float *up = upstream + row * width;
      float mean = 0.0f, along = 0.0f;
#pragma omp simd reduction(+ : mean, along)
      for (int64_t i = 0; i < width; ++i) {
        const float value = (scaled[i] - r.mean) * r.inverse, slope = up[i] * weight[i];
        scaled[i] = value;
        mean += slope;
        along += slope * value;
        of_weight[i] += up[i] * value;
        of_shift[i] += up[i];
      }
      mean /= width;
      along /= width;
      const int64_t place = row * width;
      float *to = out.sum + place, *of_product = out.product + place;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const float slope = (up[i] * weight[i] - mean - scaled[i] * along) * r.inverse;
        to[i] = slope;
        if (KIND == JOINED) of_bias[i] += slope;
        if (KIND == DROPPED) {
          of_product[i] = slope * drop(place + i);
          of_bias[i] += of_product[i];
        }
      }
    }
  });
  if (KIND != ALONE) bias_sums.write(out.bias);
  weight_sums.write(out.weight);
  shift_sums.write(out.shift);
}

}  // namespace

// x [R, H], weight, shift [H], eps [1] -> normalised [R, H]
KERNEL(layer_norm) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(0), rows = args.count(0) / width;
  const float *x = args.floats(0);
  forward<ALONE>({x, x, x, args.floats(1), args.floats(2), args.floats(3)[0], rows, width, {}},
                 args.floats(4));
  return 0;
}

// x, weight, eps, upstream [R, H] -> gradients of x, weight, shift
KERNEL(layer_norm_gradient) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(0), rows = args.count(0) / width;
  const float *x = args.floats(0);
  float *of_x = args.floats(4);
  backward<ALONE>({x, x, x, args.floats(1), x, args.floats(2)[0], rows, width, {}}, args.floats(3),
                  {of_x, of_x, nullptr, args.floats(5), args.floats(6)});
  return 0;
}

// product [R, H], bias [H], residual [R, H], weight, shift [H], eps [1] -> normalised sum [R, H]
KERNEL(residual_norm) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(1), rows = args.count(0) / width;
  forward<JOINED>({args.floats(0), args.floats(1), args.floats(2), args.floats(3), args.floats(4),
                   args.floats(5)[0], rows, width, {}},
                  args.floats(6));
  return 0;
}

// product, bias, residual, weight, eps, upstream [R, H]
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

// product, bias, residual, weight, eps, step, key, rate, upstream
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
