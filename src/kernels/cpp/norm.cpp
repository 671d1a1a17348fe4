// LayerNorm (Ba et al. 2016), alone or over product + bias + residual. Letters: R rows, H width.
//
// The gradient computes mean and deviation again: a row lies in the cache, and nothing has to be kept.
#include "kernel.h"

namespace {

struct Row {
  float mean, inverse;  // of the deviation
};

// Writes the row to normalise (or its sum with bias and residual) to `to` and measures it.
template <bool JOINED>
inline Row measure(const float *x, const float *bias, const float *residual, float eps, float *to,
                   int64_t width) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; ++i) {
    to[i] = JOINED ? x[i] + bias[i] + residual[i] : x[i];
    sum += to[i];
  }
  const float mean = sum / width;
  float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < width; ++i) squares += (to[i] - mean) * (to[i] - mean);
  return {mean, 1.0f / std::sqrt(squares / width + eps)};
}

struct Norm {
  const float *x, *bias, *residual, *weight, *shift;
  float eps;
  int64_t rows, width;
};

template <bool JOINED>
void forward(const Norm &norm, float *out) {
  const int64_t width = norm.width;
  const float *weight = norm.weight, *shift = norm.shift;
  over_rows(norm.rows, width, [&, width, weight, shift, out](int64_t first, int64_t last, int) {
    for (int64_t row = first; row < last; ++row) {
      float *to = out + row * width;
      const Row r = measure<JOINED>(norm.x + row * width, norm.bias, norm.residual + row * width, norm.eps,
                                    to, width);
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) to[i] = (to[i] - r.mean) * r.inverse * weight[i] + shift[i];
    }
  });
}

// Gradients: out [R, H] of x (and residual), of bias where joined, of weight and shift [H].
template <bool JOINED>
void backward(const Norm &norm, const float *upstream, float *out, float *bias_out, float *weight_out,
              float *shift_out) {
  const int64_t width = norm.width;
  const float *weight = norm.weight;
  ColumnSums bias_sums(JOINED ? width : 0), weight_sums(width), shift_sums(width);
  over_rows(norm.rows, width, [&, width, weight, out](int64_t first, int64_t last, int thread) {
    float *of_bias = bias_sums.of(thread), *of_weight = weight_sums.of(thread);
    float *of_shift = shift_sums.of(thread);
    std::vector<float> kept(width);
    float *scaled = kept.data();
    for (int64_t row = first; row < last; ++row) {
      const Row r = measure<JOINED>(norm.x + row * width, norm.bias, norm.residual + row * width, norm.eps,
                                    scaled, width);
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
      float *to = out + row * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const float slope = (up[i] * weight[i] - mean - scaled[i] * along) * r.inverse;
        to[i] = slope;
        if (JOINED) of_bias[i] += slope;
      }
    }
  });
  if (JOINED) bias_sums.write(bias_out);
  weight_sums.write(weight_out);
  shift_sums.write(shift_out);
}

}  // namespace

// x [R, H], weight, shift [H], eps [1] -> normalised [R, H]
KERNEL(layer_norm) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(0), rows = args.count(0) / width;
  const float *x = args.floats(0);
  forward<false>({x, nullptr, x, args.floats(1), args.floats(2), args.floats(3)[0], rows, width},
                 args.floats(4));
  return 0;
}

// x, weight, eps, upstream [R, H] -> gradients of x, weight, shift
KERNEL(layer_norm_gradient) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(0), rows = args.count(0) / width;
  const float *x = args.floats(0);
  backward<false>({x, nullptr, x, args.floats(1), nullptr, args.floats(2)[0], rows, width}, args.floats(3),
                  args.floats(4), nullptr, args.floats(5), args.floats(6));
  return 0;
}

// product [R, H], bias [H], residual [R, H], weight, shift [H], eps [1] -> normalised sum [R, H]
KERNEL(residual_norm) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(1), rows = args.count(0) / width;
  forward<true>({args.floats(0), args.floats(1), args.floats(2), args.floats(3), args.floats(4),
                 args.floats(5)[0], rows, width},
                args.floats(6));
  return 0;
}

// product, bias, residual, weight, eps, upstream [R, H] -> gradients of product (and residual), bias, weight, shift
KERNEL(residual_norm_gradient) {
  const Arguments args{data, ranks, shapes};
  const int64_t width = args.last(1), rows = args.count(0) / width;
  backward<true>({args.floats(0), args.floats(1), args.floats(2), args.floats(3), nullptr,
                  args.floats(4)[0], rows, width},
                 args.floats(5), args.floats(6), args.floats(7), args.floats(8), args.floats(9));
  return 0;
}
