// Shared by the kernels: MindSpore's calling convention, distribution over threads, column sums.
//
// Every kernel is deterministic for a given number of threads: each thread gets a fixed range of rows, and
// partial sums are added in thread order.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

// MindSpore's ahead-of-time custom operator: inputs first, then outputs; 0 is success.
#define KERNEL(name)                                                                                  \
  extern "C" int name(int, void **data, int *ranks, int64_t **shapes, [[maybe_unused]] const char **types, \
                      void *, void *)

struct Arguments {
  void **data;
  int *ranks;
  int64_t **shapes;

  float *floats(int i) const { return static_cast<float *>(data[i]); }
  int64_t size(int i, int axis) const { return shapes[i][axis]; }
  int64_t last(int i) const { return shapes[i][ranks[i] - 1]; }
  int64_t count(int i) const {
    int64_t product = 1;
    for (int axis = 0; axis < ranks[i]; ++axis) product *= shapes[i][axis];
    return product;
  }
};

constexpr int64_t SMALL = 16384;  // elements below which a second thread costs more than it saves

// Calls body(first, last, thread) for consecutive ranges of `rows` rows of `width` elements.
template <class Body>
inline void over_rows(int64_t rows, int64_t width, Body body) {
  if (rows * width < SMALL) {
    body(int64_t{0}, rows, 0);
    return;
  }
#pragma omp parallel
  {
    const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    body(rows * thread / threads, rows * (thread + 1) / threads, static_cast<int>(thread));
  }
}

// Sums over rows, one accumulator per thread, on separate cache lines.
class ColumnSums {
 public:
  explicit ColumnSums(int64_t width)
      : width_(width), stride_((width + 31) / 16 * 16), parts_(stride_ * omp_get_max_threads(), 0.0f) {}

  float *of(int thread) { return parts_.data() + stride_ * thread; }

  void write(float *out) const {
    std::fill(out, out + width_, 0.0f);
    for (int64_t part = 0; part < static_cast<int64_t>(parts_.size()); part += stride_)
      for (int64_t i = 0; i < width_; ++i) out[i] += parts_[part + i];
  }

 private:
  int64_t width_, stride_;
  std::vector<float> parts_;
};
