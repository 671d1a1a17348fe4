// Fake quantization: the maximum of |x|, and x rounded to a grid. Letters: R rows, H width.
#include <cfloat>

#include "functions.h"
#include "kernel.h"

namespace {

// The bits of max |x|: compared as integers, infinity is above all numbers and NaN above infinity.
uint32_t abs_max_bits(const float *x, int64_t count) {
  uint32_t found = 0;
#pragma omp simd reduction(max : found)
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = bits_as<uint32_t>(x[i]) & 0x7fffffffu;
    found = bits > found ? bits : found;
  }
  return found;
}

struct Symmetric {
  float scale, qmax;

  Symmetric(float clip_value, float qmax) : scale(clip_value > 0.0f ? clip_value / qmax : 1.0f), qmax(qmax) {}

  void round(const float *x, int64_t count, float *to) const {
    const float step = scale, lowest = -qmax - 1.0f, highest = qmax;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      float q = std::nearbyint(x[i] / step);  // ties to even
      q = q < lowest ? lowest : q;
      q = q > highest ? highest : q;
      to[i] = std::fabs(x[i]) <= FLT_MAX ? q * step : x[i];
    }
  }
};

}  // namespace

// x of any shape -> [1], max |x|; not finite where an element is not
KERNEL(abs_max) {
  const Arguments args{data, ranks, shapes};
  const float *x = args.floats(0);
  std::vector<uint32_t> found(omp_get_max_threads(), 0);
  over_rows(args.count(0), 1, [&](int64_t first, int64_t last, int thread) {
    found[thread] = abs_max_bits(x + first, last - first);
  });
  args.floats(1)[0] = bits_as<float>(*std::max_element(found.begin(), found.end()));
  return 0;
}

// x [R, H] -> [R, 1], max |x| of each row
KERNEL(abs_max_per_row) {
  const Arguments args{data, ranks, shapes};
  const float *x = args.floats(0);
  float *out = args.floats(1);
  const int64_t width = args.last(0), rows = args.count(0) / width;
  over_rows(rows, width, [=](int64_t first, int64_t last, int) {
    for (int64_t row = first; row < last; ++row) out[row] = bits_as<float>(abs_max_bits(x + row * width, width));
  });
  return 0;
}

// x [R, H], clip value [1] or [R, 1], qmax [1] -> x on the grid of its clip value [R, H];
// elements that are not finite stay so
KERNEL(fake_quantize) {
  const Arguments args{data, ranks, shapes};
  const float *x = args.floats(0), *clip_value = args.floats(1), qmax = args.floats(2)[0];
  float *out = args.floats(3);
  const int64_t width = args.last(0), rows = args.count(0) / width, step = args.count(1) > 1 ? 1 : 0;
  over_rows(rows, width, [=](int64_t first, int64_t last, int) {
    for (int64_t row = first; row < last; ++row)
      Symmetric(clip_value[row * step], qmax).round(x + row * width, width, out + row * width);
  });
  return 0;
}
