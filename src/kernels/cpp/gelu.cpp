// Bias and the exact GELU, x * Phi(x) (Hendrycks & Gimpel 2016). Letters: R rows, H width.
#include "functions.h"
#include "kernel.h"

// product [R, H], bias [H] -> gelu(product + bias) [R, H]
KERNEL(bias_gelu) {
  const Arguments args{data, ranks, shapes};
  const float *product = args.floats(0), *bias = args.floats(1);
  float *out = args.floats(2);
  const int64_t width = args.last(1), rows = args.count(0) / width;
  over_rows(rows, width, [=](int64_t first, int64_t last, int) {
    for (int64_t row = first; row < last; ++row) {
      const float *from = product + row * width;
      float *to = out + row * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const float x = from[i] + bias[i];
        float cumulative, density;
        normal(x, cumulative, density);
        to[i] = x * cumulative;
      }
    }
  });
  return 0;
}

// product [R, H], bias [H], output gradient [R, H] -> gradients of product [R, H] and of bias [H]
KERNEL(bias_gelu_gradient) {
  const Arguments args{data, ranks, shapes};
  const float *product = args.floats(0), *bias = args.floats(1), *upstream = args.floats(2);
  float *out = args.floats(3);
  const int64_t width = args.last(1), rows = args.count(0) / width;
  ColumnSums sums(width);
  over_rows(rows, width, [=, &sums](int64_t first, int64_t last, int thread) {
    float *sum = sums.of(thread);
    for (int64_t row = first; row < last; ++row) {
      const float *from = product + row * width, *up = upstream + row * width;
      float *to = out + row * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const float x = from[i] + bias[i];
        float cumulative, density;
        normal(x, cumulative, density);
        const float slope = up[i] * (cumulative + x * density);
        to[i] = slope;
        sum[i] += slope;
      }
    }
  });
  sums.write(args.floats(4));
  return 0;
}
