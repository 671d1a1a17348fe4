// AdamWeightDecay over all parameters in one pass, and the squared norm of all gradients.
//
// Both take any number of tensors. Each thread works on its own range of every tensor, so that one large and
// many small tensors keep all threads busy and results depend on the number of threads alone.
#include "kernel.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

// In its lifetime its thread treats subnormal numbers as zero. The first moments of a word that does not
// occur again become subnormal within 800 steps and stay so, which makes the update of the embedding table
// five to eight times slower.
struct FlushToZero {
#if defined(__SSE2__)
  static constexpr unsigned FLUSH_RESULTS = 1u << 15, FLUSH_INPUTS = 1u << 6;
  const unsigned before = _mm_getcsr();

  FlushToZero() { _mm_setcsr(before | FLUSH_RESULTS | FLUSH_INPUTS); }
  ~FlushToZero() { _mm_setcsr(before); }
#else
  FlushToZero() {}
#endif
};

constexpr int64_t BLOCK = 4096;  // elements summed in float before adding in double

double squares_of(const float *values, int64_t count) {
  double total = 0.0;
  for (int64_t first = 0; first < count; first += BLOCK) {
    const int64_t last = std::min(count, first + BLOCK);
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = first; i < last; ++i) sum += values[i] * values[i];
    total += sum;
  }
  return total;
}

}  // namespace

// any number of tensors -> [1], the sum of the squares of all elements
extern "C" int squared_norm(int count, void **data, int *ranks, int64_t **shapes, const char **, void *,
                            void *) {
  const Arguments args{data, ranks, shapes};
  std::vector<double> sums(omp_get_max_threads(), 0.0);
#pragma omp parallel
  {
    const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    double sum = 0.0;
    for (int tensor = 0; tensor < count - 1; ++tensor) {
      const int64_t size = args.count(tensor), first = size * thread / threads;
      sum += squares_of(args.floats(tensor) + first, size * (thread + 1) / threads - first);
    }
    sums[thread] = sum;
  }
  double total = 0.0;
  for (const double sum : sums) total += sum;
  args.floats(count - 1)[0] = static_cast<float>(total);
  return 0;
}

// P parameters, their P first and P second moments (all three changed in place), P gradients; learning rate,
// gradient factor, constants [3] (beta1, beta2, eps), weight decays [P], factors [2] of eps and of the weight
// decays -> [1], unused
extern "C" int adam_weight_decay(int count, void **data, int *ranks, int64_t **shapes, const char **, void *,
                                 void *) {
  const Arguments args{data, ranks, shapes};
  const int tensors = (count - 6) / 4;
  const float rate = args.floats(4 * tensors)[0], factor = args.floats(4 * tensors + 1)[0];
  const float *constants = args.floats(4 * tensors + 2), *decays = args.floats(4 * tensors + 3);
  const float *corrections = args.floats(4 * tensors + 4), eps = constants[2] * corrections[0];
  const float keep1 = 1.0f - constants[0], keep2 = 1.0f - constants[1];
#pragma omp parallel
  {
    const FlushToZero flushed;
    const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    for (int tensor = 0; tensor < tensors; ++tensor) {
      const int64_t size = args.count(tensor), last = size * (thread + 1) / threads;
      float *weight = args.floats(tensor), *first_moment = args.floats(tensors + tensor);
      float *second_moment = args.floats(2 * tensors + tensor);
      const float *gradient = args.floats(3 * tensors + tensor), decay = decays[tensor] * corrections[1];
#pragma omp simd
      for (int64_t i = size * thread / threads; i < last; ++i) {
        const float slope = gradient[i] * factor;
        const float m = first_moment[i] + (slope - first_moment[i]) * keep1;
        const float v = second_moment[i] + (slope * slope - second_moment[i]) * keep2;
        first_moment[i] = m;
        second_moment[i] = v;
        weight[i] -= rate * (m / (std::sqrt(v) + eps) + decay * weight[i]);
      }
    }
  }
  args.floats(count - 1)[0] = 0.0f;
  return 0;
}
